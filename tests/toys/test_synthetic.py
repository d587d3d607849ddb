"""Data with known directions: what they are made of, and that a row depends on its place alone."""

import pytest
import torch

from saescope.errors import ConfigError
from saescope.saes.registry import build
from saescope.toys.synthetic import BLOCK_TOKENS, CHILDREN, PRESETS, SyntheticConfig, SyntheticTruth, preset

TREE = SyntheticConfig(n_directions=100, d=24, l0=4.0, tree=(4, 3, 2))


def rows_of(source, n, **kwargs):
    return torch.cat([batch.rows for batch in source.batches(n, **{"seed": 0, **kwargs})])


def test_rows_are_the_sum_of_directions_that_the_coefficients_say():
    truth = SyntheticTruth(SyntheticConfig(bias=3.0))
    x, codes = truth.sample(500, seed=2)
    torch.testing.assert_close(x, codes @ truth.directions + truth.bias)
    torch.testing.assert_close(truth.directions.norm(dim=1), torch.ones(64))
    assert truth.bias.norm().item() == pytest.approx(3)
    assert (codes >= 0).all()
    assert torch.equal(rows_of(truth, 500, seed=2), x)


@pytest.mark.parametrize("start", [0, 1, BLOCK_TOKENS - 1, BLOCK_TOKENS, 2500])
@pytest.mark.parametrize("n", [1, 700, 2000])
def test_start_is_a_place_in_the_stream(start, n):
    truth = SyntheticTruth()
    assert torch.equal(rows_of(truth, n, start=start), rows_of(truth, 4600)[start : start + n])


def test_rows_are_a_function_of_both_seeds():
    truth = SyntheticTruth(TREE)
    assert torch.equal(rows_of(truth, 50), rows_of(SyntheticTruth(TREE), 50))
    assert not torch.equal(rows_of(truth, 50), rows_of(truth, 50, seed=1))
    other = SyntheticTruth(TREE, seed=1)
    assert not torch.equal(truth.directions, other.directions)
    assert not torch.equal(truth.sample(50, seed=0)[1], other.sample(50, seed=0)[1])
    assert truth.provenance != other.provenance
    assert list(truth.batches(0, seed=0)) == []


@pytest.mark.parametrize(
    "cfg", [PRESETS["small_64"], TREE, SyntheticConfig(correlation=(5, 0.3), zipf=0.0)], ids=["zipf", "tree", "copula"]
)
def test_each_direction_is_on_as_often_as_stated(cfg):
    truth = SyntheticTruth(cfg)
    _, codes = truth.sample(20_480, seed=1)
    seen = (codes > 0).float().mean(0)
    deviation = (truth.rates * (1 - truth.rates) / len(codes)).sqrt()
    assert ((seen - truth.rates).abs() < 5 * deviation).all()
    assert truth.rates.sum().item() == pytest.approx(cfg.l0)
    assert (truth.rates.diff() <= 1e-9).all() or cfg is TREE  # siblings of a rare parent are lowered


def test_rates_follow_the_wanted_law():
    torch.testing.assert_close(SyntheticTruth().rates[3] / SyntheticTruth().rates[0], torch.tensor(0.5))
    assert SyntheticTruth(SyntheticConfig(zipf=0.0)).rates.unique().numel() == 1


def test_a_child_is_on_only_with_its_parent_and_siblings_never_together():
    truth = SyntheticTruth(TREE)
    assert truth.parents[:4].tolist() == [-1] * 4
    assert truth.parents[4:7].tolist() == [0, 0, 0]
    assert truth.parents[16:19].tolist() == [4, 4, 4]
    assert (truth.parents[52:] == -1).all()
    on = truth.sample(10_000, seed=1)[1] > 0
    for parent in range(16):
        children = on[:, truth.parents == parent]
        assert children.sum(1).max() == 1
        assert not children[~on[:, parent]].any()
        assert children.any(1).sum() < (CHILDREN + 0.1) * on[:, parent].sum()  # the parent is seen alone too


def test_a_correlation_moves_supports_together_and_leaves_their_rates():
    def spread(correlation):
        cfg = SyntheticConfig(n_directions=40, l0=8.0, zipf=0.0, correlation=correlation)
        on = (SyntheticTruth(cfg).sample(8192, seed=1)[1] > 0).float()
        return torch.corrcoef(on.T)[~torch.eye(40, dtype=torch.bool)].std().item()

    assert spread((0, 0.0)) == pytest.approx(8192**-0.5, rel=0.1)
    assert spread((3, 0.5)) > 10 * spread((0, 0.0))


@pytest.mark.parametrize(
    ("kwargs", "mean", "deviation"),
    [
        ({"spread": 0.0, "mean": (2.0, 2.0)}, 2.0, 0.0),
        ({"spread": 0.3}, 1.0, 0.3),
        ({"law": "uniform", "spread": 0.5}, 1.0, 0.5 / 3**0.5),
        ({"spread": 1.0, "mean": (0.0, 0.0)}, (2 / torch.pi) ** 0.5, (1 - 2 / torch.pi) ** 0.5),
    ],
    ids=["constant", "nearly normal", "uniform", "half normal"],
)
def test_magnitudes_have_their_law(kwargs, mean, deviation):
    _, codes = SyntheticTruth(SyntheticConfig(**kwargs)).sample(10_000, seed=1)
    magnitudes = codes[codes > 0]
    assert magnitudes.mean().item() == pytest.approx(mean, abs=0.02)
    assert magnitudes.std().item() == pytest.approx(deviation, abs=0.02)


def test_magnitudes_change_from_the_first_direction_to_the_last():
    _, codes = SyntheticTruth(SyntheticConfig(mean=(5.0, 4.0), spread=0.0, zipf=0.0)).sample(5000, seed=1)
    assert codes[:, 0].max() == 5
    assert codes[:, -1].max() == 4


def test_noise_has_its_size_and_is_drawn_from_the_same_place():
    cfg = SyntheticConfig(noise=0.2)
    x, codes = SyntheticTruth(cfg).sample(3000, seed=1)
    clean, same = SyntheticTruth().sample(3000, seed=1)
    assert torch.equal(codes, same)
    assert (x - clean).std().item() == pytest.approx(0.2, rel=0.02)


def test_several_hook_points_share_the_coordinates_evenly():
    truth = SyntheticTruth(points=("a", "b"))
    assert dict(truth.slices) == {"a": slice(0, 16), "b": slice(16, 32)}
    assert torch.equal(rows_of(truth, 10), rows_of(SyntheticTruth(), 10))
    with pytest.raises(ConfigError, match=r"d=32 cannot be divided among .*'a', 'b', 'c'"):
        SyntheticTruth(points=("a", "b", "c"))


def test_a_fresh_sae_of_the_same_seed_knows_no_direction():
    """Drawn from one stream, its first decoder rows would be the truth."""
    truth = SyntheticTruth(seed=7)
    cosines = build("relu", 32, 64, seed=7).W_dec @ truth.directions.T
    assert cosines.max() < 0.85


@pytest.mark.parametrize(
    ("name", "n_directions", "d", "l0", "n_roots"),
    [("small_64", 64, 32, 2, 64), ("flat_512", 512, 64, 5, 512), ("tree_2048", 2048, 256, 16, 32), ("synth_16k", 16_384, 768, 34, 5632)],
)
def test_presets_have_their_published_sizes(name, n_directions, d, l0, n_roots):
    cfg = preset(name)
    assert (cfg.n_directions, cfg.d, cfg.l0) == (n_directions, d, l0)
    truth = SyntheticTruth(name)
    assert (truth.parents < 0).sum() == n_roots
    assert (truth.sample(BLOCK_TOKENS, seed=1)[1] > 0).sum(1).float().mean().item() == pytest.approx(l0, rel=0.1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_directions": 0}, "n_directions=0"),
        ({"d": 0}, "d=0"),
        ({"l0": 0.0}, r"l0=0\.0 of 64"),
        ({"l0": 64.0}, r"l0=64\.0 of 64"),
        ({"zipf": -1.0}, "zipf"),
        ({"noise": float("nan")}, "noise"),
        ({"law": "uniforn"}, "Did you mean 'uniform'"),
        ({"law": "uniform", "spread": 1.5}, r"magnitudes of -0\.5"),
        ({"mean": (1.0, -1.0)}, "mean="),
        ({"correlation": (-1, 0.1)}, "correlation="),
        ({"tree": (1, 4, 3)}, "needs 85 of 64 directions"),
        ({"tree": (1, -4, 3)}, "tree="),
    ],
)
def test_values_out_of_range_are_refused_by_name(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        SyntheticConfig(**kwargs)


def test_what_no_rates_can_give_and_unknown_presets_are_refused():
    with pytest.raises(ConfigError, match=r"l0=40\.0 would need a direction that is on in \d+%"):
        SyntheticTruth(SyntheticConfig(l0=40.0))
    with pytest.raises(ConfigError, match="Did you mean 'small_64'"):
        SyntheticTruth("small_46")
