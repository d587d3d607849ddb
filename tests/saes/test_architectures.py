"""How an architecture is asked for: by name and options, refused by name where it cannot be.

Equations and gradients are in tests/golden/, what holds for every class in test_properties.py.
"""

import json

import pytest
import torch

from saescope.errors import ConfigError, WidthMismatch
from saescope.saes.registry import build, describe
from variants import VARIANTS, K, make, normal, state

D, F = 6, 12
every = pytest.mark.parametrize("name", VARIANTS)


@every
def test_describe_rebuilds_the_same_kind(name):
    sae = make(name)
    config = json.loads(json.dumps(describe(sae)))
    again = build(config["architecture"], config["d_in"], config["d_sae"], config["options"], d_out=config["d_out"])
    assert type(again) is type(sae)
    assert again.cfg == sae.cfg


@every
def test_encoder_memory_is_latent_major(name):
    assert make(name).W_enc.T.is_contiguous()


@every
def test_a_wrong_width_is_refused_by_name(name):
    with pytest.raises(WidthMismatch, match="reads d_in=16, but got vectors of width 5"):
        make(name).encode(torch.zeros(2, 5))


@pytest.mark.parametrize("architecture", ["topk", "batch_topk", "matryoshka"])
def test_k_above_d_sae_is_refused(architecture):
    with pytest.raises(ConfigError, match=r"k=13 .* d_sae=12"):
        build(architecture, D, F, {"k": 13})


@pytest.mark.parametrize(("d_in", "d_sae"), [(0, 4), (4, 0), (4, -1)])
def test_widths_below_one_are_refused(d_in, d_sae):
    with pytest.raises(ConfigError, match="at least 1"):
        build("relu", d_in, d_sae)


def test_options_are_checked():
    with pytest.raises(ConfigError, match=r"'topkk' is not an architecture.*Did you mean 'topk'"):
        build("topkk", D, F)
    with pytest.raises(ConfigError, match="topk has no option 'kk'"):
        build("topk", D, F, {"kk": 3})
    with pytest.raises(ConfigError, match="k=0"):
        build("topk", D, F, {"k": 0})
    with pytest.raises(ConfigError, match="k is True"):
        build("topk", D, F, {"k": True})
    with pytest.raises(ConfigError, match="alpha=-1"):
        build("batch_topk", D, F, {"alpha": -1})
    with pytest.raises(ConfigError, match=r"autoencoder has no option 'k'"):
        build("autoencoder", D, F, {"k": 3})


def test_only_a_transcoder_writes_another_width():
    with pytest.raises(ConfigError, match="Use a transcoder"):
        build("relu", D, F, d_out=7)


def test_fast_batch_topk_does_not_depend_on_its_floor():
    x = normal(40, D)
    sae = build("batch_topk", D, F, {"k": K}, seed=3).double()
    decoded = []
    for tau in (0.0, 0.5, 1e6):
        sae.tau.fill_(tau)
        decoded.append(sae.code(x, state(sae)).decode(sae.W_dec))
    assert torch.equal(decoded[0], decoded[1])
    assert torch.equal(decoded[0], decoded[2])
