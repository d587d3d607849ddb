"""The mixing pool."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saescope.activations.shuffle import PoolPlan, mixed
from saescope.activations.source import TensorSource


class Counting:
    """A source whose rows say their place in the stream."""

    def __init__(self):
        self.provenance, self.slices = {}, {"x": slice(0, 1)}

    def batches(self, n_tokens, *, seed, start=0):
        from saescope.activations.source import Batch

        place = start
        while place < start + n_tokens:  # uneven batches
            stop = min(place + 1 + place % 7, start + n_tokens)
            yield Batch(torch.arange(place, stop, dtype=torch.float32)[:, None])
            place = stop


def places(plan, **kwargs):
    return [batch[:, 0].int().tolist() for batch in mixed(Counting(), plan, **kwargs)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 60), st.integers(0, 3))
def test_each_row_is_given_out_once_within_two_rings(batch, ring_batches, extra_batches, rest):
    n = batch * (ring_batches + extra_batches) + rest % batch
    plan = PoolPlan(n_tokens=n, batch_tokens=batch, rows=ring_batches * batch, seed=1)
    given_out = places(plan)
    assert len(given_out) == plan.n_steps
    assert sorted(row for rows in given_out for row in rows) == list(range(plan.n_steps * batch))
    for step, rows in enumerate(given_out):
        assert all(row <= step * batch + plan.rows for row in rows), "a row cannot leave before it came"
        assert all(row >= step * batch - 2 * plan.rows for row in rows), "a row leaves within two rings"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 25), st.data())
def test_a_resumed_pool_goes_on_as_if_it_had_not_stopped(batch, ring_batches, extra_batches, data):
    plan = PoolPlan(n_tokens=batch * (ring_batches + extra_batches), batch_tokens=batch, rows=ring_batches * batch, seed=2)
    whole = places(plan)
    step = data.draw(st.integers(0, plan.n_steps))
    assert places(plan, first_step=step) == whole[step:]


def test_neighbours_leave_far_apart_and_the_order_depends_on_the_seed():
    plan = PoolPlan(n_tokens=40_000, batch_tokens=100, rows=10_000, seed=1)
    order = np.concatenate(places(plan))
    assert abs(np.corrcoef(order[:9900][:-1], order[:9900][1:])[0, 1]) < 0.05
    other = np.concatenate(places(PoolPlan(n_tokens=40_000, batch_tokens=100, rows=10_000, seed=2)))
    assert not np.array_equal(order, other)


@pytest.mark.parametrize(("n_tokens", "rows"), [(10**9, 2**18), (20_000, 19_456), (1024, 1024)])
def test_the_ring_fits_the_stream(n_tokens, rows):
    assert PoolPlan.fitting(n_tokens=n_tokens, batch_tokens=1024, d_row=64, seed=0).rows == rows


def test_the_ring_stays_below_its_bytes_but_holds_32_batches():
    assert PoolPlan.fitting(n_tokens=10**9, batch_tokens=2048, d_row=4096, seed=0).rows == 2**16
    assert PoolPlan.fitting(n_tokens=10**9, batch_tokens=16384, d_row=4096, seed=0).rows == 32 * 16384


def test_no_host_type_is_changed_on_the_way():
    rows = torch.zeros(100, 3, dtype=torch.bfloat16)
    plan = PoolPlan(n_tokens=64, batch_tokens=16, rows=32, seed=0)
    assert {batch.dtype for batch in mixed(TensorSource(rows), plan)} == {torch.bfloat16}
