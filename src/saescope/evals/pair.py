"""Which neuron is set beside which feature, where nobody says: chosen on the selection documents."""

from dataclasses import dataclass

import numpy as np

from saescope.activations.encode import Chunk
from saescope.errors import NoTokens
from saescope.evals.before_after_result import GIVEN
from saescope.evals.text_passes import TextPasses
from saescope.evals.text_similarity import TextSimilarity, TokenBytes
from saescope.evals.top_texts import Reading, ReadTokens, Top
from saescope.evals.topic_convergence import Subjects, effective_number
from saescope.render.numbers import number

_ELSE = "Give more text, name the pair (--neuron, --feature), or compare fewer texts: --texts."


@dataclass(frozen=True)
class Pair:
    """A neuron, a feature, and how each was chosen."""

    neuron: int
    feature: int
    why_neuron: str = GIVEN
    why_feature: str = GIVEN


def choose(
    passes: TextPasses, n_tokens: int, k: int, entropy: float, *, neuron: int | None, feature: int | None
) -> tuple[Pair, str | None]:
    """The pair, what is None of it chosen on S, and a warning where other documents stand in for S.

    Neuron: of those that are positive in k documents, the one of the largest `breadth` where at least two subjects occur, else the
    one whose k top texts are least similar. Feature: of the latents that fire in k documents, their k strongest activations on
    tokens of more than `entropy` bits, the one most correlated with the neuron. Raises: NoTokens if there is none.
    """
    if neuron is not None and feature is not None:
        return Pair(neuron, feature), None
    documents, warning = passes.selection(n_tokens)
    why_neuron = why_feature = GIVEN
    means = MeanBySubject(passes.sae.d_in, passes.subjects) if passes.subjects else None
    reading, top = passes.top_texts("neuron", documents, n_tokens, k, ReadTokens(), *([means] if means else []))
    if reading.n_documents < k:
        raise NoTokens(f"there are {reading.n_documents:,} selection documents, but {k} texts of one document each are compared. {_ELSE}")
    if neuron is None:
        neuron, why_neuron = _pick_neuron(reading, top, means.result() if means else None, passes.lm.tokenizer, d_sae=passes.sae.d_sae)
    if feature is None:
        correlation = Correlation(passes.sae.d_sae, neuron)
        passes.encode("feature", documents, n_tokens, [correlation])
        feature, why_feature = _pick_feature(reading, top, correlation.result(), entropy)
    return Pair(neuron, feature, why_neuron, why_feature), warning


def _pick_neuron(reading: Reading, top: Top, mean_sD: np.ndarray | None, tokenizer: TokenBytes, *, d_sae: int) -> tuple[int, str]:
    k, alive = top.places.shape[1], np.flatnonzero(top.n[d_sae:] == top.places.shape[1])
    if not len(alive):
        raise NoTokens(f"no neuron is positive in {k} of the {reading.n_documents:,} selection documents: none can be chosen. {_ELSE}")
    if mean_sD is not None and len(mean_sD) > 1:
        n_eff = breadth(mean_sD)[alive]
        j = int(n_eff.argmax())
        return int(alive[j]), f"active in the most subjects (N_eff {number(float(n_eff[j]))} of {len(mean_sD)})"
    alike = TextSimilarity(reading, tokenizer)(top.places[d_sae + alive])
    j = int(alike.argmin())
    return int(alive[j]), f"its top texts resemble each other least (similarity {number(float(alike[j]))})"


def _pick_feature(reading: Reading, top: Top, r: np.ndarray, least_entropy: float) -> tuple[int, str]:
    k, d_sae = top.places.shape[1], len(r)
    many = top.n[:d_sae] == k
    fit = np.flatnonzero(many & (peak_entropy(top, reading)[:d_sae] > least_entropy))
    if not len(fit):
        raise NoTokens(
            f"{many.sum():,} of {d_sae:,} latents fire in {k} of the {reading.n_documents:,} selection documents, and none of these on "
            f"tokens of more than {least_entropy:g} bits: no feature can be chosen. {_ELSE}"
        )
    i = int(fit[r[fit].argmax()])
    return i, f"most correlated with the neuron (r = {number(float(r[i]))}) of {len(fit):,} that fire on varied tokens"


class MeanBySubject:
    """Reducer: mean activation of each neuron (its positive part) over the counted tokens of each subject."""

    def __init__(self, d_in: int, subjects: Subjects):
        self.subjects = subjects
        self.sums_sD = np.zeros((len(subjects.names), d_in))
        self.n_s = np.zeros(len(subjects.names), np.int64)

    def add(self, chunk: Chunk) -> None:
        assert chunk.labels is not None, "the pass was made without labels"
        subject = self.subjects(chunk.labels.cpu().numpy())
        x, n_subjects = chunk.x.cpu().numpy(), len(self.n_s)
        for s in np.unique(subject[subject > 0]) - 1:
            own = (subject == s + 1) & chunk.counted.cpu().numpy()
            self.sums_sD[s] += np.maximum(x[own], 0).sum(0, dtype=np.float64)
        self.n_s += np.bincount(subject[(subject > 0) & chunk.counted.cpu().numpy()] - 1, minlength=n_subjects)

    def merge(self, other: "MeanBySubject") -> None:
        self.sums_sD += other.sums_sD
        self.n_s += other.n_s

    def result(self) -> np.ndarray:
        """[subjects, d_in], of the subjects that occurred."""
        seen = self.n_s > 0
        return self.sums_sD[seen] / self.n_s[seen, None]


class Correlation:
    """Reducer: Pearson correlation of each latent with one neuron, over the counted tokens."""

    def __init__(self, d_sae: int, neuron: int):
        self.neuron, self.n = neuron, 0
        self.x = np.zeros(2)
        """Sums of x and x^2."""
        self.f_3F = np.zeros((3, d_sae))
        """Sums of f, f^2 and f x."""

    def add(self, chunk: Chunk) -> None:
        code, x = chunk.counted_code, chunk.x[:, self.neuron].double().cpu().numpy()
        own = x[chunk.counted.cpu().numpy()]
        self.n += len(own)
        self.x += own.sum(), own @ own
        latent, f = code.latent.cpu().numpy(), code.value.double().cpu().numpy()
        for row, weights in enumerate((f, f * f, f * x[code.token.cpu().numpy()])):
            self.f_3F[row] += np.bincount(latent, weights, minlength=self.f_3F.shape[1])

    def merge(self, other: "Correlation") -> None:
        self.n += other.n
        self.x += other.x
        self.f_3F += other.f_3F

    def result(self) -> np.ndarray:
        """[d_sae]; 0 where one of the two is constant."""
        f, f2, fx = self.f_3F
        spread = np.maximum(0, self.n * f2 - f * f) * max(0.0, self.n * self.x[1] - self.x[0] ** 2)
        return np.where(spread > 0, (self.n * fx - f * self.x[0]) / np.sqrt(np.where(spread > 0, spread, 1)), 0)


def breadth(mean_sD: np.ndarray) -> np.ndarray:
    """N_eff of each neuron, exp(entropy) of its mean activations by subject as shares: the subjects it is active in alike."""
    return effective_number(mean_sD.T)


def peak_entropy(top: Top, reading: Reading) -> np.ndarray:
    """Bits, over the tokens at the places of each unit's top texts; 0 for a unit without texts."""
    unit, rank = np.nonzero(top.places >= 0)
    token = reading.tokens[top.places[unit, rank]].astype(np.int64)
    V = int(reading.tokens.max()) + 1
    key, n = np.unique(unit * V + token, return_counts=True)
    total = np.maximum(top.n, 1)
    return np.log2(total) - np.bincount(key // V, n * np.log2(n), minlength=len(top.n)) / total
