"""What is particular to the Gated SAE: which weight learns from which term, and the JumpReLU SAE that it is."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from saescope.draws import draws
from saescope.errors import ConfigError
from saescope.saes.base import TrainState
from saescope.saes.fold import fold
from saescope.saes.gated import GatedConfig, GatedSAE, to_jumprelu
from saescope.saes.registry import build

D, F = 6, 12


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


def state(n=F, **kwargs):
    return TrainState(0, 0, 1.0, torch.zeros(n, dtype=torch.bool), **kwargs)


@pytest.fixture
def sae() -> GatedSAE:
    sae = GatedSAE(D, F, GatedConfig(l1=0.3), seed=3).double()
    with torch.no_grad():
        for name, p in sae.named_parameters():
            p.add_(0.3 * normal(*p.shape, name=name))
    sae.constrain_()
    return sae


def test_its_parameters_are_those_of_the_paper(sae):
    assert {name for name, _ in sae.named_parameters()} == {"W_enc", "r_mag", "b_gate", "b_mag", "W_dec", "b_dec"}
    assert not hasattr(sae, "b_enc")


def test_a_fresh_one_is_a_relu_sae():
    gated, relu = GatedSAE(D, F, seed=3).double(), build("relu", D, F, seed=3).double()
    x = normal(20, D)
    assert torch.equal(gated(x), relu(x))
    assert torch.equal(gated.penalty(gated.pre_acts(x)), relu.penalty(relu.pre_acts(x)))


def test_it_is_its_jumprelu(sae):
    x = normal(300, D)
    jump = to_jumprelu(sae)
    assert (sae.b_mag - sae.r_mag.exp() * sae.b_gate < 0).any()  # some gates open below the magnitude's own zero
    assert (jump.theta > 0).any()
    torch.testing.assert_close(jump.encode(x), sae.encode(x))
    torch.testing.assert_close(jump(x), sae(x))
    torch.testing.assert_close(to_jumprelu(fold(sae, 7.3))(x), fold(sae, 7.3)(x))
    assert jump.W_enc.T.is_contiguous()


def gradients(sae, term):
    sae.zero_grad()
    term.backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in sae.named_parameters()}


def test_which_weight_learns_from_which_term(sae):
    x = normal(40, D)
    for term, silent in (("mse", {"b_gate"}), ("sparsity", {"r_mag", "b_mag", "W_dec"}), ("aux", {"r_mag", "b_mag", "W_dec"})):
        found = gradients(sae, sae.loss(x, x, state())[term])
        assert {name for name, g in found.items() if g.abs().max() == 0} == silent, term


def test_b_dec_is_held_in_the_decoder_of_aux_but_not_in_its_encoder(sae):
    """With gates that do not hang on x (W_enc = 0) aux has no way to b_dec."""
    x = normal(40, D)
    with torch.no_grad():
        sae.W_enc.zero_()
        sae.b_gate.fill_(1.0)
    assert gradients(sae, sae.loss(x, x, state())["aux"])["b_dec"].abs().max() == 0


class Products(TorchDispatchMode):
    """Counts the matrix products that give a matrix of this shape."""

    def __init__(self, *shape):
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm):
            self.count += out.shape == self.shape
        return out


def test_loss_encodes_once(sae):
    x = normal(40, D)
    with Products(40, F) as encodings, Products(40, D) as decodings:
        sae.loss(x, x, state(sparse=False))
    assert encodings.count == 1
    assert decodings.count == 2  # of the latents, and of the gates for aux


def test_a_weaker_encoder_with_a_longer_decoder_lowers_no_loss(sae):
    """SAELens #539: gates at a third would pay a third; the constraint on the rows brings the encoder back."""
    x = normal(40, D)
    before = {name: term.item() for name, term in sae.loss(x, x, state()).items()}
    with torch.no_grad():
        for weight in (sae.W_enc, sae.b_gate, sae.b_mag):
            weight.div_(3)
        sae.W_dec.mul_(3)
    after = {name: term.item() for name, term in sae.with_unit_decoder().loss(x, x, state()).items()}
    assert after == pytest.approx(before)


def test_dead_latents_are_resampled_if_asked():
    assert GatedSAE(D, F).resample == "off"
    assert GatedSAE(D, F, GatedConfig(resample="published")).resample == "published"
    assert GatedSAE(D, F, GatedConfig(l0=4)).l0_target == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l1": -0.1}, "l1=-0.1.*set --l1"),
        ({"l0": -3}, "l0=-3.*set --l0"),
        ({"resample": "centered"}, "Did you mean 'centred'"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        GatedConfig(**options)


def test_more_active_latents_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"l0=13 .* d_sae=12"):
        build("gated", D, F, {"l0": 13})
