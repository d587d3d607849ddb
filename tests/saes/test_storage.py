"""SAEs on disk."""

import json

import pytest
import torch

from saescope.errors import CorruptArtifact, NewerSchema, NotAnArtifact
from saescope.saes.registry import build
from saescope.saes.storage import load, read_provenance, save
from variants import VARIANTS, make


@pytest.mark.parametrize("name", VARIANTS)
def test_load_gives_back_the_bits(tmp_path, name):
    sae = make(name, seed=5)
    for threshold in set(sae.thresholds) & set(sae.state_dict()):
        sae.state_dict()[threshold].fill_(0.25)
    save(sae, tmp_path, {"model": "tiny", "hook_points": ["blocks.0.mlp_post"]})
    again = load(tmp_path)
    assert type(again) is type(sae)
    assert again.cfg == sae.cfg
    assert all(torch.equal(again.state_dict()[name], value) for name, value in sae.state_dict().items())
    assert read_provenance(tmp_path)["model"] == "tiny"


def test_saving_again_replaces_whole_and_sweeps(tmp_path):
    for seed in (1, 2):
        save(build("topk", 6, 12, {"k": 3}, seed=seed), tmp_path)
    assert len(list(tmp_path.glob("weights-*"))) == 1
    assert torch.equal(load(tmp_path).W_dec, build("topk", 6, 12, {"k": 3}, seed=2).W_dec)


def test_a_flipped_byte_and_a_cut_are_found(tmp_path):
    save(build("topk", 6, 12, {"k": 3}), tmp_path)
    (path,) = tmp_path.glob("weights-*")
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CorruptArtifact, match="sha256"):
            load(tmp_path)
    path.write_bytes(whole[:-1])
    with pytest.raises(CorruptArtifact, match="bytes"):
        load(tmp_path)
    path.unlink()
    with pytest.raises(CorruptArtifact, match="missing"):
        load(tmp_path)


def test_a_hostile_width_is_refused_before_memory_is_taken(tmp_path):
    save(build("topk", 6, 12, {"k": 3}), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["config"]["d_sae"] = 10**12
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptArtifact, match="states tensors"):
        load(tmp_path)


def test_no_manifest_another_kind_and_a_newer_version(tmp_path):
    with pytest.raises(NotAnArtifact, match=r"no manifest\.json"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema": "saescope.features", "version": 1}')
    with pytest.raises(NotAnArtifact, match=r"saescope\.features"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema": "saescope.sae", "version": 99, "environment": {"saescope": "9.9"}}')
    with pytest.raises(NewerSchema, match=r"9\.9"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CorruptArtifact, match="not valid JSON"):
        load(tmp_path)


def test_a_full_disk_leaves_the_old_sae(tmp_path, monkeypatch):
    old = build("topk", 6, 12, {"k": 3}, seed=1)
    save(old, tmp_path)
    monkeypatch.setenv("SAESCOPE_FAULT", "sae.write:1:enospc")
    monkeypatch.setattr("saescope.disk._fault_hits", {})
    from saescope.errors import DiskFull

    with pytest.raises(DiskFull, match="no space left"):
        save(build("topk", 6, 12, {"k": 3}, seed=2), tmp_path)
    assert torch.equal(load(tmp_path).W_dec, old.W_dec)
    assert not list(tmp_path.glob("tmp-*"))
