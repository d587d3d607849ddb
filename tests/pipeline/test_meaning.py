"""Labels and the before-and-after of a run: made where the text tells something, kept, and shown on the page."""

import json
from contextlib import nullcontext

import pytest

import tiny_run
from saescope.data.babel import FAMILIES
from saescope.features.store import FeatureStore
from saescope.pipeline import run


class Heard:
    """A reporter that remembers."""

    def __init__(self):
        self.stages, self.said = [], []

    def stage(self, title, total, done=0):
        self.stages.append(title)
        return nullcontext(lambda done, **facts: None)

    def say(self, sentence):
        self.said.append(sentence)


@pytest.fixture(scope="module")
def babel_run(model, tmp_path_factory):
    cfg = tiny_run.config(model, "babel", text={"context": 32}, label_tokens=45_000)
    folder = tmp_path_factory.mktemp("babel") / "run"
    outcome = run(cfg, folder)
    return cfg, folder, outcome


def test_features_are_named_by_labels_of_the_text(babel_run):
    _, folder, outcome = babel_run
    store = outcome.features
    named = [store[i].concept for i in store.alive() if store[i].concept is not None]
    assert named, "no feature has a label"
    assert {concept.family for concept in named} <= set(FAMILIES)
    assert store.concept_provenance["n_tokens_report"] >= 43_000
    report = json.loads((folder / "features/concepts/result.json").read_text())
    assert set(report["rows"]) == {"sae", "neurons"}
    assert {"arabic", "dna", "sea"} <= {label["label"] for label in report["labels"]}


def test_the_page_shows_both(babel_run):
    _, folder, _ = babel_run
    page = (folder / "index.html").read_text()
    assert "Before and after" in page
    assert "Best label" in page


def test_they_are_made_once(babel_run):
    cfg, folder, _ = babel_run
    before = tiny_run.content(folder)
    (folder / "index.html").unlink()
    heard = Heard()
    again = run(cfg, folder, reporter=heard)
    assert not [stage for stage in heard.stages if stage.startswith(("labels", "before"))]
    assert tiny_run.content(folder)["index.html"][1] == before["index.html"][1]
    assert isinstance(again.features, FeatureStore)


def test_text_that_tells_nothing_has_no_labels(model, stories, tmp_path):
    heard = Heard()
    outcome = run(tiny_run.config(model, stories, label_tokens=300), tmp_path / "run", reporter=heard)
    assert not outcome.features.concept_provenance
    assert any(sentence.startswith("no before and after: ") for sentence in heard.said)  # ten report documents are too few


def test_label_tokens_0_leaves_both_out(model, tmp_path):
    heard = Heard()
    run(tiny_run.config(model, "babel", text={"context": 32}, label_tokens=0), tmp_path / "run", reporter=heard)
    assert not (tmp_path / "run/features/concepts").exists()
    assert not (tmp_path / "run/eval/before-after").exists()
    assert not heard.said
