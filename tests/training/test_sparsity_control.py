"""The controller that scales a penalty until the L0 is the wanted one."""

import math

import pytest
import torch

from saescope.training.config import TrainConfig
from saescope.training.sparsity_control import L0Controller, L0Goal


def controller(target, n_steps):
    return L0Controller(target, TrainConfig(tokens=n_steps * 8, batch_tokens=8))


def answered(m):
    """An SAE whose L0 falls as the penalty rises."""
    return torch.tensor(20 * m**-0.8)


@pytest.mark.parametrize("target", [2.0, 20.0, 150.0])
@pytest.mark.parametrize("n_steps", [500, 5000, 30_000])
def test_it_reaches_the_wanted_l0_of_a_plant_that_answers_at_once(target, n_steps):
    control = controller(target, n_steps)
    for step in range(n_steps):
        control.update(step, answered(control.m))
    assert control.reached == pytest.approx(target, rel=0.02)


def test_the_error_acts_at_once_and_its_integral_after_the_warm_up():
    control = controller(10.0, 100)  # a move at every step, five steps of warm-up
    assert control.m == 1
    control.update(0, torch.tensor(10 * math.e**0.5))
    assert control.m == pytest.approx(math.e**0.5)
    assert control.integral == 0
    for step in range(1, 8):
        control.update(step, torch.tensor(10 * math.e**0.5))
    assert control.integral.item() == pytest.approx(3 * 0.05 * 0.5)
    assert control.m == pytest.approx(math.exp(0.5 + 3 * 0.05 * 0.5))


@pytest.mark.parametrize(("l0", "e"), [(1e6, 2.0), (0.0, -2.0)])
def test_far_off_targets_and_silent_latents_move_it_by_a_bounded_step(l0, e):
    control = controller(10.0, 100)
    control.update(0, torch.tensor(l0))
    assert math.log(control.m) == pytest.approx(e if l0 else 0)
    for step in range(1, 30):
        control.update(step, torch.tensor(l0 or 1e-5))
    assert math.log(control.m) == pytest.approx(e + 25 * 0.05 * e)


def test_long_runs_move_every_50_steps():
    control = L0Controller(10.0, TrainConfig(tokens=100_000 * 8, batch_tokens=8, sparsity_warmup=0))
    for step in range(49):
        control.update(step, torch.tensor(100.0))
    assert control.integral == 0
    control.update(49, torch.tensor(100.0))
    assert control.integral == pytest.approx(0.1)


def test_it_goes_on_from_its_state():
    whole, first = controller(5.0, 200), controller(5.0, 200)
    for step in range(200):
        whole.update(step, answered(whole.m))
    for step in range(120):
        first.update(step, answered(first.m))
    second = controller(5.0, 200)
    second.load_state(first.state())
    for step in range(120, 200):
        second.update(step, answered(second.m))
    assert torch.equal(second.state(), whole.state())


@pytest.mark.parametrize("kind", [L0Goal, L0Controller])  # of a loss that aims at it by itself, and of one that is controlled
def test_a_target_missed_by_more_than_5_percent_is_said(kind, recwarn):
    for l0 in (10.4, 30.0):
        goal = kind(10.0, TrainConfig(tokens=100, batch_tokens=1))
        for step in range(100):
            goal.update(step, torch.tensor(l0))
        if l0 == 10.4:
            goal.warn_unless_reached("a")
            assert not recwarn
        else:
            with pytest.warns(UserWarning, match="b was to have an L0 of 10, but ended at 30"):
                goal.warn_unless_reached("b")
