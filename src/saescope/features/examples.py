"""Which tokens are shown for a feature: its strongest, some at random, some of each strength. Pointers only; windows come later."""

import numpy as np

from saescope.features.best import FIELDS, Best
from saescope.features.part import Part
from saescope.features.reducer import Monoid
from saescope.features.scale import N_STRATA, NO_EXPONENT, exponent, stratum

N_TOP, N_RANDOM, PER_STRATUM, N_NEAR_MISSES = 20, 10, 2, 5
KINDS = ("top", "random", "stratum", "near_miss")
"""Names of the values of `kind` in the bundle."""


class TopExamples(Monoid):
    """The 20 documents in which abs(f) is largest, each by its strongest token."""

    def __init__(self, n_features: int):
        self.best = Best(n_features, N_TOP, one_per_document=True)

    def add(self, part: Part) -> None:
        a = part.active
        self.best.add(a.feature, a.magnitude.astype(np.float64), *_where(part, a.token), a.value)

    def merge(self, other: "TopExamples") -> None:
        self.best.merge(other.best)

    def result(self) -> dict[str, np.ndarray]:
        return of_kind("top", self.best.result())


class RandomExamples(Monoid):
    """10 active tokens drawn evenly: those of the smallest hash(seed, feature, row, position)."""

    def __init__(self, n_features: int, seed: int):
        self.seed = seed
        self.best = Best(n_features, N_RANDOM)

    def add(self, part: Part) -> None:
        a = part.active
        self.best.add(a.feature, as_score(part.hashes(self.seed)), *_where(part, a.token), a.value)

    def merge(self, other: "RandomExamples") -> None:
        self.best.merge(other.best)

    def result(self) -> dict[str, np.ndarray]:
        return of_kind("random", self.best.result())


class StrataExamples(Monoid):
    """2 active tokens of each of 15 ranges of abs(f) below M (`scale.stratum`), those of the smallest hash.

    When M doubles, every range becomes a part of another range or drops below the last: what was kept still holds the two
    smallest hashes of each.
    """

    def __init__(self, n_features: int, seed: int):
        self.seed = seed
        self.e = np.full(n_features, NO_EXPONENT)
        self.best = Best(n_features * N_STRATA, PER_STRATUM)

    def add(self, part: Part) -> None:
        a = part.active
        if len(a.present) == 0:
            return
        self._raise_to(a.present, exponent(np.maximum.reduceat(a.magnitude, a.start[:-1])))
        group = self._group(a.feature, a.magnitude)
        held = np.flatnonzero(group >= 0)
        words = part.hashes(self.seed)[held]
        other_half = words << np.uint64(32) | words >> np.uint64(32)  # unrelated to the order RandomExamples draws by
        self.best.add(group[held], as_score(other_half), *_where(part, a.token[held]), a.value[held])

    def merge(self, other: "StrataExamples") -> None:
        self._raise_to(np.arange(len(self.e)), other.e)
        entries = other.best.result()
        group = self._group(entries["group"] // N_STRATA, np.abs(entries["peak"]))
        held = group >= 0
        self.best.add(group[held], *(entries[name][held] for name in FIELDS if name != "group"))

    def result(self) -> dict[str, np.ndarray]:
        found = self.best.result()
        columns = of_kind("stratum", found)
        columns["stratum"] = (found["group"] % N_STRATA).astype(np.uint8)
        columns["feature"] = found["group"] // N_STRATA
        return columns

    def _raise_to(self, features: np.ndarray, e: np.ndarray) -> None:
        raised = np.maximum(self.e[features], e)
        if (raised != self.e[features]).any():
            self.e[features] = raised
            self.best.settle()
            self.best.regroup(self._group(self.best.group // N_STRATA, np.abs(self.best.peak)))

    def _group(self, feature: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
        place = stratum(magnitude, self.e[feature])
        return np.where(place < 0, -1, feature * N_STRATA + place)


def as_score(words: np.ndarray) -> np.ndarray:
    """Scores that order words from small to large: the 53 leading bits, exactly, negated."""
    return -(words >> np.uint64(11)).astype(np.float64)


def _where(part: Part, token: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return part.docs[token], part.place[token]


def of_kind(kind: str, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    n = len(found["group"])
    return {
        "feature": found["group"],
        "kind": np.full(n, KINDS.index(kind), np.uint8),
        "stratum": np.zeros(n, np.uint8),
        "row": found["place"] >> 32,
        "position": found["place"] & 0xFFFFFFFF,
        **{name: found[name] for name in ("rank", "peak")},
    }
