import math

import pytest
import torch

from saescope.evals.reconstruction import Reconstruction
from saescope.evals.sums import Intervals


def measured(*chunks, n_resamples=0):
    reducer = Reconstruction(Intervals(n_resamples=n_resamples))
    for chunk in chunks:
        reducer.add(chunk)
    return {key.removeprefix("reconstruction."): metric for key, metric in reducer.result().items()}


def test_metrics_of_a_hand_example(chunk):
    x = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    x_hat = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    got = measured(chunk(x, x_hat))
    assert got["mse"].value == pytest.approx((1 + 2) / 2)
    assert got["fvu"].value == pytest.approx(3 / 4)  # deviations from (1, 1): 2 and 2
    assert got["ev"].value == pytest.approx(1 / 4)
    assert got["cosine"].value == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert got["l2_ratio"].value == pytest.approx((0.5 + math.sqrt(2) / 2) / 2)
    assert got["gamma"].value == pytest.approx((1 + 2) / (2 + 2))


@pytest.mark.parametrize("mean_over_sigma", [1, 3, 10])
def test_ev_of_a_mean_predictor_is_zero(chunk, normal, mean_over_sigma):
    x = normal(2000, 8) + mean_over_sigma
    x_hat = x.double().mean(0).float().expand_as(x)
    assert measured(chunk(x, x_hat))["ev"].value == pytest.approx(0, abs=1e-6)


def test_unequal_batches_equal_one(chunk, normal):
    x, x_hat = normal(50, 4) + 3, normal(50, 4)
    whole = measured(chunk(x, x_hat))
    parts = measured(*(chunk(x[a:b], x_hat[a:b]) for a, b in ((0, 1), (1, 9), (9, 50))))
    for key, metric in whole.items():
        assert parts[key].value == pytest.approx(metric.value, rel=1e-12) if metric.value is not None else parts[key].value is None


def test_merged_halves_equal_one_pass(chunk, normal):
    x, x_hat, docs = normal(40, 4), normal(40, 4), torch.arange(40) // 5
    halves = [Reconstruction(Intervals(n_resamples=50)) for _ in range(2)]
    halves[0].add(chunk(x[20:], x_hat[20:], doc_ids=docs[20:]))
    halves[1].add(chunk(x[:20], x_hat[:20], doc_ids=docs[:20]))
    halves[0].merge(halves[1])
    whole = measured(chunk(x, x_hat, doc_ids=docs), n_resamples=50)
    for key, metric in halves[0].result().items():
        expected = whole[key.removeprefix("reconstruction.")]
        assert metric.value == pytest.approx(expected.value, rel=1e-12)
        assert metric.ci == pytest.approx(expected.ci, rel=1e-9)


def test_a_constant_offset_counts(chunk, normal):
    """The variance of the residual would call this perfect."""
    x, c = normal(500, 4), 0.5
    deviation = (x - x.mean(0)).double().square().sum()
    assert measured(chunk(x, x + c))["fvu"].value == pytest.approx(float(500 * 4 * c**2 / deviation), rel=1e-5)


def test_uncounted_tokens_are_only_in_with_bos(chunk, normal):
    x = normal(30, 4)
    x[0] = 100
    x_hat, counted = x.clone(), torch.ones(30, dtype=torch.bool)
    x_hat[0], counted[0] = 0, False
    got = measured(chunk(x, x_hat, counted=counted))
    assert got["fvu"].value == got["mse"].value == 0
    assert got["fvu"].n == 29
    assert got["fvu.with_bos"].value > 0.5
    assert got["fvu.with_bos"].n == 30


def test_what_does_not_exist_is_none_with_a_reason(chunk):
    constant = torch.ones(5, 3)
    got = measured(chunk(constant, torch.zeros(5, 3)))
    assert got["fvu"].value is None
    assert "does not vary" in got["fvu"].reason
    assert got["gamma"].value is None
    assert got["gamma"].reason
    nothing = measured(chunk(constant, counted=torch.zeros(5, dtype=torch.bool)))
    assert nothing["mse"].status == "skipped"
    broken = measured(chunk(constant, constant * math.nan))
    assert (broken["mse"].value, broken["mse"].status) == (None, "error")


def test_zero_targets_leave_cosine_and_norm_ratio(chunk):
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    got = measured(chunk(x, x / 2 + 0))
    assert got["cosine"].value == pytest.approx(1)
    assert got["l2_ratio"].value == pytest.approx(0.5)
    assert got["l2_ratio"].n == 1


def test_interval_holds_the_value_and_needs_documents(chunk, normal):
    x, x_hat = normal(400, 4), normal(400, 4) * 0.1
    got = measured(chunk(x, x_hat, doc_ids=torch.arange(400) // 10), n_resamples=200)["mse"]
    assert got.ci[0] < got.value < got.ci[1]
    assert measured(chunk(x, x_hat), n_resamples=200)["mse"].ci is None


def test_fvu_per_dimension(chunk, normal):
    x = normal(200, 3)
    x_hat = x.clone()
    x_hat[:, 1] = x[:, 1].mean()
    x[:, 2] = x_hat[:, 2] = 4
    reducer = Reconstruction(Intervals(n_resamples=0))
    reducer.add(chunk(x, x_hat))
    per_dimension = reducer.fvu_per_dimension()
    assert per_dimension[:2].tolist() == pytest.approx([0, 1], abs=1e-5)
    assert per_dimension[2].isnan()
