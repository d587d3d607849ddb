"""One door to SAEs: a run, an SAE folder or another library's, and what is said about anything else."""

import json
import shutil

import pytest
import torch

from interop import recorded
from saescope.errors import ConfigError, CorruptArtifact, NewerSchema, NotAnArtifact
from saescope.interop import open_sae
from saescope.run_folder import RunFolder
from saescope.saes.registry import build
from saescope.saes.storage import save

PROVENANCE = {"model": "m", "hook_points": ["blocks.0.mlp_post"], "context_length": 32}


@pytest.fixture
def sae():
    return build("topk", 6, 12, {"k": 2}, seed=3)


@pytest.fixture
def run(sae, tmp_path):
    with RunFolder.open_or_create(tmp_path / "run", {"at": "blocks.0.mlp_post"}) as folder:
        save(sae, folder.sae, PROVENANCE)
    return tmp_path / "run"


@pytest.mark.parametrize("place", ["run", "run/sae"])
def test_a_run_and_an_sae_folder(run, sae, place):
    opened = open_sae(run.parent / place)
    assert opened.folder == run / "sae"
    assert opened.provenance == PROVENANCE
    assert all(torch.equal(value, opened.sae.state_dict()[name]) for name, value in sae.state_dict().items())
    assert opened.sae.architecture == "topk"
    assert not any(parameter.requires_grad for parameter in opened.sae.parameters())
    assert (opened.run.path if opened.run else None) == (run if place == "run" else None)
    assert open_sae(str(run)).folder == run / "sae"


def test_the_device(run):
    assert open_sae(run, device="meta").sae.W_dec.device.type == "meta"


@pytest.mark.parametrize("place", ["absent", "file", "empty", "other"])
def test_what_is_neither(tmp_path, place):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        NotAnArtifact, match=rf"{place}.*(is no folder|holds no run and no SAE).*\. Give a run .*or an SAE folder.*saelens \(cfg.json and"
    ):
        open_sae(tmp_path / place)


def test_a_file_names_its_folder():
    weights = recorded.folder("saelens", "topk") / "sae_weights.safetensors"
    with pytest.raises(NotAnArtifact, match=r"is no folder but a file; its folder is .*topk\. "):
        open_sae(weights)


def test_one_of_several_saes_of_a_run(sae, tmp_path):
    with RunFolder.open_or_create(tmp_path / "run", {"at": "blocks.0.mlp_post"}) as folder:
        for name in ("b", "a"):
            save(sae, folder.saes / name / "sae", PROVENANCE)
    (tmp_path / "run" / "saes" / "unfinished").mkdir()
    for place in ("saes/a", "saes/a/sae"):
        opened = open_sae(tmp_path / "run" / place)
        assert opened.folder == tmp_path / "run" / "saes" / "a" / "sae"
        assert opened.provenance == PROVENANCE
    opened = open_sae(tmp_path / "run" / "saes" / "a")
    assert opened.run is not None
    assert opened.run.result == tmp_path / "run" / "saes" / "a" / "result.json"
    with pytest.raises(NotAnArtifact, match=r"holds several SAEs: a, b\. Name one: .*run/saes/a"):
        open_sae(tmp_path / "run")


def test_the_files_of_two_libraries(tmp_path):
    shutil.copytree(recorded.folder("saelens", "topk"), tmp_path, dirs_exist_ok=True)
    shutil.copytree(recorded.folder("dictionary_learning", "topk"), tmp_path, dirs_exist_ok=True)
    with pytest.raises(ConfigError, match=r"files of saelens and of dictionary_learning\. Move"):
        open_sae(tmp_path)


def test_a_foreign_folder_on_another_device():
    opened = open_sae(recorded.folder("saelens", "gated"), device="meta")
    assert opened.sae.W_dec.device.type == "meta"
    assert opened.run is None
    assert not any(parameter.requires_grad for parameter in opened.sae.parameters())


def test_a_run_before_its_sae(run):
    (run / "sae" / "manifest.json").unlink()
    with pytest.raises(NotAnArtifact, match=r"has no SAE yet\. Finish it with the command"):
        open_sae(run)


def test_an_artifact_of_another_kind(run):
    manifest = json.loads((run / "sae" / "manifest.json").read_text())
    (run / "sae" / "manifest.json").write_text(json.dumps(manifest | {"schema": "saescope.features"}))
    with pytest.raises(NotAnArtifact, match=r"holds a saescope\.features, but a saescope\.sae was expected"):
        open_sae(run)


def test_damage_is_named(run):
    weights = next((run / "sae").glob("weights-*"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CorruptArtifact, match="sha256"):
        open_sae(run)
    weights.write_bytes(whole[:-4])
    with pytest.raises(CorruptArtifact, match="cut or changed"):
        open_sae(run)
    weights.write_bytes(whole)
    manifest = run / "sae" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(NewerSchema, match="install that version"):
        open_sae(run)
    manifest.write_text("{")
    with pytest.raises(CorruptArtifact, match="not valid JSON"):
        open_sae(run)
