"""saescope before-after beside the Python call that it stands for."""

import json
import shutil

import pytest

import saescope as api
import tiny_run
from saescope import cli, errors
from saescope.cli.before_after import main
from saescope.data import PackConfig
from saescope.evals.before_after import BeforeAfterConfig, before_after
from saescope.evals.before_after_result import BeforeAfter
from saescope.interop import open_sae

SMALL = ["--texts", "3", "--neuron", "1", "--device", "cpu"]


@pytest.fixture
def call(monkeypatch, saescope):
    """The verb, registered or not."""
    monkeypatch.setitem(cli.VERBS, "before-after", ("saescope.cli.before_after", "a neuron beside a feature"))
    return lambda *words: saescope("before-after", *words)


@pytest.fixture(scope="module")
def feature(run_folder):
    """A feature that fires in many documents."""
    density = api.FeatureStore.open(run_folder / "features").table()["density"]
    return density.index(max(density))


def test_it_is_the_python_call(call, run_folder, model, stories, feature, tmp_path):
    said = call(run_folder, *SMALL, "--feature", feature, "--out", tmp_path, "--json")
    lm, text = api.LanguageModel.load(model, device="cpu"), api.Corpus.open(stories)
    cfg = BeforeAfterConfig(texts=3, neuron=1, feature=feature)
    pack = PackConfig(context=32, packing="documents", bos=True, batch_sequences=128)
    wanted = before_after(open_sae(run_folder).sae, lm, tiny_run.AT, text, cfg, pack=pack)
    assert said == json.loads(json.dumps(wanted.to_json()))
    assert BeforeAfter.load(tmp_path) == wanted


def test_the_result_is_a_report_of_the_run(call, run_folder, feature, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    before = tiny_run.content(folder)
    said = call(folder, *SMALL, "--feature", feature)
    (report,) = (folder / "reports").iterdir()
    assert report.name.startswith("before-after-")
    assert f"result    {report / 'result.json'}" in said
    assert {name: tiny_run.content(folder)[name] for name in before} == before
    for expected in ("3 texts each", "similarity", "random texts", f"feature {feature}"):
        assert expected in said
    call(folder, *SMALL, "--feature", feature, "--seed", "4")
    assert len(list((folder / "reports").iterdir())) == 2


def test_another_text_is_what_is_reported_on(call, run_folder, feature, tmp_path):
    other = tiny_run.write_stories(tmp_path / "other.txt", 30)
    said = call(run_folder, *SMALL, "--feature", feature, "--text", other, "--out", tmp_path / "out", "--json")
    assert said["provenance"]["n_documents"] == 30


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("--neuron", "32"), errors.ConfigError, "neuron=32 does not exist: blocks.1.mlp_post of tiny-llama has 32 of them, 0 to 31"),
        (("--feature", "64"), errors.ConfigError, "feature=64 does not exist: the SAE has 64 of them, 0 to 63"),
        (("--texts", "1"), errors.ConfigError, "texts=1 was asked for"),
        (("--tokens", "0"), errors.ConfigError, "tokens=0 was asked for"),
        (("--texts", "50"), errors.NoTokens, "selection documents"),
        (("--neurn", "3"), errors.ConfigError, "no option --neurn. Did you mean '--neuron'"),
    ],
)
def test_bad_input(run_folder, words, error, said):
    with pytest.raises(error, match=said):
        main([str(run_folder), *words])


def test_it_overwrites_nothing_but_its_own(run_folder, feature, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    for folder in (tmp_path, run_folder):
        with pytest.raises(errors.OutputOccupied, match="--out"):
            main([str(run_folder), "--out", str(folder)])
    (tmp_path / "thesis.tex").rename(tmp_path / "result.json")
    (tmp_path / "result.json").write_text('{"schema": "saescope.eval/1"}')
    with pytest.raises(errors.OutputOccupied, match=r"result\.json"):
        main([str(run_folder), "--out", str(tmp_path)])
