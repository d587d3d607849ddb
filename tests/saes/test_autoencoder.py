"""The plain autoencoder is the ReLU SAE without its penalty."""

import torch

from saescope.saes.base import TrainState
from saescope.saes.registry import build
from variants import normal


def test_the_plain_autoencoder_is_the_relu_sae_without_the_penalty():
    x = normal(20, 6)
    plain, sparse = build("autoencoder", 6, 4, seed=5).double(), build("relu", 6, 4, {"l1": 0.0}, seed=5).double()
    terms = [sae.loss(x, x, TrainState(0, 0, 1.0, torch.zeros(4, dtype=torch.bool))) for sae in (plain, sparse)]
    assert set(terms[0]) == {"mse"}
    assert terms[0]["mse"].item() == terms[1]["mse"].item()
    assert torch.equal(plain.encode(x), sparse.encode(x))
    assert plain.l0_target is None
    assert plain.resample == "off"
