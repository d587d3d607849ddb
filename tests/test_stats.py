import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats

from saescope.draws import draws
from saescope.stats import CoMoments, bootstrap, bootstrap_ratio


def rows(n, d, name="x"):
    return torch.from_numpy(draws(0, "test", name).normal(size=(n, d)))


def test_ratio_interval_is_that_of_the_standard_error():
    lengths = draws(0, "test", "lengths").integers(50, 150, 400)
    sums = lengths * draws(0, "test", "means").normal(2.0, 0.5, 400)
    ratio, error = sums.sum() / lengths.sum(), np.std(sums - lengths * sums.sum() / lengths.sum()) / lengths.mean() / np.sqrt(400)
    lo, hi = bootstrap_ratio(sums, lengths)
    assert lo < ratio < hi
    assert hi - lo == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_documents_are_resampled_whole():
    # Ten documents of a hundred equal tokens each say ten things, not a thousand.
    values = np.arange(10.0)
    lo, hi = bootstrap_ratio(100 * values, np.full(10, 100))
    assert hi - lo > 2.5


def test_interval_is_a_function_of_the_seed():
    sums, ones = np.arange(20.0), np.ones(20)
    assert bootstrap_ratio(sums, ones, seed=1) == bootstrap_ratio(sums, ones, seed=1)
    assert bootstrap_ratio(sums, ones, seed=1) != bootstrap_ratio(sums, ones, seed=2)


def test_same_documents_are_resampled_alike():
    # A constant shift of every document shifts the interval exactly: the resamples are the same.
    sums, ones = np.arange(20.0), np.ones(20)
    shifted = np.array(bootstrap_ratio(sums + 3, ones)) - 3
    np.testing.assert_allclose(shifted, bootstrap_ratio(sums, ones), atol=1e-12)


def test_any_statistic_of_sums():
    sums = np.stack([np.arange(30.0), np.ones(30), np.full(30, 2.0)], axis=1)
    lo, hi = bootstrap(sums, lambda s: s[:, 0] / s[:, 1] - s[:, 0] / s[:, 2])
    lo_half, hi_half = bootstrap_ratio(np.arange(30.0), np.full(30, 2.0))
    assert (lo, hi) == pytest.approx((lo_half, hi_half))


def test_empty_resamples_are_left_out():
    lo, hi = bootstrap_ratio([1.0, 0.0], [1.0, 0.0])  # a quarter of the resamples has no tokens at all
    assert (lo, hi) == (1.0, 1.0)


@pytest.mark.parametrize(("numerators", "denominators"), [([], []), ([1.0], [2.0]), ([1.0, 2.0], [0.0, 0.0])])
def test_nothing_to_resample(numerators, denominators):
    assert np.isnan(bootstrap_ratio(numerators, denominators)).all()


def test_pearson_is_scipys():
    x, y = rows(500, 3), rows(500, 2, "y")
    y[:, 0] += 0.7 * x[:, 1]
    moments = CoMoments(3, 2)
    for chunk_x, chunk_y in zip(x.split(73), y.split(73), strict=True):
        moments.add(chunk_x, chunk_y)
    expected = [[scipy_stats.pearsonr(x[:, i], y[:, j]).statistic for j in range(2)] for i in range(3)]
    torch.testing.assert_close(moments.pearson(), torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(moments.mean_x, x.mean(0))
    torch.testing.assert_close(moments.m2_y, (y - y.mean(0)).square().sum(0))


def test_a_large_mean_costs_no_digits():
    x = rows(1000, 1) + 1e7
    moments = CoMoments(1, 1)
    for chunk in x.split(100):
        moments.add(chunk, chunk)
    assert moments.pearson().item() == pytest.approx(1.0, abs=1e-12)
    assert moments.m2_x.item() == pytest.approx((x - x.mean()).square().sum().item(), rel=1e-9)


def test_merge_is_one_pass():
    x, y = rows(300, 4), rows(300, 2, "y")
    whole, left, right = CoMoments(4, 2), CoMoments(4, 2), CoMoments(4, 2)
    whole.add(x, y)
    left.add(x[:100], y[:100])
    right.add(x[100:], y[100:])
    right.merge(left)
    right.merge(CoMoments(4, 2))
    assert right.n == whole.n == 300
    for name in ("mean_x", "mean_y", "m2_x", "m2_y", "c_xy"):
        torch.testing.assert_close(getattr(right, name), getattr(whole, name))


def test_half_precision_is_summed_in_double():
    x = torch.full((4096, 1), 0.1, dtype=torch.bfloat16)
    moments = CoMoments(1, 1)
    moments.add(x, x)
    assert moments.mean_x.dtype == torch.float64
    assert moments.mean_x.item() == x[0].item()


def test_constant_columns_and_no_rows():
    moments = CoMoments(2, 1)
    moments.add(torch.zeros(0, 2), torch.zeros(0, 1))
    assert moments.pearson().tolist() == [[0.0], [0.0]]
    moments.add(torch.tensor([[1.0, 2.0], [1.0, 3.0]]), torch.tensor([[5.0], [7.0]]))
    torch.testing.assert_close(moments.pearson(), torch.tensor([[0.0], [1.0]], dtype=torch.float64))
