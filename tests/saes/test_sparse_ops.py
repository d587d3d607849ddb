"""The autograd functions of the sparse path: their gradients against finite differences, in float64."""

import pytest
import torch
from torch.autograd import gradcheck

from saescope.saes.sparse_ops import Pairs, decode, encode, spread, sum_by_latent, sum_by_token
from variants import normal

N, D, F = 5, 4, 7


@pytest.fixture
def pairs():
    """Tokens and latents without pairs among them."""
    return Pairs(torch.tensor([0, 0, 1, 3, 3, 3]), torch.tensor([1, 5, 1, 0, 5, 6]), N, F)


def leaf(*shape, name):
    return normal(*shape, name=name).double().requires_grad_()


@pytest.mark.parametrize("centred", [True, False])
def test_encode(pairs, centred):
    x = normal(N, D, name="x").double()

    def values(W, bias, centre):
        rows = x - centre if centred else x
        exact = (rows @ W + bias)[pairs.token, pairs.latent]
        return encode(W, bias, centre if centred else None, rows.detach(), exact.detach(), pairs)

    assert gradcheck(values, (leaf(D, F, name="W"), leaf(F, name="b"), leaf(D, name="c")))


def test_decode(pairs):
    values = leaf(6, name="v")
    assert gradcheck(lambda v, W: decode(v, W, pairs), (values, leaf(F, D, name="W")))


def test_decode_where_most_values_are_0(pairs):
    """A value of 0 takes no part in x_hat, but has its gradient."""
    values = torch.tensor([0.0, 2.0, 0, 0, 0, -1.0], dtype=torch.float64, requires_grad=True)
    W = leaf(F, D, name="W")
    g = normal(N, D, name="g").double()
    decode(values, W, pairs).backward(g)
    dense = torch.zeros(N, F, dtype=torch.float64).index_put((pairs.token, pairs.latent), values.detach())
    torch.testing.assert_close(values.grad, (g @ W.detach().T)[pairs.token, pairs.latent])
    torch.testing.assert_close(W.grad, dense.T @ g)


def test_spread_and_sums(pairs):
    assert gradcheck(lambda v: spread(v, pairs), leaf(F, name="s"))
    assert gradcheck(lambda v: sum_by_token(v, pairs), leaf(6, name="t"))
    assert gradcheck(lambda v: sum_by_latent(v, pairs), leaf(6, name="l"))
