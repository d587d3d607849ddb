"""What is particular to the JumpReLU SAE: thresholds that move, sparsity terms that see what is just below them."""

from typing import get_args

import pytest
import torch

from saescope.draws import draws
from saescope.errors import ConfigError
from saescope.saes.base import TrainState
from saescope.saes.jumprelu import JumpReLUConfig, JumpReLUSAE, Sparsity
from saescope.saes.registry import build
from saescope.training.optimizer import adam

D, F = 6, 12
KINDS = get_args(Sparsity)


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


def make(**options) -> JumpReLUSAE:
    return JumpReLUSAE(D, F, JumpReLUConfig(**{"l0": 4.0, **options}), seed=3).double()


def state(scale=1.0, dead=()):
    mask = torch.zeros(F, dtype=torch.bool)
    mask[list(dead)] = True
    return TrainState(0, 0, scale, mask)


def test_thresholds_start_as_configured_and_are_float32_parameters():
    sae = JumpReLUSAE(D, F, JumpReLUConfig(l0=4.0, theta=0.25))
    assert sae.theta.tolist() == [0.25] * F
    assert sae.theta.dtype == torch.float32
    assert "theta" in dict(sae.named_parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_is_unit_but_for_the_tanh_terms_and_b_dec_is_never_tied(kind):
    sae = make(sparsity=kind)
    assert sae.unit_decoder is not kind.startswith("tanh")
    assert not sae.tied
    torch.testing.assert_close(sae.decoder_norms(), torch.full((F,), 1.0 if sae.unit_decoder else 0.1).double())


def test_the_controller_has_a_target_where_the_term_has_none_of_its_own():
    assert {kind for kind in KINDS if make(sparsity=kind).l0_target == 4} == {"l0", "tanh", "tanh_quadratic"}
    assert JumpReLUSAE(D, 40).wanted_l0 == 32
    assert JumpReLUSAE(D, F, JumpReLUConfig(sparsity="l0")).l0_target is None


def test_constrain_keeps_thresholds_at_zero_or_above():
    sae = make()
    with torch.no_grad():
        sae.theta.copy_(torch.linspace(-1, 1, F))
    sae.constrain_()
    assert sae.theta.min() == 0
    assert sae.theta.max() == 1


def test_a_constant_gradient_moves_theta_by_lr_a_step():
    """SAELens #728, #494, #718: logarithms and bfloat16 stall at small thresholds."""
    sae, lr, steps = JumpReLUSAE(D, F, JumpReLUConfig(l0=4.0, theta=0.01)), 1e-4, 200
    optimizer = adam(sae, lr)
    for _ in range(steps):
        sae.theta.grad = torch.full_like(sae.theta, -0.003)
        optimizer.step()
        sae.constrain_()
    torch.testing.assert_close(sae.theta, torch.full((F,), 0.01 + steps * lr), rtol=0.05, atol=0)


@pytest.mark.parametrize("kind", ["l0", "target_l0", "target_l0_per_token"])
def test_a_pre_activation_just_below_its_threshold_moves_it(kind):
    """dictionary_learning #55: of f, which is 0 there, the step sees nothing."""
    sae, x = make(sparsity=kind, bandwidth=0.1, ste_to_input=False), normal(1, D)
    with torch.no_grad():
        sae.theta.copy_(sae.pre_acts(x)[0] + 0.01)
        sae.theta[6:] -= 0.5  # others are far below, so that L0 is not 0
    assert sae.encode(x)[0, :6].abs().max() == 0
    sae.loss(x, x, state())["sparsity"].backward()
    assert (sae.theta.grad[:6].abs() > 0).all()
    assert (sae.theta.grad[6:] == 0).all()
    assert sae.W_enc.grad is None or sae.W_enc.grad.abs().max() == 0


def test_ste_to_input_lets_the_step_reach_the_encoder():
    x = normal(200, D)
    for ste_to_input in (False, True):
        sae = make(sparsity="l0", bandwidth=0.5, ste_to_input=ste_to_input)
        sae.loss(x, x, state())["sparsity"].backward()
        reached = sae.W_enc.grad is not None and sae.W_enc.grad.abs().max() > 0
        assert reached == ste_to_input


def test_tanh_terms_reach_the_encoder_and_the_rows():
    x = normal(200, D)
    for kind in ("tanh", "tanh_quadratic"):
        sae = make(sparsity=kind)
        sae.loss(x, x, state())["sparsity"].backward()
        assert sae.W_enc.grad.abs().max() > 0
        assert sae.W_dec.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["l0", "tanh"])
def test_penalty_is_of_each_token_with_its_coefficient_and_without_the_warm_up(kind):
    sae, x = make(sparsity=kind, coefficient=0.7), normal(20, D)
    penalty_N = sae.penalty(sae.pre_acts(x))
    assert penalty_N.shape == (20,)
    torch.testing.assert_close(sae.loss(x, x, state(0.3))["sparsity"], 0.3 * penalty_N.mean())


def test_descending_target_l0_alone_moves_l0_to_the_target():
    x = normal(2000, D)
    for wanted in (2.0, 5.0):
        sae = JumpReLUSAE(D, F, JumpReLUConfig(l0=wanted, bandwidth=0.5), seed=3).double()
        optimizer = torch.optim.Adam([sae.theta], lr=0.02)
        for _ in range(100):
            at = state()
            optimizer.zero_grad()
            sae.loss(x, x, at)["sparsity"].backward()
            optimizer.step()
            sae.constrain_()
        assert at.observed["l0"].item() == pytest.approx(wanted, rel=0.05)


def test_window_hits_are_observed():
    sae, x = make(bandwidth=0.5), normal(300, D)
    at = state()
    sae.loss(x, x, at)
    expected = ((sae.pre_acts(x) - sae.theta).abs() < 0.25).double().mean()
    assert at.observed["window"].item() == pytest.approx(expected.item())
    with torch.no_grad():
        sae.theta.fill_(100)
    sae.loss(x, x, at)
    assert at.observed["window"].item() == 0


def test_the_term_of_dead_latents_is_on_for_tanh_and_off_for_the_others_unless_asked():
    x = normal(20, D)
    on = {kind for kind in KINDS if "pre_act" in make(sparsity=kind).loss(x, x, state(dead=[2]))}
    assert on == {"tanh"}
    assert "pre_act" in make(pre_act=0.1).loss(x, x, state(dead=[2]))
    assert "pre_act" not in make(sparsity="tanh", pre_act=0.0).loss(x, x, state(dead=[2]))


def test_the_term_of_dead_latents_lifts_them_and_no_others():
    sae, x = make(pre_act=0.1), normal(50, D)
    sae.loss(x, x, state(dead=[2, 7]))["pre_act"].backward()
    lifted = [2, 7]
    others = [i for i in range(F) if i not in lifted]
    assert (sae.b_enc.grad[lifted] < 0).all()
    assert (sae.theta.grad[lifted] > 0).all()
    assert sae.b_enc.grad[others].abs().max() == 0
    assert sae.theta.grad[others].abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_latent_active_gives_finite_terms_and_gradients(kind):
    sae, x = make(sparsity=kind, pre_act=0.1), normal(20, D)
    with torch.no_grad():
        sae.theta.fill_(100)
    at = state(dead=range(F))
    terms = sae.loss(x, x, at)
    torch.stack(list(terms.values())).sum().backward()
    assert at.observed["l0"] == 0
    assert all(term.isfinite() for term in terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in sae.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": "l1"}, "sparsity='l1'.* There are: l0, target_l0"),
        ({"coefficient": -1}, r"coefficient=-1.*set --set coefficient=VALUE"),
        ({"l0": 0}, "l0=0.*set --l0"),
        ({"theta": -0.1}, "theta=-0.1"),
        ({"bandwidth": 0}, "bandwidth=0.* above 0"),
        ({"ste_to_input": 1}, "ste_to_input=1.*true or false"),
        ({"tanh_scale": 0}, "tanh_scale=0"),
        ({"pre_act": -1}, "pre_act=-1"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        JumpReLUConfig(**options)


def test_more_active_latents_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"l0=32 .* d_sae=12"):
        build("jumprelu", D, F)  # the default target
    with pytest.raises(ConfigError, match=r"l0=13 .* d_sae=12"):
        build("jumprelu", D, F, {"sparsity": "tanh", "l0": 13})
