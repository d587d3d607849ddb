"""`saescope run` without a model: the demo, and what flags and files change of it."""

import json

import pytest

from saescope.cli import run as verb


@pytest.fixture
def asked(monkeypatch):
    """The options with which the main job would have been called."""
    seen = []

    def remember(cfg, out, **options):
        seen.append((cfg.with_subject(), out, options))
        raise InterruptedError

    monkeypatch.setattr(verb, "run", remember)

    def ask(*argv):
        with pytest.raises(InterruptedError):
            verb.main(argv)
        return seen.pop()

    return ask


def test_no_model_is_the_demo(asked):
    cfg, out, options = asked()
    assert (cfg.model.model, cfg.text.text, cfg.at) == ("bundled", "babel", "blocks.0.mlp_post")
    assert (cfg.sae.k, cfg.train.tokens >= 2_000_000, cfg.feature_tokens) == (16, True, verb.DEMO["feature_tokens"])
    assert out.as_posix() == "runs/demo"
    assert not options["replace"]


def test_flags_change_the_demo(asked):
    cfg, out, options = asked("--k", "8", "--replace", "--out", "elsewhere")
    assert (cfg.sae.k, cfg.train.tokens, out.as_posix(), options["replace"]) == (8, verb.DEMO["train"]["tokens"], "elsewhere", True)


def test_a_named_model_has_the_usual_defaults(asked):
    for argv in (("bundled",), ("--model", "bundled")):
        cfg, out, _ = asked(*argv)
        assert (cfg.sae.k, cfg.train.tokens, cfg.feature_tokens) == (None, 6_000_000, 1_000_000)
        assert out.as_posix() == "runs/bundled-blocks.0.mlp_post-batch_topk"


def test_a_config_file_is_taken_as_it_is(asked, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"model": {"model": "bundled"}, "train": {"tokens": 5000}}))
    cfg, _, _ = asked("--config", str(tmp_path / "c.json"))
    assert (cfg.train.tokens, cfg.sae.k) == (5000, None)
