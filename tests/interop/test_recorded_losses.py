"""Our loss terms, gradients and steps against the trainers of SAELens and dictionary_learning, after the conversion of units.

Both take the sum over d and the mean over tokens, as we do. SAELens' coefficients are for the activations as they come; ours are for
activations times s = sqrt(d / E||x||^2), so every term of ours is s^2 times theirs. dictionary_learning's are for E||x||^2 = 1.
"""

import math

import pytest
import torch

from interop import recorded
from saescope.saes.base import SAE, TrainState
from saescope.saes.fold import unfold
from saescope.saes.losses import variance
from saescope.saes.registry import build
from saescope.training.optimizer import clip_divisor, project_decoder_gradient_

D, F = 6, 12
NAMES = {
    "encoder.bias": "b_enc", "decoder_bias": "b_dec", "bias": "b_dec", "mag_bias": "b_mag", "gate_bias": "b_gate", "threshold": "theta",
    "encoder.weight": "W_enc", "decoder.weight": "W_dec",
}  # fmt: skip


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5 * max(1.0, float(theirs.abs().max())), rtol=1e-5)


def in_our_names(tensors):
    return {NAMES.get(name, name): value.T if name.endswith(".weight") else value for name, value in tensors.items()}


class Case:
    """One recorded trainer: its weights as our class, its inputs, and what it computed, in our names."""

    def __init__(self, library, name):
        arrays, facts = recorded.of(library, "losses", name), recorded.facts(library, name)
        self.x, self.dead = arrays["x"], arrays["dead"]
        self.before, self.grad, self.after = (in_our_names(recorded.part(arrays, key)) for key in ("before", "grad", "after"))
        self.terms, self.options, self.loss = facts["terms"], facts["options"], facts["loss"]
        self.s = math.sqrt(D / self.x.square().sum(1).mean())

    def sae(self, architecture, options) -> SAE:
        """Our class with these weights, for activations as they come."""
        sae = build(architecture, D, F, options, seed=None)
        with torch.no_grad():
            for name, value in sae.state_dict().items():
                value.copy_(self.before[name] if name in self.before else torch.zeros(()))
        return sae

    def variance_ratio(self, sae):
        """V_target / V_e, by which our AuxK is larger than a squared error."""
        x = self.x
        with torch.no_grad():
            return variance(x) / variance(x - sae.decode(sae.training_latents(sae.pre_acts(x))))


def terms_and_gradients(sae, x, dead, *, sparse=False):
    """Our loss terms, and the gradient of their sum, without the part along unit rows, which no step follows."""
    terms = sae.loss(x, x, TrainState(step=0, tokens=0, sparsity_scale=1.0, dead=dead, sparse=sparse))
    sae.zero_grad()
    sum(terms.values()).backward()
    project_decoder_gradient_(sae)
    return {name: value.detach() for name, value in terms.items()}, {name: p.grad for name, p in sae.named_parameters()}


def off_the_rows(gradient, W_dec):
    """A gradient without its part along the rows of a unit decoder."""
    return gradient - (gradient * W_dec).sum(1, keepdim=True) * W_dec


# --- SAELens -----------------------------------------------------------------------------------------------------------


def scaled(case, architecture, options):
    """Terms and gradients of our class on s x, with weights that are the same function there; gradients back in units of x."""
    sae = unfold(case.sae(architecture, options), case.s)
    terms, gradients = terms_and_gradients(sae, case.s * case.x, case.dead)
    units = {"W_enc": case.s**2, "W_dec": case.s**2, "r_mag": case.s**2}  # the rest is divided by s on the way back
    return {name: value / case.s**2 for name, value in terms.items()}, {
        name: gradient / units.get(name, case.s) for name, gradient in gradients.items()
    }


def test_standard_with_a_free_decoder():
    """ReLU of April 2024: L1 weighed by decoder norms. lambda = c s."""
    case = Case("saelens", "standard_untied")
    terms, gradients = scaled(case, "relu", {"decoder": "free", "l1": case.options["l1_coefficient"] * case.s})
    close(terms["mse"], torch.tensor(case.terms["mse_loss"]))
    close(terms["sparsity"], torch.tensor(case.terms["l1_loss"]))
    for name, theirs in case.grad.items():
        close(gradients[name], theirs)


def test_standard_with_unit_rows():
    """ReLU of 2023: the same values; their gradient has a part along the rows more, which our step would undo. lambda = c s."""
    case = Case("saelens", "standard")
    terms, gradients = scaled(case, "relu", {"l1": case.options["l1_coefficient"] * case.s})
    close(terms["mse"], torch.tensor(case.terms["mse_loss"]))
    close(terms["sparsity"], torch.tensor(case.terms["l1_loss"]))
    for name, theirs in case.grad.items():
        close(gradients[name], off_the_rows(theirs, case.before["W_dec"]) if name == "W_dec" else theirs)


def test_gated_values_and_what_theirs_does_not_hold_fixed():
    """The same values. Their auxiliary term does not hold the decoder fixed, ours does, as the paper: d aux / d W_dec = 0."""
    case = Case("saelens", "gated")
    terms, gradients = scaled(case, "gated", {"l1": case.options["l1_coefficient"] * case.s})
    close(terms["mse"], torch.tensor(case.terms["mse_loss"]))
    close(terms["sparsity"], torch.tensor(case.terms["l1_loss"]))
    close(terms["aux"], torch.tensor(case.terms["auxiliary_reconstruction_loss"]))
    for name in ("W_enc", "b_gate", "b_mag", "r_mag"):
        close(gradients[name], case.grad[name])
    assert not torch.allclose(gradients["W_dec"], off_the_rows(case.grad["W_dec"], case.before["W_dec"]), atol=0.1)


@pytest.mark.parametrize(("name", "architecture"), [("topk", "topk"), ("batchtopk", "batch_topk"), ("matryoshka", "matryoshka")])
def test_topk_and_its_auxiliary_term(name, architecture):
    """Their AuxK is a plain squared error: ours divided by V_target / V_e. Their Matryoshka adds the widths, ours is the mean."""
    case = Case("saelens", name)
    widths = {"widths": tuple(case.options["matryoshka_widths"])} if name == "matryoshka" else {}
    n_widths = len(widths.get("widths", (F,)))
    plain = case.sae(architecture, {"k": case.options["k"], **widths})
    alpha = 1.0 / float(case.variance_ratio(plain)) / n_widths
    terms, gradients = scaled(case, architecture, {"k": case.options["k"], "alpha": alpha, **widths})
    theirs_mse = sum(value for key, value in case.terms.items() if "mse" in key)
    close(terms["mse"] * n_widths, torch.tensor(theirs_mse))
    close(terms["auxk"] * n_widths, torch.tensor(case.terms["auxiliary_reconstruction_loss"]))
    assert terms["auxk"] > 0
    for key, theirs in case.grad.items():
        close(gradients[key] * n_widths, off_the_rows(theirs, case.before["W_dec"]) if key == "W_dec" else theirs)


@pytest.mark.parametrize("name", ["jumprelu_step", "jumprelu_step_ste", "jumprelu_tanh", "jumprelu_quadratic"])
def test_jumprelu(name):
    """Coefficients of L0 times s^2, of the pre-activation term times s; thresholds and windows times s; tanh's 4 divided by s."""
    case = Case("saelens", name)
    theirs, s = case.options, case.s
    options = {
        "coefficient": theirs["l0_coefficient"] * s**2,
        "bandwidth": theirs["jumprelu_bandwidth"] * s,
        "ste_to_input": theirs.get("jumprelu_ste_to_input", False),
        "sparsity": {"tanh": "tanh", "quadratic": "target_l0_per_token"}.get(theirs.get("jumprelu_sparsity_loss_mode"), "l0"),
        "tanh_scale": 4.0 / s,
        "pre_act": theirs.get("pre_act_loss_coefficient", 0.0) * s,
        "l0": theirs.get("target_l0"),
        "alpha": 0.0,  # AuxK beside a JumpReLU is ours
    }
    terms, gradients = scaled(case, "jumprelu", options)
    close(terms["mse"], torch.tensor(case.terms["mse_loss"]))
    close(terms["sparsity"], torch.tensor(case.terms["l0_loss"]))
    if "pre_act_loss" in case.terms:
        assert case.terms["pre_act_loss"] > 0
        close(terms["pre_act"], torch.tensor(case.terms["pre_act_loss"]))
    assert (case.grad["theta"] != 0).sum() > 4  # some pre-activations lie in the window
    for key, gradient in case.grad.items():
        unit = key == "W_dec" and name != "jumprelu_tanh"
        close(gradients[key], off_the_rows(gradient, case.before["W_dec"]) if unit else gradient)


# --- dictionary_learning -----------------------------------------------------------------------------------------------


def step(sae, gradients, *, clip, factor=1.0):
    """Weights after their step: 0.01 down the gradient (clipped to norm 1, where they do), rows of norm 1 again."""
    with torch.no_grad():
        for name, p in sae.named_parameters():
            p.grad = gradients[name] * factor
        by = clip_divisor(torch.stack([p.grad.norm().square() for p in sae.parameters()]), 1.0) if clip else 1.0
        for p in sae.parameters():
            p -= 0.01 * p.grad / by
    sae.constrain_()
    return dict(sae.named_parameters())


def check_step(case, sae, gradients, *, clip, factor=1.0, but=()):
    after = step(sae, gradients, clip=clip, factor=factor)
    assert not torch.equal(case.after["W_dec"], case.before["W_dec"])
    for name, theirs in case.after.items():
        if name not in but:
            close(after[name].detach(), theirs)


def test_their_standard_trainer():
    """Terms, gradients and a whole update; and on s x with lambda = c s, every term is s^2 times theirs."""
    case = Case("dictionary_learning", "standard")
    c = case.options["l1_penalty"]
    sae = case.sae("relu", {"l1": c})
    terms, gradients = terms_and_gradients(sae, case.x, case.dead)
    close(terms["mse"], torch.tensor(case.terms["mse_loss"]))
    close(terms["sparsity"], c * torch.tensor(case.terms["sparsity_loss"]))
    for name, theirs in case.grad.items():
        close(gradients[name], off_the_rows(theirs, case.before["W_dec"]) if name == "W_dec" else theirs)
    check_step(case, sae, gradients, clip=False)
    converted, _ = scaled(case, "relu", {"l1": c * case.s})
    close(converted["sparsity"], terms["sparsity"])


def test_their_april_trainer():
    """Their encoder reads x - b_dec, ours x: b_enc' = b_enc - b_dec @ W_enc is the same function, d W_enc = d W_enc' - b_dec d b_enc'."""
    case = Case("dictionary_learning", "april")
    c = case.options["l1_penalty"]
    case.before["b_enc"] = case.before["b_enc"] - case.before["b_dec"] @ case.before["W_enc"]
    terms, gradients = terms_and_gradients(case.sae("relu", {"l1": c, "decoder": "free"}), case.x, case.dead)
    close(terms["mse"], torch.tensor(case.terms["mse_loss"]))
    close(terms["sparsity"], c * torch.tensor(case.terms["sparsity_loss"]))
    close(gradients["W_dec"], case.grad["W_dec"])
    close(gradients["b_enc"], case.grad["b_enc"])
    close(gradients["W_enc"] - torch.outer(case.before["b_dec"], gradients["b_enc"]), case.grad["W_enc"])


def test_their_gated_trainer():
    """All of it equal: decoder held fixed in the auxiliary term, L1 of the gates."""
    case = Case("dictionary_learning", "gated")
    c = case.options["l1_penalty"]
    sae = case.sae("gated", {"l1": c})
    terms, gradients = terms_and_gradients(sae, case.x, case.dead)
    close(terms["mse"], torch.tensor(case.terms["mse_loss"]))
    close(terms["sparsity"], c * torch.tensor(case.terms["sparsity_loss"]))
    close(terms["aux"], torch.tensor(case.terms["aux_loss"]))
    for name, theirs in case.grad.items():
        close(gradients[name], off_the_rows(theirs, case.before["W_dec"]) if name == "W_dec" else theirs)
    check_step(case, sae, gradients, clip=False)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["topk", "batch_topk", "matryoshka"])
def test_their_topk_trainers(name, sparse):
    """Their AuxK is divided by the variance of the error: ours is theirs times that of x. Their Matryoshka divides by G twice."""
    case = Case("dictionary_learning", name)
    fractions = case.options.get("group_fractions", [1.0])
    groups = len(fractions)
    widths = {"widths": tuple(round(F * sum(fractions[: i + 1])) for i in range(groups))} if groups > 1 else {}
    alpha = groups / 32 / float(variance(case.x))
    sae = case.sae(name, {"k": case.options["k"], "alpha": alpha, **widths})
    terms, gradients = terms_and_gradients(sae, case.x, case.dead, sparse=sparse)
    close(terms["mse"] / groups, torch.tensor(case.terms["l2_loss"]))
    close(terms["auxk"] / groups, torch.tensor(case.terms["auxk_loss"]) / 32)
    assert terms["auxk"] > 0
    for key, theirs in case.grad.items():
        close(gradients[key] / groups, off_the_rows(theirs, case.before["W_dec"]) if key == "W_dec" else theirs)
    check_step(case, sae, gradients, clip=True, factor=1 / groups)


def test_their_jumprelu_trainer():
    """At E||x||^2 = 1 there, d here: the coefficient of a target L0 times d (in our term already), thresholds and window times sqrt(d).

    Their step acts on f, ours on z as in the paper: a z just below its threshold counts in our gradient of theta, not in theirs.
    """
    case = Case("dictionary_learning", "jumprelu")
    assert math.isclose(case.s, math.sqrt(D), rel_tol=1e-5)
    theirs, window = case.options, case.options["bandwidth"] * case.s
    options = {"coefficient": theirs["sparsity_penalty"], "l0": theirs["target_l0"], "bandwidth": window, "sparsity": "target_l0"}
    options |= {"ste_to_input": False, "alpha": 0.0}
    terms, gradients = scaled(case, "jumprelu", options)
    close(terms["mse"], torch.tensor(case.terms["l2_loss"]))
    close(terms["mse"] + terms["sparsity"], torch.tensor(case.loss))
    for name in ("W_enc", "W_dec", "b_enc", "b_dec"):
        close(gradients[name], off_the_rows(case.grad[name], case.before["W_dec"]) if name == "W_dec" else case.grad[name])
    z = case.x @ case.before["W_enc"] + case.before["b_enc"]
    just_below = ((z < case.before["theta"]) & (z > case.before["theta"] - theirs["bandwidth"] / 2)).any(0)
    assert 0 < just_below.sum() < F
    close(gradients["theta"][~just_below], case.grad["theta"][~just_below])
    assert not torch.isclose(gradients["theta"][just_below], case.grad["theta"][just_below]).any()
