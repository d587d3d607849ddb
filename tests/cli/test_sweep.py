"""`saescope sweep`, and `run` and `train` at several hook points, beside the Python calls that they stand for."""

import json

import pytest

import saescope as api
import tiny_run
from saescope import cli
from saescope.pipeline import ModelConfig, TextConfig
from saescope.saes.storage import read_provenance

GRID = ["--sae", "topk,relu", "--l0", "2,4", "--d-sae", "16"]
TRAIN = ["--tokens", "1024", "--batch-tokens", "128", "--silent-tokens", "200"]


@pytest.fixture(scope="module")
def subject(model, stories):
    return [str(model), "--text", str(stories), "--device", "cpu"]


@pytest.fixture(scope="module")
def swept(subject, tmp_path_factory):
    """A finished sweep. Shared: tests must not change it."""
    folder = tmp_path_factory.mktemp("runs") / "sweep"
    assert cli.main(["sweep", *subject, "--at", tiny_run.AT, *GRID, *TRAIN, "--out", str(folder)]) == 0
    return folder


def test_sweep_is_the_python_call(saescope, subject, swept, model, stories, tmp_path):
    said = saescope("sweep", *subject, "--at", tiny_run.AT, *GRID, *TRAIN, "--out", swept, "--json")
    assert said == json.loads((swept / "pareto.json").read_text())
    outcome = api.sweep(
        api.SweepConfig(
            model=ModelConfig(model=str(model), device="cpu"), text=TextConfig(text=str(stories)), at=tiny_run.AT, silent_tokens=200,
            grid=api.GridConfig(sae=("topk", "relu"), l0=(2.0, 4.0), d_sae=(16,)), train=api.TrainConfig(tokens=1024, batch_tokens=128),
        ),
        tmp_path,
    )  # fmt: skip
    assert [point.name for point in outcome.points] == [point["name"] for point in said["points"]]
    assert json.loads((tmp_path / "pareto.json").read_text()) == said


def test_it_prints_the_table_and_where_to_look(saescope, subject, swept):
    text = saescope("sweep", *subject, "--at", tiny_run.AT, *GRID, *TRAIN, "--out", swept)
    assert text.startswith(f"done: {swept} is finished")
    for word in ("topk-l0-2", "relu-l0-4", "delta", str(swept / "index.html"), str(swept / "saes" / "topk-l0-2")):
        assert word in text


def test_its_saes_are_runs(saescope, swept):
    said = saescope("eval", swept / "saes" / "topk-l0-2", "--device", "cpu", "--rows", "pca", "--json")
    had = json.loads((swept / "saes" / "topk-l0-2" / "result.json").read_text())
    assert said["rows"]["sae"] == had["rows"]["sae"]
    assert "pca" in said["rows"]
    assert json.loads((swept / "saes" / "topk-l0-2" / "result.json").read_text()) == had


def test_train_and_run_at_every_layer(saescope, subject, tmp_path):
    words = [*subject, *tiny_run.FLAGS, "--at", "blocks.*.mlp_post", "--tokens", "1024", "--out", tmp_path]
    facts = saescope("train", *words, "--json")
    assert list(facts) == ["blocks.0.mlp_post", "blocks.1.mlp_post"]
    for at, said in facts.items():
        assert said == read_provenance(tmp_path / "saes" / at / "sae")
        assert said["hook_points"] == [at]
    assert not (tmp_path / "pareto.json").exists()
    again = saescope("train", *words)
    assert again.startswith("done: 2 SAEs in ")
    assert "blocks.1.mlp_post" in again
    text = saescope("run", *words)
    assert "blocks.0.mlp_post" in text
    assert (tmp_path / "saes" / "blocks.1.mlp_post" / "features" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sae", "topk,relue"], "Did you mean 'relu'"),
        (["--sae", "relu", "--k", "4"], "--k applies to none of --sae relu"),
        (["--l0", "4,x"], "'x' is not a finite number"),
        (["--at", "blocks.*.mlp"], "fits no hook point"),
        (["--seed", "0", "--seeds", "1,1"], "seeds lists a value twice"),
        (["--resume"], "nothing to resume"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(subject, tmp_path, capsys, words, message):
    assert cli.main(["sweep", *subject, "--at", tiny_run.AT, *TRAIN, "--out", str(tmp_path / "out"), *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("error: ")
    assert not (tmp_path / "out").exists()
