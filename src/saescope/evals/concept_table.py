"""Table H: on how many tokens of each class a latent is on, by how strongly.

    H[i, b, c]   counted tokens of class c on which latent i is in bin b
    A[i, c]      sum of f_i over the tokens of class c
    n[c]         counted tokens of class c

A class is a label of a family, or the family's "none"; a token that is undecided in a family (`data/labels.py`) leaves the counts of
that family, whether a latent is on or not. Bins are of (0, max_i]: 11 equal intervals, the lowest of them cut at max_i / 22, / 44,
/ 88 and / 176, which makes 15; what is larger than max_i goes to the top; bin "off" is n minus the others. Signed latents: by abs(f).
"""

from collections.abc import Mapping, Sequence

import torch

from saescope.activations.encode import Chunk
from saescope.errors import ConfigError, did_you_mean
from saescope.evals.sums import on_float64_device
from saescope.shapes import Float, Int, Tensor

INTERVALS = 11
CUTS = 4
"""Times that the lowest interval is cut in half."""
BINS = INTERVALS + CUTS
_UPPER = torch.tensor([*(1 / (INTERVALS * 2**k) for k in range(CUTS, 0, -1)), *(k / INTERVALS for k in range(1, INTERVALS + 1))])
LOWER = [0.0, *_UPPER[:-1].tolist()]
"""Lower end of each bin, as a share of max_i."""


class Classes:
    """The columns of the table: family by family `none`, then its labels.

    `labels` are the columns that are labels; `family` the place of each column's family.
    """

    def __init__(self, families: Mapping[str, Sequence[str]]):
        self.families = {name: tuple(labels) for name, labels in families.items()}
        pairs = [(name, label) for name, labels in self.families.items() for label in (None, *labels)]
        self._pairs = pairs
        self.labels = [column for column, (_, label) in enumerate(pairs) if label is not None]
        self.family = torch.tensor([list(self.families).index(name) for name, _ in pairs], dtype=torch.long)
        self._first = torch.tensor([pairs.index((name, None)) for name in self.families], dtype=torch.long)

    def __len__(self) -> int:
        return len(self._pairs)

    def columns(self, labels: Int[Tensor, "n family"]) -> Int[Tensor, "family n"]:
        """Column of each token in each family; the one behind the last where it is undecided."""
        labels = labels.long()
        return torch.where(labels < 0, len(self), labels + self._first.to(labels.device)).T.contiguous()

    def name(self, column: int) -> tuple[str, str]:
        """Family and label of a column ("none" of the first of a family)."""
        family, label = self._pairs[column]
        return family, label or "none"

    def place(self, column: int) -> int:
        """What `Chunk.labels` has for a column in its family: 0 = none, 1 + j = label j."""
        return column - int(self._first[self.family[column]])

    def find(self, name: str) -> int:
        """Column of "label", or of "family:label". Raises: ConfigError for no label, and for one that several families have."""
        family, _, label = (part.strip() for part in name.rpartition(":"))
        found = [column for column in self.labels if self._pairs[column][1] == label and family in ("", self._pairs[column][0])]
        if len(found) == 1:
            return found[0]
        full = [":".join(self.name(column)) for column in found or self.labels]
        if found:
            raise ConfigError(f"{name!r} is a label of several families. Say which: {' or '.join(full)}.")
        near = did_you_mean(name, [*full, *(self.name(column)[1] for column in self.labels)])
        raise ConfigError(f"{name!r} is no label of this text.{near} Labels: {', '.join(full)}.")


class ConceptTable:
    """Reducer: the table of one dictionary. Reads `Chunk.labels`."""

    def __init__(self, classes: Classes, max_F: Float[Tensor, " d_sae"]):
        self.classes, self.max_F = classes, max_F.float().cpu()
        F, C = len(max_F), len(classes) + 1  # the last column is of the undecided
        self._H = torch.zeros(F, BINS, C, dtype=torch.int32)
        self._A = torch.zeros(F, C, dtype=torch.float64)
        self._n = torch.zeros(C, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.max_F)

    @property
    def H_FBC(self) -> Int[Tensor, "d_sae bins classes"]:
        return self._H[..., :-1]

    @property
    def A_FC(self) -> Float[Tensor, "d_sae classes"]:
        return self._A[:, :-1]

    @property
    def n_C(self) -> Int[Tensor, " classes"]:
        return self._n[:-1]

    @property
    def family_n_C(self) -> Int[Tensor, " classes"]:
        """Decided tokens of each class's family."""
        return by_family(self.n_C, self.classes)

    @property
    def base_C(self) -> Float[Tensor, " classes"]:
        """Share of each class in its family's tokens; NaN of a family without any."""
        return self.n_C.double() / self.family_n_C

    def add(self, chunk: Chunk) -> None:
        assert chunk.labels is not None, "encode_pass was not given labels"
        code = chunk.counted_code
        columns_fN, token, latent, value = on_float64_device(self.classes.columns(chunk.labels), code.token, code.latent, code.value.abs())
        self._to(value.device)
        width = len(self._n)
        counted = chunk.counted.to(value.device)
        self._n += torch.bincount(columns_fN[:, counted].flatten(), minlength=width)
        bins = bin_of(value.float(), self.max_F[latent])
        cell, row = (latent * BINS + bins) * width, latent * width
        one, value = torch.ones_like(bins, dtype=torch.int32), value.double()
        H, A = self._H.view(-1), self._A.view(-1)
        for column_N in columns_fN:
            column = column_N[token]
            H.scatter_add_(0, cell + column, one)
            A.scatter_add_(0, row + column, value)

    def merge(self, other: "ConceptTable") -> None:
        assert torch.equal(self.max_F.cpu(), other.max_F.cpu()), "tables with other intervals"
        self._to(torch.device("cpu"))
        self._H += other._H.cpu()
        self._A += other._A.cpu()
        self._n += other._n.cpu()

    def result(self) -> "ConceptTable":
        """The table, on the CPU."""
        self._to(torch.device("cpu"))
        return self

    def _to(self, device: torch.device) -> None:
        if self._H.device != device:
            self.max_F, self._H, self._A, self._n = (tensor.to(device) for tensor in (self.max_F, self._H, self._A, self._n))


def bin_of(value: Float[Tensor, " n"], largest: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """0 .. 14 of values > 0, weakest first; the top for a latent whose maximum is 0."""
    return torch.bucketize(value / largest, _UPPER[:-1].to(value.device))


def by_family(counts: Tensor, classes: Classes) -> Tensor:
    """[..., classes] -> the same shape: each class's entry is the sum over its family."""
    sums = counts.new_zeros(*counts.shape[:-1], len(classes.families))
    return sums.index_add_(-1, classes.family, counts)[..., classes.family]


def intervals(bins: Tensor) -> Tensor:
    """[n, bins, ...] -> [n, intervals, ...]: the pieces of the lowest interval joined."""
    return torch.cat([bins[:, : CUTS + 1].sum(1, keepdim=True), bins[:, CUTS + 1 :]], 1)
