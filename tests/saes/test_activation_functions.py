"""Selections against the plainest way to write them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saescope.draws import draws
from saescope.saes.activation_functions import batch_topk, batch_topk_cut, in_window, jumprelu, step, threshold, topk


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


def test_topk_keeps_the_largest_of_each_row_and_no_negative_one():
    pre = torch.tensor([[3.0, 1.0, -1.0, 2.0], [-1.0, -2.0, 0.5, -3.0]])
    assert topk(pre, 2).tolist() == [[3, 0, 0, 2], [0, 0, 0.5, 0]]


def test_threshold_is_strict_and_never_negative():
    pre = torch.tensor([0.5, 1.0, 1.5, -1.0])
    assert threshold(pre, torch.tensor(1.0)).tolist() == [0, 0, 1.5, 0]
    assert threshold(pre, torch.tensor(-2.0)).tolist() == [0.5, 1.0, 1.5, 0]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 40), st.data())
def test_batch_topk_equals_a_sort_of_the_whole_batch(n, d_sae, data):
    k = data.draw(st.integers(1, d_sae))
    pre = normal(n, d_sae, name=f"{n} {d_sae}") * torch.linspace(0.1, 20, n)[:, None]  # some rows take most of the batch
    cut = pre.flatten().sort(descending=True).values[k * n - 1]
    assert batch_topk_cut(pre, k) == cut
    assert torch.equal(batch_topk(pre, k), torch.where(pre >= cut, pre, 0).relu())


def test_batch_topk_gives_one_row_all_that_it_deserves():
    pre = torch.zeros(8, 64)
    pre[3] = torch.arange(64.0) + 1  # 16 kept in the batch, all from this row: more than the 4 k first offered
    kept = batch_topk(pre, 2)
    assert (kept[3] > 0).sum() == 16
    assert kept.count_nonzero() == 16


def test_batch_topk_of_k_equal_to_d_sae_is_relu():
    pre = normal(4, 6)
    assert torch.equal(batch_topk(pre, 6), pre.relu())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_input_stays_finite(value):
    assert batch_topk(torch.full((4, 6), value), 2).isfinite().all()


def rect(u):
    return (u.abs() < 0.5).to(u.dtype)


@pytest.mark.parametrize("ste_to_input", [False, True])
@pytest.mark.parametrize("shape", [(200, 5), (10, 20, 5), (5,)], ids=["rows", "batch", "one row"])
def test_jumprelu_and_step_have_the_gradients_of_the_table(ste_to_input, shape):
    z = (2 * normal(*shape)).requires_grad_()
    theta = (0.2 + normal(5, name="theta").abs()).requires_grad_()
    g, eps, tokens = normal(*shape, name="g"), 0.9, tuple(range(len(shape) - 1))
    window = rect((z - theta) / eps).detach()
    assert torch.equal(in_window(z, theta, eps), window.bool())
    above = (z > theta).double()
    for function, value, height, slope in ((jumprelu, z * above, theta, above), (step, above, torch.ones(5), torch.zeros_like(z))):
        z.grad = theta.grad = None
        out = function(z, theta, eps, ste_to_input=ste_to_input)
        assert torch.equal(out, value)
        out.backward(g)
        jump = (height / eps * window * g).detach()
        torch.testing.assert_close(theta.grad, -jump.sum(tokens) if tokens else -jump)
        torch.testing.assert_close(z.grad, (g * slope + (jump if ste_to_input else 0)).detach())
    assert window.sum() > 0 or shape == (5,)


def test_a_pre_activation_just_below_its_threshold_moves_it():
    """The step takes z: of latents, which are 0 there, it would see nothing."""
    theta = torch.tensor([0.5], requires_grad=True)
    below = torch.tensor([[0.49]])
    step(below, theta, 0.1).sum().backward()
    assert theta.grad.item() == pytest.approx(-10)
    theta.grad = None
    step(jumprelu(below, theta.detach(), 0.1), theta, 0.1).sum().backward()
    assert theta.grad.item() == 0


def test_the_threshold_itself_is_not_active_and_a_threshold_of_zero_is_a_relu():
    z, theta = torch.tensor([0.5, 0.6]), torch.tensor([0.5, 0.5])
    assert jumprelu(z, theta, 0.1).tolist() == pytest.approx([0, 0.6])
    assert step(z, theta, 0.1).tolist() == [0, 1]
    z = normal(30)
    assert torch.equal(jumprelu(z, torch.zeros(30).double(), 0.1), z.relu())
