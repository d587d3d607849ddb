"""`saescope concepts` beside the Python call, and what it says of mistakes."""

import json

import pytest

import saescope as api
from saescope import errors
from saescope.cli import concepts as verb
from saescope.data import PackConfig
from saescope.evals.concepts import ConceptConfig, concepts, neuron_row
from saescope.interop import open_sae


def call(capsys, *words) -> str:
    capsys.readouterr()
    assert verb.main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_the_verb_says_what_the_call_finds(capsys, run_folder, model, stories, tmp_path):
    said = json.loads(call(capsys, run_folder, "--tokens", 300, "--top", 5, "--out", tmp_path / "r", "--json"))
    lm, text = api.LanguageModel.load(model, device="cpu"), api.Corpus.open(stories)
    pack = PackConfig(context=32, packing="documents", bos=True, batch_sequences=128)
    opened = open_sae(run_folder)
    at = opened.provenance["hook_points"][0]
    rows = {"sae": opened.sae, "neurons": neuron_row(lm, at, text, pack)}
    cfg = ConceptConfig(select_tokens=300, report_tokens=300, top_texts=5)
    report = concepts(rows, lm, at, text, cfg, pack=pack)
    assert said == json.loads(json.dumps(report.to_json())) == json.loads((tmp_path / "r" / "result.json").read_text())
    assert {label["family"] for label in said["labels"]} == {"script", "char_byte", "line"}
    (last,) = (label for label in said["labels"] if label["label"] == "last")
    assert last["rows"]["sae"]["texts"] <= 5
    assert last["token_rule"]["n_tokens"] >= 1


def test_asked_labels_have_a_line_each_and_otherwise_the_strongest(capsys, run_folder, tmp_path):
    words = (run_folder, "--tokens", 300, "--out", tmp_path / "r")
    said = call(capsys, *words, "--label", "last,line:first")
    assert [line.split()[1] for line in said.splitlines() if line.startswith("line: ")] == ["last", "first"]
    assert "mean purity" in said
    assert f"result    {tmp_path / 'r' / 'result.json'}" in said
    strongest = call(capsys, *words)  # its own folder may be used again
    assert sum(line.startswith("line: ") for line in strongest.splitlines()) == 1


def test_without_out_it_goes_to_the_reports_of_the_run(capsys, flags, run_folder, tmp_path):
    import shutil

    run = shutil.copytree(run_folder, tmp_path / "run")
    said = call(capsys, run, "--tokens", 100)
    (folder,) = (run / "reports").iterdir()
    assert folder.name.startswith("concepts-")
    assert str(folder / "result.json") in said


def test_mistakes_are_said_before_anything_is_read(run_folder, tmp_path):
    run = str(run_folder)
    with pytest.raises(errors.ConfigError, match=r"'lats' is no label of this text. Did you mean 'last'.* Labels: script:latin"):
        verb.main([run, "--label", "lats"])
    with pytest.raises(errors.ConfigError, match="top=0 was asked for"):
        verb.main([run, "--top", "0"])
    with pytest.raises(errors.ConfigError, match="tokens=0 was asked for"):
        verb.main([run, "--tokens", "0"])
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(errors.OutputOccupied, match=r"holds no saescope.concepts, but mine\.txt"):
        verb.main([run, "--out", str(tmp_path)])
    (tmp_path / "mine.txt").rename(tmp_path / "result.json")
    with pytest.raises(errors.OutputOccupied, match=r"but result\.json"):
        verb.main([run, "--out", str(tmp_path)])
