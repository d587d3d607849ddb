import math

import numpy as np
import pytest

from saescope.draws import draws
from saescope.features.exact import ExactSums


def values(seed: int, n: int = 400) -> np.ndarray:
    rng = draws(seed, "test exact")
    return rng.choice([-1, 1], n) * np.exp2(rng.uniform(-80, 90, n)) * (rng.random(n) < 0.9)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_and_any_split_give_the_same_bits(seed):
    y = values(seed)
    rng = draws(seed, "test order")
    whole = ExactSums(1)
    whole.add(np.array([0]), np.array([0, len(y)]), y)
    pieces = ExactSums(1)
    for piece in np.array_split(y[rng.permutation(len(y))], 9):
        other = ExactSums(1)
        other.add(np.array([0]), np.array([0, len(piece)]), piece)
        if rng.random() < 0.5:
            pieces.merge(other)
        else:
            other.merge(pieces)
            pieces = other
    assert whole.arrays() == pieces.arrays()


@pytest.mark.parametrize("seed", range(5))
def test_the_sum_is_right_to_32_bits_of_the_largest(seed):
    y = values(seed)
    sums = ExactSums(1)
    sums.add(np.array([0]), np.array([0, len(y)]), y)
    assert abs(sums.result()[0] - math.fsum(y)) <= len(y) * np.abs(y).max() * 2.0**-32


def test_groups_and_columns_are_kept_apart():
    y = np.array([[1.5, -2.0, 0.0], [2.25, 1e-20, 0.0]])
    columns, groups = ExactSums(3), ExactSums(3)
    columns.add_columns(y)
    groups.add(np.array([0, 1]), np.array([0, 2, 4]), y.T[:2].ravel())
    np.testing.assert_array_equal(columns.result(), [3.75, -2.0, 0.0])  # 1e-20 is below the grid of 2.0
    np.testing.assert_array_equal(columns.result(), groups.result())


def test_nothing_added_is_zero():
    sums = ExactSums(2)
    sums.add(np.empty(0, int), np.array([0]), np.empty(0))
    sums.add_columns(np.empty((0, 2)))
    np.testing.assert_array_equal(sums.result(), [0, 0])
