"""What is particular to the ReLU SAE: its two decoders, its penalty, its options."""

import pytest
import torch

from saescope.draws import draws
from saescope.errors import ConfigError
from saescope.saes.base import TrainState
from saescope.saes.registry import build
from saescope.saes.relu import ReLUConfig, ReLUSAE

D, F = 6, 12


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


def state(scale=1.0):
    return TrainState(0, 0, scale, torch.zeros(F, dtype=torch.bool))


def test_unit_decoder_is_tied_and_resampled_if_asked_and_free_decoder_neither():
    unit, free = ReLUSAE(D, F), ReLUSAE(D, F, ReLUConfig(decoder="free"))
    assert (unit.unit_decoder, unit.tied, unit.resample) == (True, True, "off")
    assert (free.unit_decoder, free.tied, free.resample) == (False, False, "off")
    assert ReLUSAE(D, F, ReLUConfig(resample="published")).resample == "published"


def test_free_decoder_starts_at_a_tenth_along_the_same_directions_with_the_encoder_its_transpose():
    unit, free = ReLUSAE(D, F, seed=3), ReLUSAE(D, F, ReLUConfig(decoder="free"), seed=3)
    torch.testing.assert_close(free.W_dec, 0.1 * unit.W_dec)
    assert torch.equal(free.W_enc, free.W_dec.T)
    assert free.W_enc.T.is_contiguous()


def test_free_decoder_keeps_its_norms_and_unit_decoder_loses_them():
    for decoder, norm in (("free", 3.0), ("unit", 1.0)):
        sae = ReLUSAE(D, F, ReLUConfig(decoder=decoder))
        with torch.no_grad():
            sae.W_dec.mul_(3 / sae.decoder_norms()[:, None])
        sae.constrain_()
        torch.testing.assert_close(sae.decoder_norms(), torch.full((F,), norm))


def test_penalty_is_of_each_token_with_its_coefficient_and_without_the_warm_up():
    for decoder in ("unit", "free"):
        sae = ReLUSAE(D, F, ReLUConfig(l1=0.7, decoder=decoder)).double()
        x = normal(20, D)
        penalty_N = sae.penalty(sae.pre_acts(x))
        assert penalty_N.shape == (20,)
        torch.testing.assert_close(sae.loss(x, x, state(0.3))["sparsity"], 0.3 * penalty_N.mean())
        torch.testing.assert_close(penalty_N, 0.7 * sae.encode(x) @ sae.decoder_norms())


def test_sparsity_scale_of_zero_leaves_the_squared_error_alone():
    sae = ReLUSAE(D, F).double()
    terms = sae.loss(normal(20, D), normal(20, D), state(0.0))
    assert terms["sparsity"].item() == 0
    assert terms["mse"].item() > 0


def test_a_wanted_l0_is_the_controllers():
    assert ReLUSAE(D, F, ReLUConfig(l0=4)).l0_target == 4
    assert ReLUSAE(D, F).l0_target is None


def test_no_option_of_the_encoder_or_decoder_lowers_the_l1_of_the_same_function():
    """SAELens #539: an encoder at a third with a decoder three times as long pays the same."""
    x = normal(30, D)
    for decoder in ("unit", "free"):
        sae = ReLUSAE(D, F, ReLUConfig(decoder=decoder)).double()
        before = sae.loss(x, x, state())
        with torch.no_grad():
            for weight in (sae.W_enc, sae.b_enc):
                weight.div_(3)
            sae.W_dec.mul_(3)
        after = (sae.with_unit_decoder() if decoder == "unit" else sae).loss(x, x, state())
        for name, value in before.items():
            torch.testing.assert_close(after[name], value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l1": -1}, r"l1=-1.* of at least 0: set --l1\."),
        ({"l1": float("nan")}, "l1=nan"),
        ({"l1": float("inf")}, "l1=inf"),
        ({"l1": "much"}, "l1=much"),
        ({"l1": True}, "l1=True"),
        ({"l0": 0}, r"l0=0.* above 0: set --l0\."),
        ({"decoder": "fre"}, r"decoder='fre'.* Did you mean 'free'\? Set --set decoder=VALUE"),
        ({"resample": "never"}, "resample='never'.* There are: centred, published, off"),
        ({"decoder": "free", "resample": "published"}, "resample='published'.* decoder='free'"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        ReLUConfig(**options)


def test_more_active_latents_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"l0=13 .* d_sae=12"):
        build("relu", D, F, {"l0": 13})
