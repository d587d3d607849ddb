"""Resampling of dead latents, on four inputs by hand, and in a run."""

from collections import Counter

import pytest
import torch

from saescope.activations.source import TensorSource
from saescope.saes.base import TrainState
from saescope.saes.registry import build
from saescope.training.columns import Columns
from saescope.training.config import TrainConfig
from saescope.training.loop import Job, train
from saescope.training.optimizer import adam
from saescope.training.resample import due, forget_moments_, fresh_rows, interval_steps, resample_
from saescope.training.trainee import Trainee

ROWS = torch.tensor([[3.0, 0, 0], [0, 4, 0], [0, 0, 0.5], [1, 1, 1]])
STATE = TrainState(0, 0, 1.0, torch.zeros(5, dtype=torch.bool))


def sae_with(b_dec=(0.0, 0, 0), resample="centred"):
    sae = build("relu", 3, 5, {"l1": 0.5, "resample": resample})
    with torch.no_grad():
        sae.b_dec.copy_(torch.tensor(b_dec))
        sae.b_enc.fill_(-100.0)  # nothing fires: the loss of a row is its squared distance from b_dec
        sae.W_enc.mul_(3.0)
    return sae


def resampled(sae, dead, count=1):
    columns = Columns(sae, (), None, {"x": slice(0, 3)})
    return resample_(sae, torch.tensor(dead), ROWS, columns, STATE, (0, count))


@pytest.mark.parametrize(("resample", "centre"), [("centred", (1.0, 0, 0)), ("published", (0.0, 0, 0))])
def test_a_dead_latent_points_at_an_input_and_the_others_stay(resample, centre):
    sae = sae_with((1.0, 0, 0), resample)
    before = {name: p.detach().clone() for name, p in sae.named_parameters()}
    assert resampled(sae, [False, True, False, True, False]) == 2
    directions = torch.nn.functional.normalize(ROWS - torch.tensor(centre), dim=1)
    for i in (1, 3):
        assert (sae.W_dec[i] - directions).norm(dim=1).min() < 1e-6
        torch.testing.assert_close(sae.W_enc[:, i], 0.2 * 3.0 * sae.W_dec[i])  # living columns have norm 3
        assert sae.b_enc[i] == 0
    for i in (0, 2, 4):
        assert torch.equal(sae.W_dec[i], before["W_dec"][i])
        assert torch.equal(sae.W_enc[:, i], before["W_enc"][:, i])
        assert sae.b_enc[i] == before["b_enc"][i]
    assert torch.equal(sae.b_dec, before["b_dec"])


def test_inputs_are_drawn_by_their_squared_loss():
    """Losses 9, 16, 0.25, 3, so weights 81, 256, 0.06, 9."""
    chosen = Counter()
    for count in range(200):
        sae = sae_with()
        resampled(sae, [True] * 5, count)
        chosen.update((sae.W_dec @ torch.nn.functional.normalize(ROWS, dim=1).T).argmax(1).tolist())
    assert chosen[1] / 1000 == pytest.approx(256 / 346, abs=0.05)
    assert chosen[0] / 1000 == pytest.approx(81 / 346, abs=0.05)
    assert chosen[2] < 10


def test_the_penalty_counts_as_loss():
    """A row that is explained exactly, but dearly, is drawn before one that costs nothing."""
    sae = build("relu", 2, 3, {"l1": 50.0})
    with torch.no_grad():
        sae.W_dec.copy_(torch.tensor([[1.0, 0], [0, 1], [0, 1]]))
        sae.W_enc.copy_(sae.W_dec.T)
        sae.b_enc.copy_(torch.tensor([0.0, -100, -100]))
    rows = torch.tensor([[1.0, 0], [0, 0.01]])
    resample_(sae, torch.tensor([False, False, True]), rows, Columns(sae, (), None, {"x": slice(0, 2)}), STATE, (0, 1))
    torch.testing.assert_close(sae.W_dec[2], torch.tensor([1.0, 0]))


def test_without_a_living_latent_columns_get_norm_a_fifth():
    sae = sae_with()
    resampled(sae, [True] * 5)
    torch.testing.assert_close(sae.W_enc.norm(dim=0), torch.full((5,), 0.2))


def test_nothing_dead_and_nothing_unexplained_change_nothing():
    sae = sae_with()
    before = sae.state_dict()["W_dec"].clone()
    assert resampled(sae, [False] * 5) == 0
    zeros = Columns(sae, (), None, {"x": slice(0, 3)})
    assert resample_(sae, torch.tensor([True] * 5), torch.zeros(4, 3), zeros, STATE, (0, 1)) == 0
    assert torch.equal(sae.W_dec, before)


def test_moments_are_zeroed_exactly_there():
    sae = sae_with()
    optimizer = adam(sae, 0.01)
    for p in sae.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    latents = torch.tensor([False, True, False, False, True])
    forget_moments_(optimizer, sae, latents)
    for kind in ("exp_avg", "exp_avg_sq"):
        moment = {name: optimizer.state[p][kind] for name, p in sae.named_parameters()}
        for rows in (moment["W_dec"], moment["W_enc"].T, moment["b_enc"]):
            assert (rows[latents] == 0).all()
            assert (rows[~latents] != 0).all()
        assert (moment["b_dec"] != 0).all()


def test_it_is_due_four_times_each_eighth_of_a_short_run():
    cfg = TrainConfig(tokens=8000, batch_tokens=10)
    assert interval_steps(cfg) == 100
    assert [step for step in range(1, 801) if due(step, cfg)] == [100, 200, 300, 400]
    long = TrainConfig(tokens=8_000_000_000, batch_tokens=8192)
    assert interval_steps(long) == 200_000_000 // 8192
    assert due(5 * interval_steps(long), long) == 0


def test_inputs_are_819200_of_a_long_run_and_fewer_of_a_short_one():
    source = TensorSource(torch.randn(100, 4, generator=torch.Generator().manual_seed(0)))
    assert len(fresh_rows(source, TrainConfig(tokens=6400, batch_tokens=10), 0)) == 100
    assert len(fresh_rows(source, TrainConfig(tokens=1000, batch_tokens=10), 0)) == 40
    assert len(fresh_rows(source, TrainConfig(tokens=8_000_000_000), 0)) == 819_200


def test_a_run_resamples_what_was_silent_for_half_an_interval():
    source = TensorSource(torch.randn(512, 8, generator=torch.Generator().manual_seed(0)))
    cfg = TrainConfig(tokens=8192, batch_tokens=32, lr=1e-4, log_steps=1)
    sae = build("relu", 8, 16, {"l1": 0.01, "alpha": 0.0, "resample": "centred"})
    records = []
    original = Trainee.start

    def start(self, scales, sample):
        original(self, scales, sample)
        with torch.no_grad():
            self.sae.b_enc[3] = -1000.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainee, "start", start)
        train(Job(sae), source, cfg, record=records.append)
    counts = [record["saes"]["sae"]["resampled"] for record in records]
    assert counts[interval_steps(cfg) - 1] == 0
    assert counts[interval_steps(cfg)] >= 1
    assert sae.b_enc[3] > -10
