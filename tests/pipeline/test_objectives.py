"""Objectives by options: what a run with one leaves, how it goes on, and what is refused."""

import json

import pytest

import tiny_run
from saescope.errors import ConfigError, ProvenanceMismatch, UnknownHookPoint
from saescope.pipeline import run
from saescope.pipeline.objectives import ObjectiveConfig
from saescope.saes.storage import read_provenance, sae_sha256

KL = ObjectiveConfig(objective="end_to_end", last=0.25)


def records(folder):
    return [json.loads(line)["saes"]["sae"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_last_tokens_of_a_run_train_end_to_end(model, stories, tmp_path):
    outcome = run(tiny_run.config(model, stories, objective=KL), tmp_path / "a", until="sae")
    seen = records(tmp_path / "a")
    assert ["kl" in facts for facts in seen] == [False] * 3 + [True]
    assert all(facts["fvu"] > 0 for facts in seen)
    said = read_provenance(outcome.folder.sae)["objective"]
    assert (said["objective"], said["last"], said["kl"]) == ("end_to_end", 0.25, 1.0)
    with pytest.raises(ProvenanceMismatch, match=r"objective\.last"):
        run(tiny_run.config(model, stories, objective=ObjectiveConfig(objective="end_to_end", last=0.5)), tmp_path / "a", until="sae")


def test_a_stopped_run_goes_on_to_the_same_sae(model, stories, tmp_path):
    cfg = tiny_run.config(model, stories, objective=KL)
    whole = run(cfg, tmp_path / "whole", until="sae").sae

    class Stopped(Exception): ...

    class Reporter:
        def stage(self, title, total, done=0):
            import contextlib

            def tick(done, **facts):
                if title == "training" and done == 28 * 128:
                    raise Stopped

            return contextlib.nullcontext(tick)

        def say(self, sentence): ...

    with pytest.raises(Stopped):
        run(cfg, tmp_path / "cut", until="sae", reporter=Reporter())
    assert sae_sha256(run(cfg, tmp_path / "cut", until="sae").sae) == sae_sha256(whole)


def test_downstream_points_are_those_behind_or_those_named(model, stories, tmp_path):
    usual = ObjectiveConfig(objective="end_to_end_downstream", last=0.25)
    run(tiny_run.config(model, stories, objective=usual), tmp_path / "a", until="sae")
    assert records(tmp_path / "a")[-1]["downstream"] > 0
    wrong = ObjectiveConfig(objective="end_to_end_downstream", downstream_at="blocks.9.*")
    with pytest.raises(UnknownHookPoint, match=r"blocks\.9"):
        run(tiny_run.config(model, stories, objective=wrong), tmp_path / "b", until="sae")


def test_without_reconstruction_it_is_end_to_end_throughout(model, stories, tmp_path):
    published = ObjectiveConfig(objective="end_to_end", last=1.0, mse=0.0, balance=False)
    run(tiny_run.config(model, stories, objective=published), tmp_path / "a", until="sae")
    seen = records(tmp_path / "a")
    assert all(facts["end_to_end"] == pytest.approx(tiny_run.WIDTH * facts["kl"], rel=1e-4) for facts in seen)
    assert not any("mse" in facts for facts in seen)


def test_a_step_smaller_than_a_sequence_is_refused_before_training(model, stories, tmp_path):
    cfg = tiny_run.config(model, stories, objective=KL, train={"batch_tokens": 16})
    with pytest.raises(ConfigError, match="a step of 16 tokens cannot hold a sequence of up to 32"):
        run(cfg, tmp_path / "a", until="sae")
    assert not (tmp_path / "a" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"last": 0.0}, r"last=0\.0 is a share"),
        ({"kl": -1.0}, "kl=-1.0 weighs"),
        ({"kl": 2.0}, "--kl applies to an end-to-end objective only"),
        ({"last": 0.5}, "--last applies to an end-to-end objective only"),
        ({"objective": "end_to_end", "downstream": 2.0}, "--downstream applies to --objective end_to_end_downstream only"),
        ({"objective": "end_to_end", "kl": 0.0}, "leaves --objective end_to_end nothing"),
        ({"objective": "end_to_end_downstream", "kl": 0.0, "downstream": 0.0}, "nothing to train on"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        ObjectiveConfig(**options)
