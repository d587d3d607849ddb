"""Transcoders and crosscoders by the one command: trained, measured, described and shown like an SAE, from one run folder."""

import json

import pytest
import torch

import tiny_run
from saescope import cli, errors
from saescope.features.store import FeatureStore
from saescope.interop import open_sae
from saescope.pipeline import run
from saescope.pipeline.config import ArrayConfig, SAEConfig
from saescope.pipeline.from_array import train_on_array
from saescope.saes.registry import build, describe
from saescope.saes.storage import load, read_provenance
from saescope.training.config import TrainConfig

READ, WRITTEN, BOTH = "blocks.1.resid_mid", "blocks.1.mlp_out", "blocks.0.resid_post,blocks.1.resid_post"
KINDS = {
    "transcoder": ({"sae": "transcoder", "d_sae": 64, "k": 4}, {"at": READ, "target": WRITTEN}, f"{READ} -> {WRITTEN}"),
    "skip_transcoder": ({"sae": "skip_transcoder", "d_sae": 64, "k": 4}, {"at": READ, "target": WRITTEN}, f"{READ} -> {WRITTEN}"),
    "relu crosscoder": ({"sae": "crosscoder", "d_sae": 64, "l1": 1.0, "set": ("activation=relu",)}, {"at": "blocks.*.resid_post"}, BOTH),
    "crosscoder": ({"sae": "crosscoder", "d_sae": 64, "k": 4}, {"at": BOTH}, BOTH),
}


@pytest.fixture(scope="module", params=KINDS)
def finished(request, model, stories, tmp_path_factory):
    """(name, outcome, folder) of a run. Shared: tests must not change the folder."""
    sae, points, _ = KINDS[request.param]
    folder = tmp_path_factory.mktemp("runs") / "demo"
    return request.param, run(tiny_run.config(model, stories, sae=sae, **points), folder), folder


def test_the_sae_is_saved_whole_with_where_it_belongs(finished):
    name, outcome, folder = finished
    sae, said = load(folder / "sae"), read_provenance(folder / "sae")
    assert describe(sae) == describe(outcome.sae)
    assert all(torch.equal(value, outcome.sae.state_dict()[key]) for key, value in sae.state_dict().items())
    if "crosscoder" in name:
        assert said["hook_points"] == BOTH.split(",")
        assert "target" not in said
        assert list(said["training"]["scales"].values()) == pytest.approx([float(s[0]) for s in sae.blocks(sae.scales)])
    else:
        assert (said["hook_points"], said["target"]) == ([READ], WRITTEN)
        assert set(said["training"]["scales"]) == {READ, WRITTEN}
        assert hasattr(sae, "W_skip") == (name == "skip_transcoder")
    assert build(**{**describe(sae), "seed": None}).cfg == sae.cfg


def test_the_result_has_what_makes_sense_and_says_what_does_not(finished):
    name, outcome, _ = finished
    result = outcome.result
    assert result.provenance["hook_point"] == KINDS[name][2]
    for key in ("fidelity.delta_ce", "reconstruction.fvu", "sparsity.l0"):
        assert result.value("sae", key) is not None
    rows = {row for row in result.rows if not result.missing(row)}
    if "crosscoder" in name:
        assert rows == {"sae", *(f"sae@{at}" for at in BOTH.split(",")), "neurons", "neurons_topk", "pca", "untrained"}
        assert {"block_norm_0", "block_norm_1"} <= set(result.latents)
    else:
        assert rows == {"sae"}
        assert "another hook point than it reads" in result.missing("neurons")


def test_features_are_read_where_it_reads_and_act_where_it_writes(finished):
    name, _, folder = finished
    store = FeatureStore.open(folder / "features")
    assert store.hook_point == KINDS[name][2]
    alive = store.alive()
    assert len(alive) > 0
    feature = store[alive[0]]
    assert feature.logit_top is not None
    assert feature.neuron_id is None
    assert store.windows(feature.id, "top")
    assert (feature.enc_dec_cos is None) == ("crosscoder" not in name)
    page = (folder / "index.html").read_text(encoding="utf-8")
    for word in ("tiny-llama", *((READ, WRITTEN) if "transcoder" in name else BOTH.split(","))):
        assert word in page


def test_a_run_is_done_and_another_target_is_another_run(finished, model, stories):
    name, _, folder = finished
    sae, points, _ = KINDS[name]
    before = tiny_run.content(folder)
    assert run(tiny_run.config(model, stories, sae=sae, **points), folder).state == "done"
    assert tiny_run.content(folder) == before
    if "target" in points:
        with pytest.raises(errors.ProvenanceMismatch, match=r'target: "blocks\.1\.mlp_out" -> "blocks\.1\.resid_post"'):
            run(tiny_run.config(model, stories, sae=sae, **points | {"target": "blocks.1.resid_post"}), folder)


def test_later_verbs_know_where_it_belongs(finished, tmp_path, capsys):
    name, outcome, folder = finished
    assert cli.main(["eval", str(folder), "--device", "cpu", "--out", str(tmp_path / "eval"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows["sae"]["reconstruction.fvu"]["value"] == pytest.approx(outcome.result.value("sae", "reconstruction.fvu"))
    assert cli.main(["show", str(folder), str(outcome.features.alive()[0])]) == 0
    assert open_sae(folder).sae.architecture in name


def test_an_interrupted_run_goes_on_bit_for_bit(model, stories, tmp_path, monkeypatch):
    from saescope.training import loop

    sae, points, _ = KINDS["crosscoder"]
    cfg = tiny_run.config(model, stories, sae=sae, **points)
    whole = run(cfg, tmp_path / "whole", until="sae").sae
    save, n = loop._Saver.save, []

    def stop_at_the_second(self, progress):
        save(self, progress)
        n.append(progress.step)
        if len(n) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop._Saver, "save", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(cfg, tmp_path / "parts", until="sae")
    monkeypatch.undo()
    parts = run(cfg, tmp_path / "parts", until="sae", resume=True).sae
    assert n == [10, 20]
    assert all(torch.equal(value, parts.state_dict()[name]) for name, value in whole.state_dict().items())


def test_the_bundled_model_has_points_for_each():
    for name, points in {
        "transcoder": ("blocks.0.resid_mid", "blocks.0.mlp_out"),
        "crosscoder": ("blocks.0.resid_mid,blocks.0.resid_post", ""),
        "topk": ("blocks.0.mlp_post", ""),
    }.items():
        cfg = tiny_run.RunConfig(sae=SAEConfig(sae=name)).with_subject()
        assert (cfg.at, cfg.target) == points


@pytest.mark.parametrize(
    ("sae", "points", "message"),
    [
        ("transcoder", {"at": READ}, r"--sae transcoder reconstructs another hook point than it reads, but none was given.*--target"),
        ("topk", {"at": READ, "target": WRITTEN}, r"--target blocks\.1\.mlp_out was given, but --sae topk reconstructs what it reads"),
        ("crosscoder", {"at": BOTH, "target": WRITTEN}, r"--target .* but --sae crosscoder reconstructs what it reads"),
        ("crosscoder", {"at": READ}, r"--sae crosscoder has latents for several hook points, but --at blocks\.1\.resid_mid is one"),
        ("crosscoder", {"at": "blocks.1.resid_*"}, None),
        ("transcoder", {"at": BOTH, "target": WRITTEN}, r"are several hook points, and transcoder reads one"),
        ("transcoder", {"at": READ, "target": READ}, r"--target blocks\.1\.resid_mid is what is read"),
        ("transcoder", {"at": WRITTEN, "target": READ}, r"--target blocks\.1\.resid_mid comes before blocks\.1\.mlp_out in the model"),
        ("transcoder", {"at": READ, "target": "blocks.1.mlp_outt"}, r"'blocks\.1\.mlp_outt' for .*Did you mean"),
    ],
)
def test_wrong_hook_points_are_refused_before_anything_is_made(model, stories, tmp_path, sae, points, message):
    cfg = tiny_run.config(model, stories, sae={"sae": sae, "d_sae": 64, "k": 4}, **points)
    if message is None:
        assert len(run(cfg, tmp_path / "run", until="sae").sae.widths) == 3
        return
    with pytest.raises(errors.SaescopeError, match=message):
        run(cfg, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sae", ["transcoder", "crosscoder"])
def test_an_array_of_one_hook_point_is_not_enough(tmp_path, sae):
    cfg = ArrayConfig(activations=tmp_path / "x.npy", sae=SAEConfig(sae=sae), train=TrainConfig())
    with pytest.raises(errors.ConfigError, match=f"--sae {sae} needs the activations of two hook points or more"):
        train_on_array(cfg, tmp_path / "run")
