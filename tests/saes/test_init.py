"""Initial weights."""

import pytest
import torch

from saescope.draws import draws
from saescope.saes.init import fit_to_sample_, geometric_median, unit_rows
from saescope.saes.registry import build


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape)).float()


def test_unit_rows_are_unit_and_a_function_of_the_seed():
    rows = unit_rows(50, 8, seed=1)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(50))
    assert torch.equal(rows, unit_rows(50, 8, seed=1))
    assert not torch.equal(rows, unit_rows(50, 8, seed=2))


def test_geometric_median_ignores_a_far_outlier():
    x = normal(1000, 4)
    with_outlier = x.clone()
    with_outlier[0] = 1e6
    assert (geometric_median(with_outlier) - geometric_median(x)).norm() < 1
    assert (with_outlier.mean(0) - x.mean(0)).norm() > 100


def test_geometric_median_on_a_point_of_the_sample_stays_finite():
    x = torch.cat([torch.zeros(3, 2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])])  # the mean is a point
    assert geometric_median(x).norm() < 1e-6


@pytest.mark.parametrize("architecture", ["relu", "topk", "batch_topk"])
def test_the_start_is_the_best_scale_of_the_encoder(architecture):
    x = normal(2000, 8) + 3
    sae = build(architecture, 8, 32, {} if architecture == "relu" else {"k": 4}).double()
    fit_to_sample_(sae, x.double(), x.double())
    errors = []
    for factor in (0.99, 1.0, 1.01):
        latents = factor * sae.training_latents(sae.pre_acts(x.double()))  # homogeneous: scaling W_enc scales the latents
        errors.append((x - sae.decode(latents)).square().sum().item())
    assert errors[1] < errors[0]
    assert errors[1] < errors[2]
