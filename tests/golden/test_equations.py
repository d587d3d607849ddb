"""Every term of every architecture, and every gradient, against the numpy transcription: D = 6, F = 12, float64."""

import numpy as np
import pytest
import torch

from golden import equations
from saescope.draws import draws
from saescope.saes.base import SAE, TrainState
from saescope.saes.registry import build
from saescope.training.optimizer import adam, project_decoder_gradient_

D, F, N = 6, 12, 20
JUMP = {
    **{"l0": 4.0, "coefficient": 0.7, "theta": 0.1, "bandwidth": 0.6, "ste_to_input": False},
    **{"tanh_scale": 4.0, "alpha": 0.2, "pre_act": 0.2},
}
CASES = {
    "topk": ("topk", {"k": 3, "alpha": 0.2}),
    "batch_topk": ("batch_topk", {"k": 3, "alpha": 0.2}),
    "matryoshka": ("matryoshka", {"k": 3, "alpha": 0.2, "widths": (2, 5, 12)}),
    "relu": ("relu", {"l1": 0.3, "alpha": 0.2}),
    "relu free": ("relu", {"l1": 0.3, "alpha": 0.2, "decoder": "free"}),
    "gated": ("gated", {"l1": 0.3, "alpha": 0.2}),
    "autoencoder": ("autoencoder", {}),
    **{f"jumprelu {kind}": ("jumprelu", {**JUMP, "sparsity": kind}) for kind in ("l0", "target_l0", "target_l0_per_token")},
    **{f"jumprelu {kind}": ("jumprelu", {**JUMP, "sparsity": kind}) for kind in ("tanh", "tanh_quadratic")},
}
SCALE = 0.5


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


@pytest.fixture(params=CASES)
def case(request) -> tuple[SAE, str, dict]:
    """A float64 SAE with every parameter away from its start."""
    architecture, options = CASES[request.param]
    sae = build(architecture, D, F, options, seed=3).double()
    with torch.no_grad():
        for name, p in sae.named_parameters():
            p.add_(0.3 * normal(*p.shape, name=name))
    sae.constrain_()
    return sae, architecture, options


def weights(sae: SAE) -> equations.Arrays:
    return {name: p.detach().numpy().copy() for name, p in sae.named_parameters()}


def dead_latents() -> torch.Tensor:
    dead = torch.zeros(F, dtype=torch.bool)
    dead[[1, 8, 9]] = True
    return dead


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_terms_are_the_published_equations(case, sparse):
    sae, architecture, options = case
    x, y, w = normal(N, D), normal(N, D, name="target"), weights(sae)
    state = TrainState(0, 0, SCALE, dead_latents(), sparse=sparse)
    found = {name: term.item() for name, term in sae.loss(x, y, state).items()}
    expected = equations.terms(architecture, options, w, w, x.numpy(), y.numpy(), dead=dead_latents().numpy(), scale=SCALE)
    assert found == pytest.approx(expected, rel=1e-12)
    f = equations.latents(architecture, options, w, x.numpy())
    assert state.observed["fired"].tolist() == (f > 0).any(axis=0).tolist()
    assert state.observed["l0"].item() == pytest.approx((f > 0).sum() / N)
    assert state.observed["min_kept"].item() == pytest.approx(f[f > 0].min(), rel=1e-12)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_gradients_are_those_of_the_equations(case, sparse):
    """Central differences of the transcription, with what it holds fixed held; thresholds have none there, but their table."""
    sae, architecture, options = case
    x, y, held, dead = normal(N, D), normal(N, D, name="target"), weights(sae), dead_latents()
    terms = sae.loss(x, y, TrainState(0, 0, SCALE, dead, sparse=sparse))
    torch.stack(list(terms.values())).sum().backward()

    def total(w):
        found = equations.terms(architecture, options, w, held, x.numpy(), y.numpy(), dead=dead.numpy(), scale=SCALE)
        return sum(found.values())

    for name, p in sae.named_parameters():
        if name == "theta":
            continue
        expected = np.zeros(p.shape)
        for index in np.ndindex(*p.shape):
            values = []
            for step in (1e-6, -1e-6):
                w = {key: value.copy() for key, value in held.items()}
                w[name][index] += step
                values.append(total(w))
            expected[index] = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(p.grad.numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=name)
    if architecture == "jumprelu":
        expected = equations.theta_gradient(options, held, x.numpy(), y.numpy(), dead=dead.numpy(), scale=SCALE)
        np.testing.assert_allclose(sae.theta.grad.numpy(), expected, rtol=1e-10, atol=1e-12)
        assert (np.abs(expected) > 0).sum() > F / 2


def test_one_adam_step_is_adam_on_those_gradients_with_unit_rows_after_it(case):
    """The whole of a step but the clipping: projected gradient, Adam, constraint."""
    sae, _, _ = case
    x, y, lr = normal(N, D), normal(N, D, name="target"), 0.01
    torch.stack(list(sae.loss(x, y, TrainState(0, 0, SCALE, dead_latents())).values())).sum().backward()
    w, gradients = weights(sae), {name: p.grad.numpy().copy() for name, p in sae.named_parameters()}
    if sae.unit_decoder:
        g, rows = gradients["W_dec"], w["W_dec"]
        gradients["W_dec"] = g - (g * rows).sum(axis=1, keepdims=True) * rows
    # At the first step both of Adam's means are the gradient's own, whatever the betas.
    expected = {name: w[name] - lr * g / (np.abs(g) + 1e-8) for name, g in gradients.items()}
    if sae.unit_decoder:
        expected["W_dec"] /= np.sqrt((expected["W_dec"] ** 2).sum(axis=1, keepdims=True))
    if "theta" in expected:
        expected["theta"] = np.maximum(expected["theta"], 0)

    optimizer = adam(sae, lr)
    project_decoder_gradient_(sae)
    optimizer.step()
    sae.constrain_()
    for name, value in weights(sae).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
