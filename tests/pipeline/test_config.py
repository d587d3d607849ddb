"""What a run is asked to do: what is refused, what is left open, and when two configs are the same run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tiny_run
from saescope.config import from_dict, to_dict
from saescope.errors import ConfigError
from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.pipeline.subject import open_subject, resolved

CFG = RunConfig(model=ModelConfig(model="m"), text=TextConfig(text="t"), at="blocks.0.mlp_post")


def as_written(cfg: RunConfig) -> dict:
    return json.loads(json.dumps(to_dict(cfg)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TextConfig(text="t", documents=0), "documents=0.*at least 1.*--documents"),
        (lambda: TextConfig(text="t", piece=0), "piece=0.*at least 1.*--piece"),
        (lambda: TextConfig(text="t", context=1), "context=1.*at least 2.*--context"),
        (lambda: SAEConfig(d_sae=0), "d_sae=0.*at least 1.*--d-sae"),
        (lambda: SAEConfig(expansion=-1), "expansion=-1.*above 0.*--expansion"),
        (lambda: SAEConfig(expansion=float("nan")), "expansion=nan.*above 0"),
        (lambda: SAEConfig(k=0), "k=0.*at least 1.*--k"),
        (lambda: SAEConfig(sae="relu", k=3), "--k does not apply to --sae relu"),
        (lambda: SAEConfig(sae="topk", l1=3.0), "--l1 does not apply to --sae topk"),
        (lambda: SAEConfig(d_sae=10, expansion=2).width(8), "d_sae=10 and expansion=2 of d_in=8 disagree"),
        (lambda: SAEConfig(expansion=0.01).width(8), "leaves no latent"),
        (lambda: replace(CFG, silent_tokens=0), "silent_tokens=0.*--silent-tokens"),
        (lambda: replace(CFG, feature_tokens=-1), "feature_tokens=-1.*--feature-tokens"),
        (lambda: replace(CFG, label_tokens=-1), "label_tokens=-1.*--label-tokens"),
        (lambda: replace(CFG, cards=-1), "cards=-1.*--cards"),
        (lambda: replace(CFG, cache=""), "names nothing.*--cache"),
    ],
)
def test_what_is_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_the_bundled_model_has_a_text_and_a_hook_point_of_its_own():
    cfg = RunConfig().with_subject()
    assert (cfg.model.model, cfg.text.text, cfg.at) == ("bundled", "babel", "blocks.0.mlp_post")
    assert cfg.with_subject() == cfg
    assert replace(RunConfig(), at="blocks.0.resid_post").with_subject().at == "blocks.0.resid_post"
    assert CFG.with_subject() == CFG
    with pytest.raises(ConfigError, match=r"--text must be given for m, such as --text stories\.txt"):
        RunConfig(model=ModelConfig(model="m"), at="blocks.0.mlp_post").with_subject()
    with pytest.raises(ConfigError, match=r"--text and --at must be given for m.*saescope hooks m"):
        RunConfig(model=ModelConfig(model="m")).with_subject()


def test_the_width():
    assert SAEConfig().width(16) == 128
    assert SAEConfig(expansion=1.5).width(16) == 24
    assert SAEConfig(d_sae=24, expansion=1.5).width(16) == SAEConfig(d_sae=24).width(16) == 24


def test_where_activations_are_kept():
    assert CFG.cache_folder is None
    assert replace(CFG, cache="never").cache_folder is None
    assert replace(CFG, cache="a/b").cache_folder == Path("a/b")


@pytest.mark.parametrize("sae", [{}, {"expansion": 2, "k": 4}, {"sae": "topk", "d_sae": 48}, {"sae": "relu"}, {"sae": "relu", "l1": 1}])
def test_resolved_leaves_nothing_open(model, stories, sae):
    cfg = tiny_run.config(model, stories, sae=sae)
    subject = open_subject(cfg)
    full = resolved(cfg, subject)
    assert (full.text.context, full.text.packing, full.at) == (32, "documents", tiny_run.AT)
    assert full.sae.d_sae == sae.get("d_sae", tiny_run.WIDTH * sae.get("expansion", 8))
    assert (full.sae.k is None) == (full.sae.sae == "relu")
    assert (full.sae.l1 is None) == (full.sae.sae != "relu")
    assert full.train.lr > 0
    assert full.train.dead_tokens == 4096 // 20
    assert resolved(full, subject) == full
    assert from_dict(RunConfig, as_written(full)) == full


def test_settled_takes_what_is_open_from_an_earlier_run(model, stories):
    cfg = tiny_run.config(model, stories)
    had = resolved(replace(cfg, train=replace(cfg.train, lr=1e-4), text=replace(cfg.text, context=20)), open_subject(cfg))
    assert cfg.settled(None) == cfg
    assert cfg.settled(as_written(had)) == had
    same = replace(cfg, sae=replace(cfg.sae, k=None))
    assert same.settled(as_written(had)) == had


@pytest.mark.parametrize(
    "change",
    [
        {"sae": {"expansion": 4}},
        {"sae": {"d_sae": 32, "k": 4}},
        {"sae": {"sae": "relu", "d_sae": 64}},
        {"text": {"context": 16}},
        {"train": {"tokens": 8192}},
        {"cards": 7},
        {"at": "blocks.0.mlp_post"},
    ],
    ids=str,
)
def test_settled_leaves_another_config_as_it_is(model, stories, change):
    cfg = tiny_run.config(model, stories)
    had = as_written(resolved(cfg, open_subject(cfg)))
    other = tiny_run.config(model, stories, **change)
    assert other.settled(had) == other


def test_settled_beside_a_run_of_something_else():
    assert CFG.settled({"activations": "x.npy", "sae": {"sae": "topk"}}) == CFG
