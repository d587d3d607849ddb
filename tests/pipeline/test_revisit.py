"""A trained SAE with the model and text it belongs to: what is the run's own, and what options change."""

import json
import shutil

import pytest

import tiny_run
from saescope.errors import ConfigError, NotAnArtifact, UnknownHookPoint, WidthMismatch
from saescope.pipeline import run
from saescope.pipeline.revisit import Revisit, revisit


@pytest.fixture(scope="module")
def trained(model, stories, tmp_path_factory):
    cfg = tiny_run.config(model, stories, text={"context": 30, "documents": 150})
    return run(cfg, tmp_path_factory.mktemp("runs") / "demo", until="sae").folder.path


@pytest.fixture
def other(tmp_path):
    return tiny_run.write_stories(tmp_path / "other.txt", 30)


def indices(corpus, part):
    return [document.index for document in corpus.documents(part)]


def test_all_of_it_is_the_runs_own(trained):
    seen = revisit(Revisit(sae=trained), text_as="report")
    assert (str(seen.subject.at), seen.subject.pack.context, seen.subject.pack.packing) == (tiny_run.AT, 30, "documents")
    assert seen.subject.corpus.n_documents == 150
    assert seen.cfg.sae.d_sae == seen.opened.sae.d_sae == 64


def test_another_text_is_the_report(trained, other):
    corpus = revisit(Revisit(sae=trained, text=str(other)), text_as="report").subject.corpus
    assert len(indices(corpus, "report")) == 30
    assert corpus.n_documents == 150
    few = revisit(Revisit(sae=trained, text=str(other), documents=7), text_as="report").subject.corpus
    assert len(indices(few, "report")) == 7


def test_another_text_is_the_corpus(trained, other):
    corpus = revisit(Revisit(sae=trained, text=str(other)), text_as="corpus").subject.corpus
    assert (corpus.name, corpus.n_documents) == ("other.txt", 30)
    assert revisit(Revisit(sae=trained, text=str(other), documents=7), text_as="corpus").subject.corpus.n_documents == 7


def test_fewer_documents_of_the_runs_text(trained):
    assert revisit(Revisit(sae=trained, documents=60), text_as="report").subject.corpus.n_documents == 60


def test_another_column(trained, tmp_path):
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"story": f"the cat ran {i}"}) + "\n" for i in range(20)))
    seen = revisit(Revisit(sae=trained, text=str(tmp_path / "t.jsonl"), column="story"), text_as="corpus")
    assert seen.subject.corpus.n_documents == 20


def test_a_bare_sae_needs_a_model_and_a_text(trained, model, stories, tmp_path):
    bare = tmp_path / "sae"
    shutil.copytree(trained / "sae", bare)
    with pytest.raises(ConfigError, match=r"SAE without a run, trained on tiny-llama.*--model"):
        revisit(Revisit(sae=bare), text_as="report")
    with pytest.raises(ConfigError, match=r"without a run.*--text"):
        revisit(Revisit(sae=bare, model=str(model)), text_as="report")
    seen = revisit(Revisit(sae=bare, model=str(model), text=str(stories)), text_as="report")
    assert (str(seen.subject.at), seen.subject.pack.context, seen.cfg) == (tiny_run.AT, 30, None)


def test_a_hook_point_of_another_width(trained):
    with pytest.raises(
        WidthMismatch, match=r"d_in=32.*blocks\.0\.resid_post.*16 wide.*trained at blocks\.1\.mlp_post.*blocks\.0\.mlp_post"
    ):
        revisit(Revisit(sae=trained, at="blocks.0.resid_post"), text_as="report")
    with pytest.raises(UnknownHookPoint, match=r"Did you mean 'blocks\.1\.mlp_post'"):
        revisit(Revisit(sae=trained, at="blocks.2.mlp_post"), text_as="report")
    assert revisit(Revisit(sae=trained, at="blocks.0.mlp_post"), text_as="report").subject.at.reads[0].layer == 0


def test_sizes_below_one():
    for name in ("documents", "batch_tokens"):
        with pytest.raises(ConfigError, match=f"{name}=0.*--{name.replace('_', '-')}"):
            Revisit(sae="x", **{name: 0})


def test_no_such_run(tmp_path):
    with pytest.raises(NotAnArtifact, match="Give a run"):
        revisit(Revisit(sae=tmp_path / "absent"), text_as="report")
