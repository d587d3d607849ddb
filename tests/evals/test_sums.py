import numpy as np
import pytest
import torch

from saescope.evals.sums import DocumentSums, Intervals, mean


def test_sums_are_kept_by_document_in_the_order_of_their_numbers():
    sums = DocumentSums()
    sums.add(torch.tensor([7, 2, 7]), {"a": torch.tensor([1, 10, 2]), "v": torch.eye(3)})
    sums.add(torch.tensor([3]), {"a": torch.tensor([5]), "v": torch.ones(1, 3)})
    assert sums.table("a").tolist() == [10, 5, 3]
    assert sums.table("v").tolist() == [[0, 1, 0], [1, 1, 1], [1, 0, 1]]
    assert sums.total("a") == 18
    assert len(sums) == 3


def test_order_and_merging_do_not_matter(normal):
    docs, values = torch.arange(60) % 9, normal(60)
    one, other, part = DocumentSums(), DocumentSums(), DocumentSums()
    one.add(docs, {"a": values})
    for i in range(59, 29, -1):
        other.add(docs[i : i + 1], {"a": values[i : i + 1]})
    part.add(docs[:30], {"a": values[:30]})
    other.merge(part)
    assert np.allclose(one.table("a"), other.table("a"), rtol=1e-14)


def test_interval_covers_the_truth(normal):
    """About 95 of 100 intervals hold the mean that the documents were drawn around."""
    values = normal(100, 40)
    hits = 0
    for row in values:
        sums = DocumentSums()
        sums.add(torch.arange(40), {"tokens": torch.ones(40), "a": row})
        low, high = Intervals(n_resamples=200).metric(sums, mean, ("tokens", "a")).ci
        hits += low <= 0 <= high
    assert 85 <= hits <= 100


def test_differences_are_paired(normal):
    """A constant difference has no width, however much the documents differ."""
    sums, base = DocumentSums(), 10 * normal(50)
    sums.add(torch.arange(50), {"tokens": torch.ones(50), "a": base, "b": base + 1})
    metric = Intervals(n_resamples=100).metric(sums, lambda n, a, b: (b - a) / n, ("tokens", "a", "b"))
    assert metric.ci == pytest.approx((1, 1), abs=1e-6)
