"""Loss terms against numpy transcriptions of their equations."""

import numpy as np
import pytest
import torch

from saescope.draws import draws
from saescope.saes.base import TrainState
from saescope.saes.losses import auxk, l1, mse, variance
from saescope.saes.registry import build


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


def test_mse_sums_over_d_and_averages_over_tokens():
    error = normal(5, 3)
    assert mse(error).item() == pytest.approx((error.numpy() ** 2).sum() / 5)


def test_l1_averages_over_tokens():
    latents = normal(5, 7)
    assert l1(latents).item() == pytest.approx(np.abs(latents.numpy()).sum() / 5)


def test_variance_is_about_the_mean_of_the_batch():
    y = normal(8, 3) + 10
    assert variance(y).item() == pytest.approx(((y.numpy() - y.numpy().mean(0)) ** 2).sum() / 8)


@pytest.fixture
def sae():
    sae = build("topk", 6, 12, {"k": 3}, seed=1).double()
    with torch.no_grad():
        sae.b_dec.copy_(normal(6, name="b_dec"))
        sae.b_enc.copy_(normal(12, name="b_enc"))
    return sae


def test_auxk_is_its_equation(sae):
    x, error = normal(10, 6), normal(10, 6, name="error")
    dead = torch.zeros(12, dtype=torch.bool)
    dead[[2, 5, 7, 11]] = True
    rows = [2, 5, 7, 11]
    pre = (x.numpy() - sae.b_dec.detach().numpy()) @ sae.W_enc.detach().numpy() + sae.b_enc.detach().numpy()
    latents = np.zeros((10, 12))
    for n in range(10):
        for i in sorted(rows, key=lambda i: -pre[n, i])[:3]:  # k_aux = min(6 / 2, 4)
            latents[n, i] = max(pre[n, i], 0)
    e = error.numpy()
    e_aux = latents @ sae.W_dec.detach().numpy()  # without b_dec
    v_target = ((x.numpy() - x.numpy().mean(0)) ** 2).sum() / 10
    v_error = ((e - e.mean(0)) ** 2).sum() / 10
    expected = v_target / v_error * ((e - e_aux) ** 2).sum() / 10
    assert auxk(sae, x, error, x, dead).item() == pytest.approx(expected)


def test_auxk_reaches_dead_latents_only_and_their_encoder_too(sae):
    x = normal(10, 6)
    dead = torch.zeros(12, dtype=torch.bool)
    dead[[4, 9]] = True
    error = x - sae(x)
    auxk(sae, x, error, x, dead).backward()
    for gradient in (sae.W_enc.grad.T, sae.W_dec.grad, sae.b_enc.grad[:, None]):
        assert (gradient[dead].abs().sum(1) > 0).all()
        assert (gradient[~dead] == 0).all()


def test_auxk_is_zero_without_dead_latents_or_without_error(sae):
    x, none, all_dead = normal(10, 6), torch.zeros(12, dtype=torch.bool), torch.ones(12, dtype=torch.bool)
    assert auxk(sae, x, normal(10, 6), x, none).item() == 0
    assert auxk(sae, x, torch.zeros(10, 6).double(), x, all_dead).item() == 0


def test_auxk_share_of_mse_does_not_depend_on_the_size_of_inputs():
    shares = []
    for size in (1.0, 100.0):
        sae = build("topk", 6, 12, {"k": 3}, seed=1).double()
        dead = torch.zeros(12, dtype=torch.bool)
        dead[:6] = True
        x = normal(50, 6) * size
        terms = sae.loss(x, x, TrainState(0, 0, 1.0, dead))
        shares.append((terms["auxk"] / terms["mse"]).item())
    assert shares[0] == pytest.approx(shares[1])
    assert shares[0] > 0
