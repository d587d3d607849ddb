"""The grid: which SAEs a sweep has, what they are called, and what is refused."""

import pytest

from saescope.config import from_dict, to_dict
from saescope.errors import ConfigError
from saescope.pipeline.config import RunConfig, SAEConfig
from saescope.pipeline.sweep_config import GridConfig, SweepConfig, file_name, runs_at, several


def test_a_grid_is_every_combination_and_names_say_what_varies():
    grid = GridConfig(sae=("topk", "gated"), l0=(16.0, 32.0), d_sae=(1024,), seeds=(0, 1))
    assert list(grid.saes()) == [f"{a}-l0-{l0}-s{s}" for a in ("topk", "gated") for l0 in (16, 32) for s in (0, 1)]
    assert grid.saes()["topk-l0-16-s1"] == SAEConfig(sae="topk", d_sae=1024, k=16, init_seed=1)
    assert grid.saes()["gated-l0-32-s0"] == SAEConfig(sae="gated", d_sae=1024, l0=32.0, init_seed=0)


def test_an_l0_is_k_or_a_target_and_k_and_l1_take_its_place():
    saes = GridConfig(sae=("relu", "batch_topk", "jumprelu"), l0=(8.0,), k=(4,), l1=(2.0, 5.0)).saes()
    assert saes == {
        "relu-l1-2": SAEConfig(sae="relu", l1=2.0),
        "relu-l1-5": SAEConfig(sae="relu", l1=5.0),
        "batch_topk": SAEConfig(sae="batch_topk", k=4),
        "jumprelu": SAEConfig(sae="jumprelu", l0=8.0),
    }


def test_what_an_architecture_has_not_is_left_out_of_its_grid():
    saes = GridConfig(sae=("autoencoder", "topk"), l0=(8.0, 16.0), expansion=(2.0,)).saes()
    assert list(saes) == ["autoencoder", "topk-l0-8", "topk-l0-16"]
    assert saes["autoencoder"] == SAEConfig(sae="autoencoder", expansion=2.0)


def test_widths_and_expansions_are_dimensions():
    assert list(GridConfig(d_sae=(512, 4096)).saes()) == ["batch_topk-d-512", "batch_topk-d-4096"]
    assert list(GridConfig(expansion=(0.5, 8.0)).saes()) == ["batch_topk-x-0.5", "batch_topk-x-8"]


def test_other_options_and_learning_rates_are_for_those_that_are_named():
    cfg = SweepConfig(grid=GridConfig(sae=("relu", "jumprelu"), set=("relu.decoder=free", "theta=0.2"), lr_of=("relu=5e-5",)))
    runs = cfg.runs(["blocks.0.mlp_post"])
    assert runs["relu"].sae.set == ("decoder=free",)
    assert runs["jumprelu"].sae.set == ("theta=0.2",)
    assert (runs["relu"].train.lr, runs["jumprelu"].train.lr) == (5e-5, None)


def test_the_options_are_those_of_the_activation():
    saes = GridConfig(sae=("transcoder",), set=("activation=relu",), l0=(8.0,)).saes()
    assert saes == {"transcoder": SAEConfig(sae="transcoder", set=("activation=relu",), l0=8.0)}


def test_hook_points_come_first_in_a_name_where_there_are_several():
    cfg = SweepConfig(grid=GridConfig(sae=("topk",), l0=(4.0,)))
    assert list(cfg.runs(["a", "b/c"])) == ["a-topk", "b_c-topk"]
    assert list(cfg.runs(["a"])) == ["topk"]
    assert [run.at for run in cfg.runs(["a", "b/c"]).values()] == ["a", "b/c"]
    assert list(runs_at(RunConfig(at="x*"), ["a", "b"])) == ["a", "b"]
    assert file_name("model.layers:3/mlp") == "model.layers_3_mlp"


def test_a_crosscoder_reads_all_hook_points_and_is_there_once():
    runs = SweepConfig(grid=GridConfig(sae=("topk", "crosscoder"))).runs(["a", "b"])
    assert {name: run.at for name, run in runs.items()} == {"a-topk": "a", "b-topk": "b", "crosscoder": "a,b"}


def test_a_target_is_the_transcoders():
    runs = SweepConfig(target="blocks.0.mlp_out", grid=GridConfig(sae=("topk", "transcoder"))).runs(["blocks.0.resid_mid"])
    assert {name: run.target for name, run in runs.items()} == {"topk": "", "transcoder": "blocks.0.mlp_out"}


def test_several_hook_points_are_a_sweep_for_what_reads_one():
    assert several(RunConfig(at="blocks.*.mlp_post"))
    assert several(RunConfig(at="a,b"))
    assert not several(RunConfig(at="blocks.0.mlp_post"))
    assert not several(RunConfig(at="a,b", sae=SAEConfig(sae="crosscoder")))


def test_it_is_written_and_read_back():
    cfg = SweepConfig(at="blocks.*.mlp_post", grid=GridConfig(sae=("relu", "topk"), l0=(4.0, 8.0), seeds=(0, 1), set=("alpha=0.1",)))
    assert from_dict(SweepConfig, to_dict(cfg)) == cfg


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"sae": ()}, "without an architecture"),
        ({"sae": ("topkk",)}, "Did you mean 'topk'"),
        ({"sae": ("relu",), "k": (3,)}, "--k applies to none of --sae relu"),
        ({"sae": ("topk",), "l1": (3.0,)}, "--l1 applies to none of --sae topk"),
        ({"sae": ("topk",), "l0": (3.0,), "k": (4,)}, "--l0 applies to none.*--k and --l1 take its place"),
        ({"sae": ("autoencoder",), "l0": (3.0,)}, "--l0 applies to none of --sae autoencoder"),
        ({"l0": (3.5,)}, "3.5 is no number of latents to keep"),
        ({"sae": ("relu",), "l0": (0.0,)}, "l0=0.*above 0"),
        ({"l0": (4.0, 4.0)}, "l0 lists a value twice"),
        ({"d_sae": (8,), "expansion": (2.0,)}, "Give one of --d-sae, --expansion"),
        ({"d_sae": (0,)}, "d_sae=0"),
        ({"set": ("alfa=1",)}, "Did you mean 'alpha'"),
        ({"set": ("relu.alpha=1",)}, "sets no option of batch_topk"),
        ({"lr_of": ("relu=1e-3",)}, "relu is not in the sweep"),
        ({"lr_of": ("batch_topk=fast",)}, "no ARCHITECTURE=NUMBER"),
    ],
    ids=str,
)
def test_what_no_sweep_can_be_made_of(grid, message):
    with pytest.raises(ConfigError, match=message):
        GridConfig(**grid)


def test_a_target_without_a_transcoder_is_refused():
    with pytest.raises(ConfigError, match="--target applies to none of --sae topk"):
        SweepConfig(target="blocks.0.mlp_out", grid=GridConfig(sae=("topk",)))


def test_what_a_run_refuses_is_refused_here():
    with pytest.raises(ConfigError, match="silent_tokens=0"):
        SweepConfig(silent_tokens=0)
