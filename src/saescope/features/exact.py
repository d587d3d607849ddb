"""Sums of floats that do not depend on the order of addition, bit for bit."""

import numpy as np

from saescope.features.reducer import Monoid

LIMB = 32
NEVER = -(2**20)


class ExactSums(Monoid):
    """One sum per group, held as integers on a fixed grid.

        y  is cut into  hi * 2^(32 t) + lo * 2^(32 (t-1)) + rest,   |hi|, |lo| < 2^32

    with t the smallest integer for which every |y| of the group is below 2^(32 (t+1)). The grid is absolute: when a larger y
    comes, the limbs of all earlier ones move down one place, which is where cutting them at the new t puts them. So the limbs
    are a function of the set of values, integers add in any order, and at least 32 bits below the largest |y| are kept.
    Holds 2^31 values a group.
    """

    def __init__(self, n_groups: int):
        self.t = np.full(n_groups, NEVER, np.int32)
        self.hi = np.zeros(n_groups, np.int64)
        self.lo = np.zeros(n_groups, np.int64)

    def add(self, group: np.ndarray, start: np.ndarray, y: np.ndarray) -> None:
        """Add y[start[s] : start[s + 1]] to group[s]; groups are distinct, segments not empty, at most 2^21 long."""
        if len(group) == 0:
            return
        t = grid_of(np.maximum.reduceat(np.abs(y), start[:-1]))
        hi, lo = _cut(y, np.repeat(t, np.diff(start)))
        self._join(group, t, np.add.reduceat(hi, start[:-1]).astype(np.int64), np.add.reduceat(lo, start[:-1]).astype(np.int64))

    def add_columns(self, y: np.ndarray) -> None:
        """Add the columns of y [n, groups]; n at most 2^21."""
        if len(y):
            t = grid_of(np.abs(y).max(0))
            hi, lo = _cut(y, t)
            self._join(np.arange(y.shape[1]), t, hi.sum(0).astype(np.int64), lo.sum(0).astype(np.int64))

    def merge(self, other: "ExactSums") -> None:
        self._join(np.arange(len(self.t)), other.t, other.hi, other.lo)

    def result(self) -> np.ndarray:
        """The sums, float64; 0 for an empty group."""
        t = np.where(self.t == NEVER, 0, self.t)
        return np.ldexp(self.hi.astype(np.float64), LIMB * t) + np.ldexp(self.lo.astype(np.float64), LIMB * (t - 1))

    def _join(self, group: np.ndarray, t: np.ndarray, hi: np.ndarray, lo: np.ndarray) -> None:
        top = np.maximum(self.t[group], t)
        mine = _moved(self.hi[group], self.lo[group], top - self.t[group])
        theirs = _moved(hi, lo, top - t)
        self.t[group], self.hi[group], self.lo[group] = top, mine[0] + theirs[0], mine[1] + theirs[1]


def grid_of(largest: np.ndarray) -> np.ndarray:
    """t of groups whose largest |y| is given; NEVER where it is 0, so that zeros leave the grid alone."""
    return np.where(largest > 0, (np.frexp(largest)[1] - 1) >> 5, NEVER).astype(np.int32)


def _cut(y: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """hi and lo as whole float64 numbers: below 2^32 each, so that 2^21 of them add exactly."""
    scaled = np.ldexp(y.astype(np.float64), -LIMB * np.where(t == NEVER, 0, t))
    hi = np.trunc(scaled)
    return hi, np.trunc((scaled - hi) * 2.0**LIMB)


def _moved(hi: np.ndarray, lo: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(places == 0, hi, 0), np.where(places == 0, lo, np.where(places == 1, hi, 0))
