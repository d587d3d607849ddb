"""Which tokens and texts stand behind a latent that was found for a label: reducers for some chosen latents, and the token rule."""

from dataclasses import dataclass

import torch

from saescope.activations.encode import Chunk, Code
from saescope.evals.concept_table import Classes
from saescope.shapes import Bool, Int, Tensor

REACH = 16
"""Tokens each side of a peak in which a text is searched for a label."""


class TokenClasses:
    """Reducer: counted tokens by vocabulary entry and class."""

    def __init__(self, classes: Classes, d_vocab: int):
        self.classes = classes
        self._n = torch.zeros(d_vocab, len(classes) + 1, dtype=torch.int32)

    @property
    def n_VC(self) -> Int[Tensor, "vocab classes"]:
        return self._n[:, :-1]

    def of(self, column: int) -> tuple[Int[Tensor, " vocab"], Int[Tensor, " vocab"]]:
        """For each entry its tokens that are decided in the column's family, and those of them that are of the column."""
        family = self.classes.family == self.classes.family[column]
        return self.n_VC[:, family].sum(1), self.n_VC[:, column].long()

    def add(self, chunk: Chunk) -> None:
        assert chunk.labels is not None, "encode_pass was not given labels"
        columns_fN = self.classes.columns(chunk.labels[chunk.counted]).cpu()
        cell = chunk.tokens[chunk.counted].cpu() * self._n.shape[1] + columns_fN
        self._n.view(-1).scatter_add_(0, cell.flatten(), torch.ones(cell.numel(), dtype=torch.int32))

    def merge(self, other: "TokenClasses") -> None:
        self._n += other._n

    def result(self) -> "TokenClasses":
        return self


@dataclass(frozen=True)
class TokenRule:
    """A list of vocabulary entries, said to be the label wherever they stand."""

    n_tokens: int
    precision: float
    recall: float


def token_rule(select: TokenClasses, report: TokenClasses, column: int, recall: float) -> TokenRule:
    """The best rule that looks at one token only: entries by P(label | token) on S, until they reach this recall on S; its numbers on R."""
    n, hits = select.of(column)
    share = (hits.double() / n).nan_to_num(0)
    order = hits.argsort(descending=True, stable=True)
    order = order[share[order].argsort(descending=True, stable=True)]
    reached = hits[order].cumsum(0).double() / hits.sum()
    k = int((reached < recall).sum()) + 1
    rule = order[:k][hits[order[:k]] > 0]
    n, hits = report.of(column)
    found = hits[rule].sum().double()
    return TokenRule(len(rule), float(found / n[rule].sum()), float(found / hits.sum()))


class Chosen:
    """Some latents of many."""

    def __init__(self, latents: Int[Tensor, " chosen"], d_sae: int):
        self.latents = latents
        self._place = torch.full((d_sae,), -1)
        self._place[latents] = torch.arange(len(latents))

    def __len__(self) -> int:
        return len(self.latents)

    def of(self, code: Code) -> tuple[Tensor, Tensor, Tensor]:
        """Place among the chosen, token and value of their part of a code, on the CPU."""
        place = self._place[code.latent.cpu()]
        kept = place >= 0
        return place[kept], code.token.cpu()[kept], code.value.cpu()[kept].float()


class DistinctTokens:
    """Reducer: on which vocabulary entries each chosen latent is ever on."""

    def __init__(self, chosen: Chosen, d_vocab: int):
        self.chosen = chosen
        self.fires = torch.zeros(len(chosen), d_vocab, dtype=torch.bool)

    def add(self, chunk: Chunk) -> None:
        place, token, _ = self.chosen.of(chunk.counted_code)
        self.fires[place, chunk.tokens.cpu()[token]] = True

    def merge(self, other: "DistinctTokens") -> None:
        self.fires |= other.fires

    def result(self) -> Int[Tensor, " chosen"]:
        return self.fires.sum(1)


class TopTexts:
    """Reducer: for each chosen latent the k documents with its largest activations, and where in them; of equals the earlier ones."""

    def __init__(self, chosen: Chosen, k: int):
        self.chosen, self.k = chosen, k
        self._place, self._doc, self._at = (torch.zeros(0, dtype=torch.long) for _ in range(3))
        self._value, self._bar = torch.zeros(0), torch.zeros(len(chosen))

    def add(self, chunk: Chunk) -> None:
        place, token, value = self.chosen.of(chunk.counted_code)
        kept = value.abs() >= self._bar[place]
        place, token, value = place[kept], token[kept], value[kept].abs()
        self._take(place, chunk.doc_ids.cpu()[token], _address(chunk)[token], value)

    def merge(self, other: "TopTexts") -> None:
        self._take(other._place, other._doc, other._at, other._value)

    def result(self) -> list[Int[Tensor, " texts"]]:
        """Addresses of the peaks, strongest first, of each chosen latent."""
        return [self._at[self._place == place] for place in range(len(self.chosen))]

    def _take(self, place: Tensor, doc: Tensor, at: Tensor, value: Tensor) -> None:
        place, doc, at = torch.cat([self._place, place]), torch.cat([self._doc, doc]), torch.cat([self._at, at])
        value = torch.cat([self._value, value])
        best = _sorted(at, value.neg(), doc, place)  # of each document the strongest token
        best = best[_first(place[best] << 32 | doc[best])]
        best = best[_sorted(doc[best], value[best].neg(), place[best])]
        first = torch.searchsorted(place[best], place[best])
        rank = torch.arange(len(best)) - first
        last = best[rank == self.k - 1]
        self._bar[place[last]] = value[last]
        best = best[rank < self.k]
        self._place, self._doc, self._at, self._value = place[best], doc[best], at[best], value[best]


class TokenLabels:
    """Reducer: the labels of every token, so that the surroundings of any of them can be searched."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, chunk: Chunk) -> None:
        assert chunk.labels is not None, "encode_pass was not given labels"
        self._parts.append((_address(chunk), chunk.doc_ids.cpu(), chunk.labels.cpu()))

    def merge(self, other: "TokenLabels") -> None:
        self._parts += other._parts

    def result(self) -> "TokenLabels":
        """Itself, in the order of the text."""
        if self._parts:
            at, doc, labels = (torch.cat(column) for column in zip(*self._parts, strict=True))
            order = at.argsort()
            self._parts = [(at[order], doc[order], labels[order])]
        return self

    def near(self, peaks: Int[Tensor, " texts"], family: int, label: int) -> Bool[Tensor, " texts"]:
        """Whether a token within 16 of each address, in its own document and sequence, has the label (1 + j: label j)."""
        ((at, doc, labels),) = self._parts
        here = torch.searchsorted(at, peaks)
        near = (here[:, None] + torch.arange(-REACH, REACH + 1)).clamp(0, len(at) - 1)
        same = (doc[near] == doc[here][:, None]) & ((at[near] - peaks[:, None]).abs() <= REACH)
        return (same & (labels[near, family] == label)).any(1)


def _address(chunk: Chunk) -> Int[Tensor, " n"]:
    """One number for where a token stands: sequence, then position."""
    return chunk.rows.cpu() << 32 | chunk.positions.cpu()


def _sorted(*keys: Tensor) -> Tensor:
    """Order by the last key, then the one before it, ..."""
    order = torch.arange(len(keys[0]))
    for key in keys:
        order = order[key[order].argsort(stable=True)]
    return order


def _first(key: Tensor) -> Tensor:
    """Where a run of equal keys begins."""
    new = torch.ones(len(key), dtype=torch.bool)
    new[1:] = key[1:] != key[:-1]
    return new
