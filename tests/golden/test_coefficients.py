"""Coefficients of other libraries in ours: one row of the table in docs/architectures.md per test.

Their loss is computed in numpy, on their inputs, with their coefficient and their reduction; ours must be it times a constant
when the coefficient is converted, so that both descend the same way.
"""

import numpy as np
import pytest
import torch

from golden import equations
from saescope.draws import draws
from saescope.saes.base import TrainState
from saescope.saes.fold import fold
from saescope.saes.registry import build

D, F, N, S = 6, 12, 40, 0.37
PUBLISHED = 0.02


def x_of_unit_mean_square():
    x = torch.from_numpy(draws(0, "test", "x").standard_normal((N, D)))
    return x * (D / x.square().sum(1).mean()).sqrt()


X = x_of_unit_mean_square()


def ours(architecture: str, **options) -> tuple[object, float]:
    sae = build(architecture, D, F, options, seed=3).double()
    with torch.no_grad():
        sae.b_enc.add_(0.2 * torch.from_numpy(draws(0, "test", "b").standard_normal(F)))
    terms = sae.loss(X, X, TrainState(0, 0, 1.0, torch.zeros(F, dtype=torch.bool)))
    return sae, sum(term.item() for term in terms.values())


def theirs(sae, scale: float) -> tuple[equations.Arrays, np.ndarray, np.ndarray]:
    """Weights, inputs and latents of the same function in a library whose inputs are ours / scale."""
    w = {name: p.detach().numpy() for name, p in fold(sae, scale).named_parameters()}
    x = X.numpy() / scale
    architecture = sae.architecture
    return w, x, equations.latents(architecture, {}, w, x)


def test_unit_norm_inputs_and_sums_over_d_times_root_d_for_l1():
    sae, loss = ours("relu", l1=PUBLISHED * np.sqrt(D))
    w, x, f = theirs(sae, np.sqrt(D))
    assert (x**2).sum(axis=1).mean() == pytest.approx(1)
    published = equations.mse(x - equations.reconstruction(f, w)) + PUBLISHED * f.sum(axis=1).mean()
    assert loss == pytest.approx(D * published)


def test_unit_norm_inputs_and_sums_over_d_times_d_for_l0_and_root_d_for_thresholds():
    sae, loss = ours("jumprelu", sparsity="l0", coefficient=PUBLISHED * D, theta=0.05 * np.sqrt(D), bandwidth=0.05 * np.sqrt(D))
    w, x, f = theirs(sae, np.sqrt(D))
    np.testing.assert_allclose(w["theta"], 0.05, rtol=1e-6)
    published = equations.mse(x - equations.reconstruction(f, w)) + PUBLISHED * (f > 0).sum(axis=1).mean()
    assert loss == pytest.approx(D * published)


def test_unit_norm_inputs_times_one_for_target_l0_whose_d_is_in_the_term():
    sae, loss = ours("jumprelu", sparsity="target_l0", coefficient=PUBLISHED, l0=2)
    w, x, f = theirs(sae, np.sqrt(D))
    published = equations.mse(x - equations.reconstruction(f, w)) + PUBLISHED * ((f > 0).sum(axis=1).mean() / 2 - 1) ** 2
    assert loss == pytest.approx(D * published)


def test_the_inner_scale_of_tanh_is_divided_by_what_thresholds_are_multiplied_by():
    sae, loss = ours("jumprelu", sparsity="tanh", coefficient=PUBLISHED * D, tanh_scale=4 / np.sqrt(D))
    w, x, f = theirs(sae, np.sqrt(D))
    published = equations.mse(x - equations.reconstruction(f, w)) + PUBLISHED * np.tanh(4 * f * equations.norms(w)).sum(axis=1).mean()
    assert loss == pytest.approx(D * published)


def test_means_over_d_on_inputs_as_ours_times_d():
    sae, loss = ours("relu", l1=PUBLISHED * D)
    w, x, f = theirs(sae, 1.0)
    published = ((x - equations.reconstruction(f, w)) ** 2).mean() + PUBLISHED * f.sum(axis=1).mean()
    assert loss == pytest.approx(D * published)


def test_raw_inputs_and_sums_over_d_times_s_for_l1_and_its_square_for_l0():
    sae, loss = ours("relu", l1=PUBLISHED * S)
    w, x, f = theirs(sae, S)
    published = equations.mse(x - equations.reconstruction(f, w)) + PUBLISHED * f.sum(axis=1).mean()
    assert loss == pytest.approx(S**2 * published)
    sae, loss = ours("jumprelu", sparsity="l0", coefficient=PUBLISHED * S**2, theta=0.1)
    w, x, f = theirs(sae, S)
    published = equations.mse(x - equations.reconstruction(f, w)) + PUBLISHED * (f > 0).sum(axis=1).mean()
    assert loss == pytest.approx(S**2 * published)


def test_squared_error_over_the_variance_times_that_variance():
    v = equations.variance(X.numpy())
    sae, loss = ours("relu", l1=PUBLISHED * v)
    w, x, f = theirs(sae, 1.0)
    published = equations.mse(x - equations.reconstruction(f, w)) / v + PUBLISHED * f.sum(axis=1).mean()
    assert loss == pytest.approx(v * published)


def test_l1_as_a_mean_over_latents_divided_by_their_number():
    sae, loss = ours("relu", l1=PUBLISHED / F)
    w, x, f = theirs(sae, 1.0)
    published = equations.mse(x - equations.reconstruction(f, w)) + PUBLISHED * f.mean(axis=1).mean()
    assert loss == pytest.approx(published)
