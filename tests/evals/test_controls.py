import pytest
import torch

from saescope.errors import ConfigError
from saescope.evals.controls import Moments, control, k_largest, neurons, neurons_topk, pca, random_dictionary, untrained
from saescope.saes.registry import build


@pytest.fixture
def data(normal):
    """Correlated, off-centre vectors."""
    return normal(3000, 12) @ normal(12, 12) + 2


@pytest.fixture
def fit(data, chunk):
    moments = Moments(12, sample_rows=500)
    for part in data.split(700):
        moments.add(chunk(part, latents=torch.ones(len(part), 3)))
    return moments


def fvu(dictionary, x):
    return float((x - dictionary.decode(dictionary.encode(x))).square().sum() / (x - x.mean(0)).square().sum())


def test_moments(fit, data):
    assert fit.n == 3000
    assert fit.k == 3
    assert torch.allclose(fit.mean, data.mean(0), atol=1e-5)
    axes = fit.principal_axes()
    variances = ((data - data.mean(0)) @ axes).var(0, correction=0)
    assert torch.allclose(axes.T @ axes, torch.eye(12), atol=1e-5)
    assert (variances.diff() < 1e-3).all()
    assert len(fit.sample) == 500


def test_moments_leave_uncounted_tokens_out(chunk):
    moments = Moments(2)
    moments.add(chunk(torch.tensor([[100.0, 100], [1, 2], [3, 4]]), counted=[False, True, True]))
    assert moments.mean.tolist() == [2, 3]
    assert moments.n == 2


def test_merged_moments_equal_one(fit, data, chunk):
    halves = [Moments(12, sample_rows=500) for _ in range(2)]
    for half, part in zip(halves, data.split(1500), strict=True):
        half.add(chunk(part, latents=torch.ones(len(part), 3)))
    halves[0].merge(halves[1])
    assert torch.allclose(halves[0].x.c_xy, fit.x.c_xy, rtol=1e-9)
    assert (halves[0].n, halves[0].k, halves[0].minimum, len(halves[0].sample)) == (fit.n, fit.k, fit.minimum, 500)


def test_neurons_are_exact_and_their_latents_not_negative(fit, data):
    row = neurons(fit)
    assert row.exact
    assert row.d_sae == 24
    assert (row.encode(data) >= 0).all()
    assert torch.equal(row.decode(row.encode(data)), data)


def test_a_site_without_negatives_needs_no_halves(chunk, data):
    moments = Moments(12)
    moments.add(chunk(data.relu()))
    assert neurons(moments).d_sae == 12
    assert torch.equal(neurons(moments).decode(neurons(moments).encode(data.relu())), data.relu())


def test_neurons_topk_keeps_the_coordinates_farthest_from_their_mean(fit, data):
    x_hat = neurons_topk(fit, 3).decode(neurons_topk(fit, 3).encode(data[:1]))[0]
    farthest = (data[0] - fit.mean).abs().topk(3).indices
    expected = fit.mean.clone()
    expected[farthest] = data[0][farthest]
    assert torch.allclose(x_hat, expected, atol=1e-5)


def test_k_latents_are_active_and_pca_beats_coordinates(fit, data):
    for row in (neurons_topk(fit, 3), pca(fit, 3), untrained(build("topk", 12, 40, {"k": 3}), fit, 3), random_dictionary(fit, 40, 3)):
        latents = row.encode(data)
        assert (latents != 0).sum(1).float().mean() == pytest.approx(3, rel=0.05)
        assert (latents >= 0).all()
        assert latents.shape[-1] == row.d_sae
    assert fvu(pca(fit, 3), data) < fvu(neurons_topk(fit, 3), data) < 1
    assert fvu(pca(fit, 12), data) < 1e-9


def test_untrained_is_the_class_at_its_initialisation(fit, data):
    trained = build("batch_topk", 12, 40, {"k": 4}, seed=5)
    row = untrained(trained, fit, 4, seed=5)
    assert torch.equal(row.W_dec, trained.W_dec)  # `trained` never was
    assert torch.allclose(torch.nn.functional.cosine_similarity(row.W_enc.T, row.W_dec), torch.ones(40), atol=1e-5)
    assert fvu(row, data) < 1
    with torch.no_grad():
        trained.W_dec.zero_()
    assert torch.equal(untrained(trained, fit, 4, seed=5).W_dec, row.W_dec)


def test_the_scale_is_the_best(fit):
    row = untrained(build("topk", 12, 40, {"k": 4}), fit, 4)
    best = fvu(row, fit.sample)
    for factor in (0.9, 1.1):
        row.W_enc.mul_(factor)
        assert fvu(row, fit.sample) > best
        row.W_enc.div_(factor)


def test_any_leading_shape_and_more_than_there_are(fit, data):
    cube = data[:6].reshape(2, 3, 12)
    for row in (pca(fit, 50), neurons_topk(fit, 50), random_dictionary(fit, 8, 50)):
        assert row.decode(row.encode(cube)).shape == cube.shape
    assert torch.equal(k_largest(cube, 99), cube)


def test_an_unknown_control_names_the_nearest(fit):
    with pytest.raises(ConfigError, match="'pca'"):
        control("pcaa", build("topk", 12, 40), fit)
