"""Counts, maxima, moments and histograms of every feature's activations."""

import numpy as np

from saescope.features.exact import ExactSums
from saescope.features.part import Part
from saescope.features.reducer import Monoid
from saescope.features.scale import NO_EXPONENT, exponent, lin_bin, log_bin

SUMS = ("f", "abs", "f2", "f3", "f4")


class Counters(Monoid):
    """How often, how strongly and where each feature fires. State per feature: some 30 numbers and 144 counts.

    Histograms are relative to M = 2^e. When a larger activation doubles M, bin pairs of `hist_lin` join and `hist_log` moves by
    an octave: exactly what counting with the larger M from the start would have given.
    """

    def __init__(self, n_features: int):
        F = n_features
        self.n_tokens = np.zeros(1, np.int64)
        self.n_active, self.n_first = np.zeros(F, np.int64), np.zeros(F, np.int64)
        self.max_act, self.signed = np.zeros(F, np.float32), np.zeros(F, bool)
        self.e = np.full(F, NO_EXPONENT)
        self.hist_lin, self.hist_log, self.hist_pos = (np.zeros((F, n), np.uint32) for n in (64, 64, 16))
        self.sums = ExactSums(len(SUMS) * F)

    def add(self, part: Part) -> None:
        a = part.active
        self.n_tokens += int(part.counted.sum())
        uncounted = part.latent[~part.counted[part.token_of]]
        np.add.at(self.n_first, uncounted.astype(np.int64), 1)
        if len(a.present) == 0:
            return
        largest = np.maximum.reduceat(a.magnitude, a.start[:-1])
        self._raise_to(a.present, exponent(largest))
        self.max_act[a.present] = np.maximum(self.max_act[a.present], largest)
        self.n_active[a.present] += a.n_active
        self.signed[a.present] |= np.minimum.reduceat(a.value, a.start[:-1]) < 0
        e = self.e[a.feature]
        position_bin = np.minimum(15, np.frexp(part.positions + 1.0)[1] - 1)[a.token]
        bins = (self.hist_lin, lin_bin(a.magnitude, e)), (self.hist_log, log_bin(a.magnitude, e)), (self.hist_pos, position_bin)
        for table, where in bins:
            np.add.at(table.reshape(-1), a.feature * table.shape[1] + where, np.uint32(1))
        self._add_sums(a.present, a.start, a.value.astype(np.float64))

    def merge(self, other: "Counters") -> None:
        everyone = np.arange(len(self.e))
        mine, theirs = self, other.copy()
        mine._raise_to(everyone, theirs.e)
        theirs._raise_to(everyone, mine.e)
        for name in ("n_tokens", "n_active", "n_first", "hist_lin", "hist_log", "hist_pos"):
            setattr(self, name, getattr(mine, name) + getattr(theirs, name))
        self.max_act = np.maximum(self.max_act, theirs.max_act)
        self.signed = self.signed | theirs.signed
        self.sums.merge(theirs.sums)

    def copy(self) -> "Counters":
        twin = Counters(len(self.e))
        twin.restore({name: array.copy() for name, array in self.arrays().items()})
        return twin

    def result(self) -> dict[str, np.ndarray]:
        """The columns of the bundle that follow from the counts; moments that do not exist are NaN."""
        sums = dict(zip(SUMS, self.sums.result().reshape(len(SUMS), -1), strict=True))
        n = np.maximum(1, self.n_active)
        mean = sums["f"] / n
        raw = [sums[name] / n for name in ("f2", "f3", "f4")]
        m2 = np.maximum(0, raw[0] - mean**2)
        m3 = raw[1] - 3 * mean * raw[0] + 2 * mean**3
        m4 = raw[2] - 4 * mean * raw[1] + 6 * mean**2 * raw[0] - 3 * mean**4
        spread = m2 > 1e-7 * np.maximum(raw[0], 1e-300)  # below that, what is left of the differences is rounding
        safe = np.where(spread, m2, 1.0)
        alive = self.n_active > 0
        return {
            "n_active": self.n_active,
            "n_first": self.n_first,
            "n_tokens": np.full(len(self.e), self.n_tokens[0]),
            "density": self.n_active / max(1, int(self.n_tokens[0])),
            "max_act": self.max_act,
            "mean_act": mean.astype(np.float32),
            "m2": np.where(alive, m2, np.nan),
            "skew": np.where(spread, m3 / safe**1.5, np.nan),
            "kurtosis": np.where(spread, m4 / safe**2, np.nan),
            "l0_share": (self.n_active / max(1, int(self.n_active.sum()))).astype(np.float32),
            "sum_abs": sums["abs"],
            "top_exp": self.e,
            "hist_lin": self.hist_lin,
            "hist_log": self.hist_log,
            "hist_pos": self.hist_pos,
            "signed": self.signed,
        }

    def _add_sums(self, present: np.ndarray, start: np.ndarray, f: np.ndarray) -> None:
        f2 = f * f
        for s, y in enumerate((f, np.abs(f), f2, f2 * f, f2 * f2)):
            self.sums.add(present + s * len(self.e), start, y)

    def _raise_to(self, features: np.ndarray, e: np.ndarray) -> None:
        """Take `features` (distinct) to at least the scales e, moving their histograms along."""
        born = self.e[features] == NO_EXPONENT
        self.e[features[born]] = e[born]
        steps = np.maximum(0, e.astype(np.int64) - self.e[features])
        for _ in range(int(min(16, steps.max(initial=0)))):
            grown = features[steps > 0]
            self.hist_lin[grown], self.hist_log[grown] = _doubled_lin(self.hist_lin[grown]), _octave_down(self.hist_log[grown])
            self.e[grown] += 1
            steps = np.maximum(0, e.astype(np.int64) - self.e[features])
        self.e[features] = np.maximum(self.e[features], e)  # beyond 16 doublings everything is already in the weakest bins


def _doubled_lin(hist: np.ndarray) -> np.ndarray:
    """`hist_lin` under twice the M."""
    joined = hist[:, 0::2] + hist[:, 1::2]
    return np.concatenate([joined, np.zeros_like(joined)], 1)


def _octave_down(hist: np.ndarray) -> np.ndarray:
    """`hist_log` under twice the M; the weakest bin holds all that would leave."""
    moved = np.concatenate([np.zeros_like(hist[:, :4]), hist[:, :60]], 1)
    moved[:, 63] += hist[:, 60:].sum(1, dtype=np.uint32)
    return moved
