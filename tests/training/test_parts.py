"""The loop's small parts: config, schedule, counters, clipping, threshold."""

import pytest
import torch

from saescope.draws import draws
from saescope.errors import ConfigError, NoTokens
from saescope.saes.base import TrainState
from saescope.saes.registry import build
from saescope.training.config import TrainConfig
from saescope.training.dead import DeadCounter
from saescope.training.optimizer import adam, descend_, lr_factor, sparsity_warmup
from saescope.training.threshold import LeastKept, calibrate_threshold


def normal(*shape):
    return torch.from_numpy(draws(0, "test").standard_normal(shape)).float()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens", 0), ("batch_tokens", -1), ("lr", 0.0), ("lr", -1.0), ("lr", float("nan")), ("clip_norm", 0.0), ("decay", 1.5),
        ("sparsity_warmup", -0.1), ("warmup", -1), ("checkpoint_steps", 0), ("checkpoint_minutes", 0), ("dead_tokens", 0), ("tokens", 100),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=field):
        TrainConfig(**{field: value})


def test_schedule_rises_stays_and_falls_to_zero():
    cfg = TrainConfig(tokens=1000 * 10, batch_tokens=10, warmup=0.1, decay=0.2)
    factors = [lr_factor(step, cfg) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[99] == factors[800] == 1
    assert factors[900] == pytest.approx(0.5)
    assert factors[999] == pytest.approx(1 / 200)
    assert max(factors) == 1
    assert lr_factor(24, TrainConfig(tokens=1000 * 10, batch_tokens=10, warmup=50)) == 0.5


def test_sparsity_rises_over_its_warm_up():
    cfg = TrainConfig(tokens=1000 * 10, batch_tokens=10, sparsity_warmup=0.05)
    assert sparsity_warmup(24, cfg) == pytest.approx(0.5)
    assert sparsity_warmup(49, cfg) == sparsity_warmup(900, cfg) == 1
    assert sparsity_warmup(0, TrainConfig(sparsity_warmup=0)) == 1


def test_dead_is_counted_in_tokens_whatever_the_batch():
    fired = torch.from_numpy(draws(0, "test", "fired").random((4096, 20)) < torch.linspace(0, 0.002, 20).numpy())
    counts = []
    for batch in (256, 4096):
        counter = DeadCounter(20, after=1000)
        for part in fired.split(batch):
            counter.update(part.any(0), batch)
        counts.append(counter.silent_tokens)
    assert (counts[0] - counts[1]).abs().max() <= 4096
    assert counts[0][0] == counts[1][0] == 4096
    assert counter.dead[0]
    assert not counter.dead[-1]


def test_dead_after_is_a_share_of_the_run_with_a_floor_and_a_ceiling():
    assert TrainConfig(tokens=100_000).dead_after == 5_000
    assert TrainConfig(tokens=1_000_000).dead_after == 25_000
    assert TrainConfig(tokens=6_000_000).dead_after == 60_000
    assert TrainConfig(tokens=10**10).dead_after == 10_000_000
    assert TrainConfig(dead_tokens=7).dead_after == 7


@pytest.mark.parametrize("decoder", ["unit", "free"])
def test_clipping_keeps_directions_and_leaves_small_gradients_alone(decoder):
    """Adam's first moment after one step is a tenth of the gradient that it was given."""
    given = []
    for largest in (1e9, 0.5):
        sae = build("relu", 8, 40, {"decoder": decoder})
        optimizer = adam(sae, 1e-3)
        x = normal(64, 8).float()
        torch.stack(list(sae.loss(x, x, TrainState(0, 0, 1.0, torch.zeros(40, dtype=torch.bool))).values())).sum().backward()
        gradients = {name: p.grad.clone() for name, p in sae.named_parameters()}
        descend_(sae, optimizer, largest)
        given.append({name: 10 * optimizer.state[p]["exp_avg"] for name, p in sae.named_parameters()})
    whole, clipped = (torch.cat([g.flatten() for g in found.values()]) for found in given)
    assert whole.norm() > 1
    torch.testing.assert_close(clipped, 0.5 * whole / whole.norm())
    torch.testing.assert_close(given[0]["W_enc"], gradients["W_enc"])
    along = (given[0]["W_dec"] * build("relu", 8, 40, {"decoder": decoder}).W_dec).sum(1)
    assert bool((along.abs() < 1e-5).all()) is (decoder == "unit")


@pytest.mark.parametrize("wanted", [None, 1.5])
def test_calibration_reaches_the_wanted_l0_and_never_exceeds_it(wanted):
    sae = build("batch_topk", 8, 40, {"k": 5}, seed=1)
    x = normal(3000, 8)
    tau = calibrate_threshold(sae, x.split(700), l0=wanted)
    l0 = (sae.encode(x) > 0).sum(1).float().mean().item()
    assert (wanted or 5) * (1 - 1e-3) <= l0 <= (wanted or 5)
    assert tau == sae.tau.item() > 0


def test_calibration_with_too_few_positive_values_keeps_them_all():
    sae = build("batch_topk", 8, 40, {"k": 40}, seed=1)
    x = normal(100, 8)
    calibrate_threshold(sae, [x])
    assert sae.tau == 0
    assert (sae.encode(x) > 0).sum() == (sae.pre_acts(x) > 0).sum()
    with pytest.raises(NoTokens):
        calibrate_threshold(sae, [])


def test_the_running_mean_of_the_least_kept_is_unbiased_and_skips_empty_batches():
    mean = LeastKept()
    for value in (2.0, float("inf"), 2.0):
        mean.update(torch.tensor(value))
    assert mean.value.item() == pytest.approx(2.0)


def test_calibration_does_not_depend_on_the_order_of_unequal_batches():
    sae = build("batch_topk", 8, 40, {"k": 4}, seed=1)
    x = normal(2000, 8)
    x[:200] *= 10
    taus = [calibrate_threshold(sae, parts) for parts in (x.split(200), tuple(reversed(x.split(200))), [x])]
    assert len(set(taus)) == 1
    assert (sae.encode(x) > 0).sum(1).float().mean().item() == pytest.approx(4, rel=1e-3)
