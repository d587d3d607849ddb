"""The input scale."""

import pytest
import torch

from saescope.activations.scale import estimate_scales, scale_of
from saescope.activations.source import TensorSource
from saescope.draws import draws
from saescope.errors import NonFiniteActivations


def normal(*shape):
    return torch.from_numpy(draws(0, "test").standard_normal(shape)).float()


def test_scaled_inputs_have_unit_mean_square():
    x = normal(5000, 16) * 0.03 + 0.2
    assert (x * scale_of(x).value).square().mean().item() == pytest.approx(1, rel=1e-5)


def test_outliers_are_left_out_and_counted():
    x = normal(1000, 16)
    clean = scale_of(x).value
    x[3] = 1e4
    assert scale_of(x).n_outliers == 1
    assert scale_of(x).value == pytest.approx(clean, rel=0.01)


def test_two_halves_agree():
    x = normal(20_000, 16)
    assert scale_of(x[:10_000]).value == pytest.approx(scale_of(x[10_000:]).value, rel=0.01)


def test_nothing_to_train_on_is_an_error():
    with pytest.raises(NonFiniteActivations, match="nothing to train on"):
        scale_of(torch.zeros(10, 4))


def test_the_estimate_reads_the_head_of_the_stream():
    source = TensorSource(normal(500, 4))
    scales, sample = estimate_scales(source, seed=3, n_tokens=200)
    assert torch.equal(sample, next(iter(source.batches(200, seed=3))).rows)
    assert scales["x"] == scale_of(sample)
