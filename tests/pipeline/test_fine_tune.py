"""Fine-tuning by one call: a run folder of its own, which names its parent and is opened by every later verb."""

import contextlib
import json
import shutil

import pytest
import torch

import tiny_run
from saescope.errors import ConfigError, ProvenanceMismatch
from saescope.files import read_manifest
from saescope.pipeline import run
from saescope.pipeline.fine_tune import FineTuneConfig, fine_tune, sae_config_of
from saescope.pipeline.objectives import ObjectiveConfig
from saescope.pipeline.revisit import Revisit, revisit
from saescope.saes.registry import build, describe
from saescope.saes.storage import load, read_provenance, sae_sha256

SHRUNK = {"sae": "relu", "d_sae": 64, "l1": 2.0}
KL = ObjectiveConfig(objective="end_to_end")


@pytest.fixture(scope="module")
def trained(model, stories, tmp_path_factory):
    return run(tiny_run.config(model, stories), tmp_path_factory.mktemp("runs") / "demo", until="sae").folder.path


@pytest.fixture(scope="module")
def shrunk(model, stories, tmp_path_factory):
    """A ReLU SAE that its penalty has shrunk."""
    cfg = tiny_run.config(model, stories, sae=SHRUNK, train={"lr": 1e-2})
    return run(cfg, tmp_path_factory.mktemp("runs") / "relu", until="sae").folder.path


def tune(sae, out, **options):
    return fine_tune(FineTuneConfig(sae=sae, **{"tokens": 2048, "device": "cpu"} | options), out)


def test_scales_undo_the_shrinkage_and_leave_a_run(shrunk, tmp_path):
    tuned = tune(shrunk, tmp_path / "a", what="scale")
    parent = load(shrunk / "sae")
    assert tuned.before["gamma"] < 0.97
    assert abs(tuned.after["gamma"] - 1) < abs(tuned.before["gamma"] - 1)
    assert tuned.after["fvu"] < tuned.before["fvu"]
    assert tuned.after["l0"] == tuned.before["l0"]
    assert torch.equal(tuned.sae.W_dec, parent.W_dec)
    said = read_provenance(tmp_path / "a" / "sae")["fine_tune"]
    assert (said["what"], said["parent_sha256"], said["before"]) == ("scale", sae_sha256(parent), tuned.before)
    seen = revisit(Revisit(sae=tmp_path / "a"), text_as="report")
    assert sae_sha256(seen.opened.sae) == sae_sha256(tuned.sae)
    assert (seen.cfg.sae.sae, seen.cfg.train.tokens) == ("relu", 2048)


def test_a_batch_rule_becomes_thresholds(trained, tmp_path):
    tuned = tune(trained, tmp_path / "a", what="scale")
    assert tuned.sae.architecture == "jumprelu"
    assert revisit(Revisit(sae=tmp_path / "a"), text_as="report").cfg.sae.sae == "jumprelu"
    assert tuned.after["l0"] == pytest.approx(tuned.before["l0"], rel=1e-3)
    assert tuned.after["fvu"] <= tuned.before["fvu"] + 1e-3


def test_the_decoder_alone_leaves_latents_as_they_are(trained, tmp_path):
    tuned, parent = tune(trained, tmp_path / "a", what="decoder", lr=1e-2), load(trained / "sae")
    assert not torch.equal(tuned.sae.W_dec, parent.W_dec)
    assert torch.equal(tuned.sae.tau, parent.tau)
    x = torch.linspace(-1, 1, 50 * 32).reshape(50, 32)
    torch.testing.assert_close(tuned.sae.encode(x), parent.encode(x), rtol=1e-4, atol=1e-5)
    assert tuned.after["l0"] == pytest.approx(tuned.before["l0"], rel=1e-2)


def test_all_of_it_end_to_end(trained, tmp_path):
    tuned = tune(trained, tmp_path / "a", objective=KL)
    records = [json.loads(line)["saes"]["sae"] for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert all("kl" in facts for facts in records)
    assert tuned.after["l0"] == pytest.approx(4, rel=0.1)  # calibrated anew
    assert sae_sha256(load(trained / "sae")) == read_provenance(tmp_path / "a" / "sae")["fine_tune"]["parent_sha256"]
    again = tune(trained, tmp_path / "a", objective=KL)
    assert (again.state, again.after) == ("done", tuned.after)
    with pytest.raises(ProvenanceMismatch, match=r"fine_tune\.what"):
        tune(trained, tmp_path / "a", what="decoder", objective=KL)
    grandchild = tune(tmp_path / "a", tmp_path / "b", what="decoder")
    assert read_provenance(grandchild.folder.sae)["fine_tune"]["parent"]["what"] == "all"


def test_a_stopped_one_goes_on_to_the_same_sae(trained, tmp_path):
    class Stopped(Exception): ...

    class Reporter:
        def stage(self, title, total, done=0):
            def tick(done, **facts):
                if done == 12 * 128:
                    raise Stopped

            return contextlib.nullcontext(tick)

        def say(self, sentence): ...

    whole = tune(trained, tmp_path / "whole", objective=KL)
    with pytest.raises(Stopped):
        fine_tune(FineTuneConfig(sae=trained, tokens=2048, device="cpu", objective=KL), tmp_path / "cut", reporter=Reporter())
    resumed = tune(trained, tmp_path / "cut", objective=KL)
    assert resumed.state == "continue"
    assert read_manifest(resumed.folder.sae, "saescope.sae", 1).digest() == read_manifest(whole.folder.sae, "saescope.sae", 1).digest()
    assert not resumed.folder.checkpoints.exists()


def test_an_sae_without_a_run(trained, model, stories, tmp_path):
    shutil.copytree(trained / "sae", tmp_path / "bare")
    tuned = tune(tmp_path / "bare", tmp_path / "a", what="decoder", model=str(model), text=str(stories))
    cfg = revisit(Revisit(sae=tmp_path / "a"), text_as="report").cfg
    assert (cfg.text.text, cfg.sae.sae, cfg.at) == (str(stories), "batch_topk", tiny_run.AT)
    assert tuned.folder.path == tmp_path / "a"


@pytest.mark.parametrize(
    "made",
    [
        build("jumprelu", 8, 24, {"sparsity": "tanh", "bandwidth": 2.0}),
        build("skip_transcoder", 8, 24, {"activation": "relu", "l1": 2.0}, d_out=5),
        build("matryoshka", 8, 24, {"k": 3}),
    ],
)
def test_the_options_of_an_sae_are_those_it_was_built_of(made):
    cfg = sae_config_of(made)
    assert cfg.d_sae == 24
    assert describe(build(cfg.sae, 8, 24, cfg.options(), d_out=made.d_out)) == describe(made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"what": "scale", "lr": 1e-3}, "--lr does not apply to --what scale"),
        ({"what": "scale", "objective": KL}, "--objective does not apply to --what scale"),
        ({"tokens": 0}, "tokens=0"),
        ({"step_tokens": 0}, "step_tokens=0"),
        ({"lr": 0.0}, "lr=0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        FineTuneConfig(sae=tmp_path, **options)


def test_fewer_tokens_than_a_step_has_are_refused(trained, tmp_path):
    with pytest.raises(ConfigError, match=r"tokens=100 is less than one step of 128.*--step-tokens"):
        tune(trained, tmp_path / "a", tokens=100)
    assert not (tmp_path / "a").exists()


def test_a_topk_sae_is_refused_before_the_folder_is_made(model, stories, tmp_path):
    run(tiny_run.config(model, stories, sae={"sae": "topk", "d_sae": 64, "k": 4}), tmp_path / "topk", until="sae")
    with pytest.raises(ConfigError, match="keeps the largest latents"):
        tune(tmp_path / "topk", tmp_path / "a", what="scale")
    assert not (tmp_path / "a").exists()
