"""The recipe from a text to a model folder that the ordinary door opens."""

import json
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from saescope import cli
from saescope.errors import ConfigError, DiskFull, NoTokens, OutputOccupied, ProvenanceMismatch
from saescope.models.language_model import LanguageModel
from saescope.recipes import RECIPES, bundled_model
from saescope.recipes.bundled_model import ModelRecipe, make_model

NAMES = ("Tom", "Ann", "Sue", "Ben")


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    draw = np.random.Generator(np.random.Philox(key=3))
    documents = []
    for _ in range(1500):
        name, thing = NAMES[draw.integers(4)], ("ball", "kite", "drum")[draw.integers(3)]
        documents.append(f"{name} had a {thing}. The {thing} was new. {name} liked the {thing}.")
    (folder / "a.txt").write_text("\n<|endoftext|>\n".join(documents))
    return folder


def recipe(text, **changes):
    return ModelRecipe(
        **({"text": str(text), "tokens": 50 * 8 * 32, "vocab": 300, "context": 32, "batch_tokens": 8 * 32, "lr": 1e-2} | changes)
    )


@pytest.fixture(scope="module")
def made(text, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "run"
    return out, make_model(recipe(text), out)


def test_the_model_opens_and_has_learnt(made, text):
    out, report = made
    lm = LanguageModel.load(out / "model")
    assert lm.width("blocks.0.mlp_post") == 512
    assert next(lm.hf.parameters()).dtype == torch.float32
    assert lm.tokenizer.bos_id == 0
    assert lm.context_length == 32
    (row,) = report["kinds"]
    ids = np.concatenate([lm.tokenizer.encode(line) for line in (text / "a.txt").read_text().split("\n<|endoftext|>\n")])
    p = np.bincount(ids) / len(ids)
    unigram = -(p[p > 0] * np.log(p[p > 0])).sum()
    assert row["ce"] < 0.8 * unigram
    assert row["ce"] < row["bigram"] + 1


def test_what_is_measured_is_what_is_saved(made, text):
    from saescope.recipes.ngram import Bigram
    from saescope.recipes.quality import measure
    from saescope.recipes.texts import FolderTexts

    out, report = made
    lm = LanguageModel.load(out / "model")
    bigram = Bigram(np.arange(300, dtype=np.uint16), 300)
    (row,) = measure(lm.hf, lm.tokenizer.hf, FolderTexts(text).report(100), bigram, context=32, floors=False)
    assert row.ce == pytest.approx(report["kinds"][0]["ce"], abs=1e-9)


def test_the_folder_is_small_and_says_how_it_was_made(made):
    out, report = made
    card = (out / "model" / "README.md").read_text()
    assert "saescope run --recipe bundled-model" in card
    assert "--vocab 300" in card
    assert f"{report['parameters']:,}" in card
    assert sorted(path.name for path in (out / "model").iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert report["model_bytes"] < 1_000_000
    assert not (out / "work").exists()
    assert not (out / "checkpoints").exists()
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 50


def test_a_finished_run_is_done_and_another_recipe_is_refused(made, text, monkeypatch):
    out, report = made
    monkeypatch.setattr(bundled_model, "_make", lambda *args: pytest.fail("made again"))
    assert make_model(recipe(text), out) == json.loads((out / "report.json").read_text())
    assert make_model(recipe(text, threads=1), out)["kinds"] == report["kinds"]
    with pytest.raises(ProvenanceMismatch, match="seed: 0 -> 1"):
        make_model(recipe(text, seed=1), out)


def test_a_run_that_was_killed_goes_on_to_the_same_weights(made, text, tmp_path, monkeypatch):
    monkeypatch.setenv("SAESCOPE_FAULT", "db.commit:3:ioerror")  # past the tokenizer, before the report
    with pytest.raises(OSError, match="fault"):
        make_model(recipe(text), tmp_path / "run")
    assert not (tmp_path / "run" / "report.json").exists()
    monkeypatch.delenv("SAESCOPE_FAULT")
    make_model(recipe(text), tmp_path / "run")
    name = "model/model.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (made[0] / name).read_bytes()


def test_no_space_left(text, tmp_path, monkeypatch):
    monkeypatch.setenv("SAESCOPE_FAULT", "tokens.write:1:enospc")
    with pytest.raises(DiskFull):
        make_model(recipe(text), tmp_path / "run")


def test_an_occupied_folder_is_refused(text, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(OutputOccupied):
        make_model(recipe(text), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_replace_starts_anew(text, tmp_path):
    small = recipe(text, tokens=320)
    make_model(small, tmp_path / "run")
    report = make_model(recipe(text, tokens=320, seed=4), tmp_path / "run", replace=True)
    assert report["recipe"]["seed"] == 4
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("wrong", [{"vocab": 200}, {"vocab": 4000}, {"tokens": 5}, {"threads": 0}, {"context": 1}])
def test_refuses_sizes_that_do_not_fit(text, tmp_path, wrong):
    with pytest.raises(ConfigError, match="--"):
        make_model(recipe(text, **wrong), tmp_path / "run")


def test_refuses_a_folder_without_text(tmp_path):
    with pytest.raises(NoTokens):
        make_model(recipe(tmp_path), tmp_path / "run")


def test_the_command_line(text, tmp_path, capsys):
    flags = ["--text", str(text), "--tokens", "320", "--vocab", "300", "--context", "32", "--batch-tokens", "256"]
    assert cli.main(["run", "--recipe", "bundled-model", *flags, "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "nats/token" in out
    assert str(tmp_path / "run" / "model") in out


def test_babel_is_sampled_and_judged(tmp_path, monkeypatch):
    for name, small in (("TOKENIZER_BYTES", 200_000), ("REPORT_DOCUMENTS", 1), ("N_SAMPLES", 20)):
        monkeypatch.setattr(bundled_model, name, small)
    report = make_model(recipe("babel", tokens=10_240, vocab=400), tmp_path / "run")
    assert report["verdicts"]
    assert {"hex", "story", "mixed"} < {row["kind"] for row in report["kinds"]}
    assert report["samples"]["n"] == 20
    assert sum(row["samples"] for row in report["samples"]["free"].values()) == 20
    assert "samples: " in bundled_model.summary(report, tmp_path)


def test_every_recipe_has_its_parts():
    for module, _ in RECIPES.values():
        recipe = import_module(module)
        assert callable(recipe.run)
        assert recipe.DESCRIPTION
        assert is_dataclass(recipe.Options)


@pytest.mark.parametrize("words", [["--recipe"], ["--recipe", "bundeld-model"], ["--recipe=nothing"]])
def test_an_unknown_recipe_lists_the_known_ones(words, capsys):
    assert cli.main(["run", *words]) == 2
    assert "Recipes: bundled-model" in capsys.readouterr().err
