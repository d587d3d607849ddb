"""Selections against the plainest way to write them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saescope.draws import draws
from saescope.saes.activation_functions import batch_topk, batch_topk_cut, threshold, topk


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
