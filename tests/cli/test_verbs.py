"""Each verb beside the Python call that it stands for: the same numbers."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import saescope as api
import tiny_run
from saescope.config import to_dict
from saescope.data import PackConfig
from saescope.draws import draws
from saescope.files import read_manifest
from saescope.interop import open_sae
from saescope.pipeline.config import ArrayConfig, SAEConfig
from saescope.pipeline.from_array import train_on_array
from saescope.render.numbers import number
from saescope.saes.storage import read_provenance


def numbers(result):
    """The rows of an evaluation as JSON has them."""
    return json.loads(json.dumps(result.to_json()["rows"]))


@pytest.fixture(scope="module")
def python_run(model, stories, tmp_path_factory):
    return api.run(tiny_run.config(model, stories), tmp_path_factory.mktemp("python") / "demo")


@pytest.fixture(scope="module")
def opened(model, stories):
    """Model, text and packing of the run, by hand."""
    lm, text = api.LanguageModel.load(model, device="cpu"), api.Corpus.open(stories)
    return lm, text, PackConfig(context=32, packing="documents", bos=True, batch_sequences=128)


def test_run(saescope, flags, run_folder, python_run):
    said = saescope("run", *flags, "--out", run_folder, "--json")
    assert said["rows"] == numbers(python_run.result)
    assert tiny_run.outcome_of(run_folder) == tiny_run.outcome_of(python_run.folder.path)
    text = saescope("run", *flags, "--out", run_folder)
    assert text.startswith(f"done: {run_folder} is finished (--replace starts anew)")
    sae = python_run.result.rows["sae"]
    assert f"{sae['reconstruction.fvu'].value:.3f}" in text
    assert str(run_folder / "index.html") in text
    assert f"saescope show {run_folder} " in text


def test_run_reports_its_stages_on_stderr(flags, tmp_path, capsys):
    from saescope import cli

    assert cli.main(["run", *flags, "--out", str(tmp_path / "r"), "--json"]) == 0
    said = capsys.readouterr()
    json.loads(said.out)
    stages = [line.split("  ")[0].partition(":")[0] for line in said.err.splitlines()]
    assert list(dict.fromkeys(stages)) == ["harvesting", "training", "evaluating", "describing features"]
    assert "4,096 / 4,096 tokens  100.0 %" in said.err


def test_run_from_a_config_file(saescope, run_folder, tmp_path):
    options = to_dict(tiny_run.config("m", "t")) | {"text": {"text": "elsewhere.txt"}}
    run_config = json.loads((run_folder / "config.json").read_text())
    assert saescope("run", "--config", run_folder / "config.json", "--out", run_folder).startswith("done: ")
    (tmp_path / "c.json").write_text(json.dumps(options | {"out": str(run_folder), "json": True}))
    words = ["--config", tmp_path / "c.json", "--model", run_config["model"]["model"], "--text", run_config["text"]["text"]]
    assert '"schema": "saescope.eval/1"' in saescope("run", *words)


def test_train_then_run(saescope, flags, run_folder, tmp_path):
    facts = saescope("train", *flags, "--out", tmp_path, "--json")
    assert facts == read_provenance(tmp_path / "sae") == read_provenance(run_folder / "sae")
    assert not (tmp_path / "result.json").exists()
    again = saescope("train", *flags, "--out", tmp_path)
    assert again.startswith("done: ")
    assert f"FVU {number(facts['training']['fvu'])}" in again
    saescope("run", *flags, "--out", tmp_path)
    assert tiny_run.outcome_of(tmp_path) == tiny_run.outcome_of(run_folder)


def test_train_on_an_array(saescope, tmp_path):
    np.save(tmp_path / "acts.npy", draws(0, "test").standard_normal((400, 8)).astype(np.float32))
    words = ["--d-sae", "16", "--k", "3", "--tokens", "2048", "--batch-tokens", "128"]
    facts = saescope("train", "--activations", tmp_path / "acts.npy", *words, "--out", tmp_path / "run", "--json")
    train = replace(api.TrainConfig(), tokens=2048, batch_tokens=128)
    cfg = ArrayConfig(activations=tmp_path / "acts.npy", sae=SAEConfig(d_sae=16, k=3), train=train)
    assert facts == read_provenance(train_on_array(cfg, tmp_path / "python").sae)
    assert to_dict(open_sae(tmp_path / "run").sae.cfg)["k"] == 3


def test_eval_repeats_the_runs_own_result(saescope, run_folder, tmp_path):
    said = saescope("eval", run_folder, "--device", "cpu", "--out", tmp_path, "--json")
    had = json.loads((run_folder / "result.json").read_text())
    assert said["rows"] == had["rows"]
    assert said["provenance"] == had["provenance"]
    assert json.loads((tmp_path / "result.json").read_text()) == said
    assert set(said["files"]) == {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "eval").iterdir()}


def test_eval_of_other_options_is_a_report(saescope, run_folder, opened, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    before = tiny_run.content(folder)
    words = ["--rows", "pca", "--fidelity-tokens", "100", "--activation-tokens", "150", "--silent-tokens", "200", "--seed", "3"]
    said = saescope("eval", folder, *words, "--json")
    lm, text, pack = opened
    cfg = api.EvalConfig(fidelity_tokens=100, activation_tokens=150, dead_tokens=200, controls=("pca",), seed=3)
    result = api.evaluate({"sae": open_sae(folder).sae}, lm, tiny_run.AT, text, cfg, pack=pack)
    assert said["rows"] == numbers(result)
    assert {name: tiny_run.content(folder)[name] for name in before} == before
    (report,) = (folder / "reports").iterdir()
    assert json.loads((report / "result.json").read_text())["rows"] == said["rows"]


def test_eval_on_another_text(saescope, run_folder, opened, tmp_path):
    other = tiny_run.write_stories(tmp_path / "other.txt", 30)
    said = saescope("eval", run_folder, "--text", other, "--documents", "9", "--out", tmp_path / "out", "--json")
    lm, _, _ = opened
    report = list(api.Corpus.open(other).documents("all"))[:9]
    n = sum(min(len(lm.tokenizer.encode(document.text)), 31) for document in report)
    assert said["provenance"]["n_documents"] == 9
    assert said["rows"]["sae"]["sparsity.l0"]["n"] == said["provenance"]["n_tokens"] == n


def test_eval_prints_a_table(saescope, run_folder, tmp_path):
    said = saescope("eval", run_folder, "--rows", "neurons", "--out", tmp_path)
    assert said.startswith("sae: delta CE")
    assert "Held-out text" in said
    assert f"result    {tmp_path / 'result.json'}" in said


def test_features_build(saescope, run_folder, opened, tmp_path):
    facts = saescope("features", "build", run_folder, "--out", tmp_path / "own", "--json")
    assert tiny_run.content(tmp_path / "own").keys() == tiny_run.content(run_folder / "features").keys()
    assert (facts["n_features"], facts["n_tokens"]) == (64, api.FeatureStore.open(run_folder / "features").n_tokens)
    facts = saescope("features", "build", run_folder, "--feature-tokens", "500", "--seed", "2", "--out", tmp_path / "cli", "--json")
    lm, text, pack = opened
    cfg = api.FeatureConfig(n_tokens=500, seed=2)
    store = api.build_features(open_sae(run_folder).sae, lm, tiny_run.AT, text, tmp_path / "python", cfg, pack=pack)
    digests = {read_manifest(tmp_path / name, "saescope.features", 1).digest() for name in ("cli", "python")}
    assert len(digests) == 1
    assert facts == {"folder": str(tmp_path / "cli"), "n_features": 64, "n_alive": len(store.alive()), "n_tokens": store.n_tokens}
    assert f"{len(store.alive())} of 64 features fired" in saescope("features", "build", run_folder, "--out", tmp_path / "cli")


def test_features_of_another_text(saescope, run_folder, tmp_path):
    other = tiny_run.write_stories(tmp_path / "other.txt", 30)
    saescope("features", "build", run_folder, "--text", other, "--out", tmp_path / "out")
    provenance = api.FeatureStore.open(tmp_path / "out").provenance
    assert (provenance["corpus"], provenance["corpus_sha256"]) == ("other.txt", api.Corpus.open(other).sha256)


def test_show(saescope, run_folder):
    store = api.FeatureStore.open(run_folder / "features")
    i = store.choose_cards(1)[0]
    said = saescope("show", run_folder, i, "--json")
    table = store.table()
    assert said == {name: json.loads(json.dumps(column[i])) for name, column in table.items()}
    card = saescope("show", run_folder, i)
    assert f"{i}" in card
    assert saescope("show", run_folder / "features", i) == card
    assert len(saescope("show", run_folder, i, "--context", "1").split()) < len(card.split())


def test_hooks(saescope, model, opened):
    lm, _, _ = opened
    said = saescope("hooks", model, "--json")
    assert said["model"] == "tiny-llama"
    assert said["hook_points"] == [
        {"at": str(info.at), "path": info.path, "width": info.width, "check": info.check} for info in lm.hook_points()
    ]
    assert {"blocks.0.resid_pre", "blocks.1.mlp_post"} <= {point["at"] for point in said["hook_points"]}
    text = saescope("hooks", model)
    assert text.startswith("tiny-llama: 2 layers, d_model 16")
    assert all(str(info.at) in text for info in lm.hook_points())
