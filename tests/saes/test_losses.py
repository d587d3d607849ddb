"""Loss terms against numpy transcriptions of their equations."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from saescope.draws import draws
from saescope.saes.base import TrainState
from saescope.saes.code import DenseCode
from saescope.saes.losses import auxk, density_quadratic, l1, mse, pre_act, target_l0, target_l0_per_token, variance
from saescope.saes.registry import build
from saescope.saes.select import Encoder


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


def test_mse_sums_over_d_and_averages_over_tokens():
    error = normal(5, 3)
    assert mse(error).item() == pytest.approx((error.numpy() ** 2).sum() / 5)


def test_l1_sums_over_latents_weighted_by_norms_if_given():
    latents, norms = normal(5, 7).abs(), normal(7, name="norms").abs()
    np.testing.assert_allclose(l1(DenseCode(latents)), latents.numpy().sum(1))
    np.testing.assert_allclose(l1(DenseCode(latents), norms), latents.numpy() @ norms.numpy())
    np.testing.assert_allclose(l1(DenseCode(latents / 3), 3 * norms), l1(DenseCode(latents), norms))


def test_target_l0_is_zero_at_the_target_and_d_at_nothing():
    l0 = torch.tensor([1.0, 3.0, 8.0])
    assert target_l0(l0, 4, 6).item() == 0  # of the mean, 4
    assert target_l0(l0, 2, 6).item() == pytest.approx(6.0)
    assert target_l0_per_token(l0, 4).item() == pytest.approx(2 / 4 * (9 + 1 + 16) / 3)


def test_density_quadratic_charges_dense_latents_more():
    active = torch.zeros(100, 2)
    active[:1, 0] = 1  # density 0.01
    active[:, 1] = 1  # density 1
    assert density_quadratic(DenseCode(active[:, :1])).item() == pytest.approx(0.01 * 2)
    assert density_quadratic(DenseCode(active)).item() == pytest.approx(0.01 * 2 + 1 * 101)


def test_pre_act_pulls_dead_latents_only_and_only_up_to_their_threshold():
    z = torch.tensor([[-1.0, -1.0, 2.0], [0.5, 0.5, 0.5]], requires_grad=True)
    theta, dead = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([True, False, True])
    reads = SimpleNamespace(encoder=Encoder(torch.eye(3), torch.zeros(3)), decoder_norms=lambda: torch.tensor([2.0, 2.0, 3.0]))
    term = pre_act(reads, z, theta, dead)
    assert term.item() == pytest.approx((2 * 2 + 0 + 0.5 * 2 + 0.5 * 3) / 2)
    term.backward()
    assert z.grad.tolist() == [[-1, 0, 0], [-1, 0, -1.5]]
    assert pre_act(reads, z, theta, ~dead & dead).item() == 0


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


def test_auxk_with_one_dead_latent_has_the_hand_value_and_no_b_dec_in_it():
    """One latent, d = 2: e_aux = relu(z) d_i, without b_dec; e is what it is, whatever its gradient."""
    sae = build("topk", 2, 2, {"k": 1}).double()
    with torch.no_grad():
        sae.W_enc.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        sae.W_dec.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        sae.b_dec.copy_(torch.tensor([5.0, 7.0]))
    x = torch.tensor([[6.0, 8.0], [6.0, 10.0]]).double()
    error = torch.tensor([[0.0, 2.0], [0.0, 4.0]]).double().requires_grad_()
    dead = torch.tensor([False, True])
    # z of the dead latent is x_2 - 7 = 1 and 3, so e - e_aux = (0, 1) in both rows; V_target = V_error = 1.
    term = auxk(sae, x, error, x, dead)
    assert term.item() == pytest.approx(1.0)
    term.backward()
    assert error.grad is None
    assert sae.W_dec.grad.tolist() == [[0, 0], [0, -2 * (1 + 3) / 2]]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("architecture", ["topk", "batch_topk", "matryoshka"])
def test_auxk_alone_reaches_dead_latents_only_and_their_encoder_too(architecture, sparse):
    sae = build(architecture, 6, 12, {"k": 3}, seed=1).double()
    x, dead = normal(10, 6), torch.zeros(12, dtype=torch.bool)
    dead[[4, 9]] = True
    sae.loss(x, x, TrainState(0, 0, 1.0, dead, sparse=sparse))["auxk"].backward()
    for gradient in (sae.W_enc.grad.T, sae.W_dec.grad, sae.b_enc.grad[:, None]):
        assert (gradient[dead].abs().sum(1) > 0).all()
        assert (gradient[~dead] == 0).all()


def test_auxk_is_zero_without_dead_latents_or_without_error(sae):
    x, none, all_dead = normal(10, 6), torch.zeros(12, dtype=torch.bool), torch.ones(12, dtype=torch.bool)
    assert auxk(sae, x, normal(10, 6), x, none).item() == 0
    assert auxk(sae, x, torch.zeros(10, 6).double(), x, all_dead).item() == 0


@pytest.mark.parametrize("architecture", ["topk", "batch_topk", "matryoshka"])
def test_auxk_share_of_mse_does_not_depend_on_the_size_of_inputs(architecture):
    shares = []
    for size in (1.0, 100.0):
        sae = build(architecture, 6, 12, {"k": 3}, seed=1).double()
        dead = torch.zeros(12, dtype=torch.bool)
        dead[:6] = True
        x = normal(50, 6) * size
        terms = sae.loss(x, x, TrainState(0, 0, 1.0, dead))
        shares.append((terms["auxk"] / terms["mse"]).item())
    assert shares[0] == pytest.approx(shares[1])
    assert shares[0] > 0
