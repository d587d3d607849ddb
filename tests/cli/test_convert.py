"""saescope convert, and verbs that read what another library saved."""

import json

import pytest

from saescope import cli
from saescope.interop import open_sae


@pytest.fixture(scope="module")
def for_saelens(run_folder, tmp_path_factory):
    """The run's SAE as SAELens would have saved it. Shared: tests must not change it."""
    out = tmp_path_factory.mktemp("converted") / "sae"
    assert cli.main(["convert", str(run_folder), str(out), "--to", "saelens"]) == 0
    return out


def test_there_and_back(run_folder, for_saelens, tmp_path, saescope):
    facts = saescope("convert", for_saelens, tmp_path / "back", "--to", "saescope", "--json")
    assert facts == {
        "out": str(tmp_path / "back"), "from": "saelens", "to": "saescope", "architecture": "jumprelu", "d_in": 32, "d_sae": 64,
        "largest_difference": 0.0,
    }  # fmt: skip
    back, run = open_sae(tmp_path / "back"), open_sae(run_folder)
    assert back.provenance["hook_points"] == run.provenance["hook_points"]
    assert back.provenance["source"]["format"] == "saelens"
    said = saescope("convert", run_folder, tmp_path / "again", "--to", "saelens")
    assert said.startswith("saescope to saelens: batch_topk, 32 to 64 latents")
    assert "opened again, x_hat differs by at most" in said
    assert float(said.partition("at most ")[2].split()[0]) < 1e-5


def test_a_foreign_folder_is_measured_as_our_own_is(run_folder, for_saelens, model, stories, tmp_path, saescope):
    words = ["--model", model, "--text", stories, "--documents", "40", "--device", "cpu", "--rows", "neurons", "--json"]
    saes = {"ours": run_folder / "sae", "theirs": for_saelens}
    ours, theirs = (saescope("eval", sae, *words, "--out", tmp_path / name) for name, sae in saes.items())
    values = [{name: metric.get("value") for name, metric in said["rows"]["sae"].items()} for said in (ours, theirs)]
    assert values[1] == pytest.approx(values[0], rel=1e-4, abs=1e-4)
    assert values[0]["sparsity.l0"] > 0.5


def test_features_of_a_foreign_folder(for_saelens, model, stories, tmp_path, saescope):
    words = ["--model", model, "--text", stories, "--device", "cpu", "--documents", "60", "--feature-tokens", "300"]
    assert saescope("features", "build", for_saelens, *words, "--out", tmp_path / "features", "--json")["n_features"] == 64
    assert "feature 1" in saescope("show", tmp_path / "features", "1")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("{run} {full} --to saelens", "OutputOccupied"),
        ("{run} {file} --to saelens", "OutputNotWritable"),
        ("{run} {new} --to sparsify", "ConfigError"),
        ("{full} {new} --to saescope", "NotAnArtifact"),
    ],
)
def test_bad_input(run_folder, tmp_path, capsys, words, error):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    places = {name: str(tmp_path / name) for name in ("full", "file", "new")}
    assert cli.main(["convert", *words.format(run=run_folder, **places).split()]) == 2
    assert f"error: {error}: " in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert json.dumps(sorted(path.name for path in (tmp_path / "full").iterdir())) == '["thesis.tex"]'
