"""How much a set of texts agree in what they are about: by their labels where the corpus has some, by their words in any text.

Every measure takes sets of texts, as places [sets, k] in a `Reading`, and gives one number for each set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saescope.draws import draws
from saescope.evals.text_similarity import TextSimilarity, TokenBytes
from saescope.evals.top_texts import Reading

FAMILIES = ("script", "topic", "format", "source")
"""Families of labels that say what a text is about, the most telling first."""
ORDINARY = ("latin", "prose")
"""Labels of what most text is: they say nothing of what it is about."""
MEASURES = {
    "kappa": (
        "topic κ",
        "higher",
        "(m - base) / (1 - base): m the share of the texts that are about the commonest subject among them, base its share of the corpus. "
        "1: all are about one subject, 0: as many as anywhere. What a text is about are the corpus's own labels at its strongest token.",
    ),
    "n_eff": ("topic N_eff", "lower", "exp(entropy) of the subjects of those texts that are about one. 1: a single subject."),
    "similarity": (
        "similarity",
        "higher",
        "Mean cosine of all pairs of texts, as TF-IDF vectors of the words around the strongest token, its own word left out.",
    ),
}
"""Name, which way is more agreement, and definition, by key. The first two need labels."""


class Subjects:
    """What the text at a token is about: the first of its labels, family by family, that is not an ordinary one.

    `names` are "topic:sea", "format:json", ...; subject s + 1 is names[s], 0 none of them, -1 undecided.
    """

    def __init__(self, families: Mapping[str, Sequence[str]]):
        telling = [(family, label) for family, labels in families.items() for label in labels if label not in ORDINARY]
        number = {pair: 1 + s for s, pair in enumerate(telling)}
        self.names = tuple(f"{family}:{label}" for family, label in telling)
        # Indexed by label + 1: undecided, none, then the labels.
        self._subject = [np.array([-1, 0, *(number.get((f, label), 0) for label in labels)], np.int16) for f, labels in families.items()]

    def __call__(self, labels_nf: np.ndarray) -> np.ndarray:
        """int16 [n] from labels [n, family]."""
        subject = np.zeros(len(labels_nf), np.int16)
        for own, labels in zip(self._subject, labels_nf.T, strict=True):
            subject = np.where(subject > 0, subject, np.where(own[labels + 1] != 0, own[labels + 1], subject))
        return subject


@dataclass(frozen=True)
class Agreement:
    """Of each set of texts, by their subjects at their places."""

    modal: np.ndarray
    """The subject that most of them have (0-based); of several, the one commoner in the corpus."""
    share: np.ndarray
    """m, the share of the texts that have it."""
    kappa: np.ndarray
    """(m - base) / (1 - base), base its share of the corpus: 1 = all texts, 0 = as many as anywhere."""
    n_eff: np.ndarray
    """exp(entropy) of the subjects of those that have one: 1 = one subject; NaN where none has."""


def agreement(subject: np.ndarray, counted: np.ndarray, places: np.ndarray, n_subjects: int) -> Agreement:
    """`subject` int [tokens] as `Subjects` gives it, places [sets, k]."""
    decided = subject[counted & (subject >= 0)]
    base = np.bincount(decided, minlength=1 + n_subjects)[1:] / max(1, len(decided))
    found = subject[places]
    of_set, text = np.nonzero(found > 0)
    key = of_set * n_subjects + found[of_set, text] - 1
    counts = np.bincount(key, minlength=len(places) * n_subjects).reshape(len(places), n_subjects)
    modal = (counts + base / 2).argmax(1)
    share = counts[np.arange(len(places)), modal] / places.shape[1]
    n = counts.sum(1)
    return Agreement(modal, share, (share - base[modal]) / (1 - base[modal]), np.where(n > 0, effective_number(counts), np.nan))


class Convergence:
    """The measures of a reading. Labels count where the reading has tokens of two subjects at least."""

    def __init__(self, reading: Reading, subjects: Subjects | None, tokenizer: TokenBytes):
        self._similarity = TextSimilarity(reading, tokenizer)
        self._reading, self.names = reading, subjects.names if subjects else ()
        self.subject = subjects(reading.labels) if subjects and reading.labels is not None else None
        if self.subject is not None and len(np.unique(self.subject[reading.counted & (self.subject > 0)])) < 2:
            self.subject = None

    def agreement(self, places: np.ndarray) -> Agreement | None:
        """None without labels."""
        return None if self.subject is None else agreement(self.subject, self._reading.counted, places, len(self.names))

    def __call__(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """By key of MEASURES the value of each set."""
        labelled = self.agreement(places)
        by_label = {} if labelled is None else {"kappa": labelled.kappa, "n_eff": labelled.n_eff}
        return by_label | {"similarity": self._similarity(places)}

    def about(self, place: int) -> str:
        """What the text at a place is about; "" where that is not known."""
        return self.names[self.subject[place] - 1] if self.subject is not None and self.subject[place] > 0 else ""


def effective_number(weights: np.ndarray) -> np.ndarray:
    """exp(-sum p log p) of each row, p its weights as shares; 1 for a row of zeros."""
    p = weights / np.maximum(weights.sum(1, keepdims=True), 1e-300)
    return np.exp(-(p * np.log(np.where(p > 0, p, 1))).sum(1))


def random_sets(reading: Reading, k: int, n_sets: int, *, seed: int) -> np.ndarray:
    """Places [n_sets, k] of texts that something would choose that fires at random: counted tokens, no two of one document.

    A document comes in as often as its tokens would bring it: the k smallest of Exp(1) / n_tokens (Efraimidis and Spirakis 2006).
    """
    places, starts = reading.counted_by_document
    size = np.diff(starts)
    sets = np.empty((n_sets, k), np.int64)
    for s in range(n_sets):
        draw = draws(seed, "examples", "random texts", s)
        chosen = np.argsort(draw.standard_exponential(len(size)) / size, kind="stable")[:k]
        sets[s] = places[starts[chosen] + (draw.random(k) * size[chosen]).astype(np.int64)]
    return sets
