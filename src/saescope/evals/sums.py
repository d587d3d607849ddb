"""Float64 sums per document: the only thing that crosses batches. Every scalar metric is a function of these sums."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saescope.evals.result import Better, Metric
from saescope.shapes import Int, Tensor
from saescope.stats import bootstrap

Array = NDArray[np.float64]
"""A sum `[]` or `[d]`, or that of every bootstrap resample, `[n]` or `[n, d]`."""


class DocumentSums:
    """Sums of per-token values, kept apart by document. `merge` of two halves equals one pass over both."""

    def __init__(self) -> None:
        self._row_of: dict[int, int] = {}
        self._tables: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self._row_of)

    def add(self, doc_ids: Int[Tensor, " n"], values: Mapping[str, Tensor]) -> None:
        """Add values of n tokens, `[n]` or `[n, d]` each, to the sums of their documents."""
        if len(doc_ids) == 0:
            return
        docs, row_N = doc_ids.unique(return_inverse=True)
        sums = {}
        for name, value in values.items():
            total = torch.zeros(len(docs), *value.shape[1:], dtype=torch.float64, device=value.device)
            sums[name] = total.index_add_(0, row_N, value.double()).cpu()
        self._add_rows(docs.tolist(), sums)

    def merge(self, other: "DocumentSums") -> None:
        self._add_rows(list(other._row_of), {name: table[: len(other)] for name, table in other._tables.items()})

    def table(self, name: str) -> Array:
        """[documents] or [documents, d], in the order of the documents' numbers: the order of batches cannot matter."""
        order = [self._row_of[doc] for doc in sorted(self._row_of)]
        return self._tables[name][order].numpy() if order else np.zeros(0)

    def total(self, name: str) -> Array:
        return self.table(name).sum(0)

    def _add_rows(self, docs: list[int], sums: Mapping[str, Tensor]) -> None:
        rows = torch.tensor([self._row_of.setdefault(doc, len(self._row_of)) for doc in docs], dtype=torch.long)
        for name, part in sums.items():
            self._grown(name, part).index_add_(0, rows, part)

    def _grown(self, name: str, like: Tensor) -> Tensor:
        table = self._tables.get(name)
        if table is None or len(table) < len(self._row_of):
            grown = torch.zeros(2 * len(self._row_of), *like.shape[1:], dtype=torch.float64)
            if table is not None:
                grown[: len(table)] = table
            self._tables[name] = grown
        return self._tables[name]


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """How the 95 % intervals are made: resamples of the documents (0: none), the same ones for every metric and row."""

    n_resamples: int = 1000
    seed: int = 0

    def metric(
        self,
        sums: DocumentSums,
        f: Callable[..., Array],
        of: tuple[str, ...],
        *,
        unit: str = "",
        better: Better = "",
        undefined: str = "the denominator is 0",
    ) -> Metric:
        """f of the sums named in `of`, the first of which counts tokens: its total is n. A value that is not finite becomes None,
        with `undefined` as its reason."""
        tables = [sums.table(name) for name in of]
        totals = [table.sum(0) for table in tables]
        n = int(totals[0])
        if n == 0:
            return Metric(None, n=0, unit=unit, better=better, status="skipped", reason="no token of this kind in the text")
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(f(*totals))
        if not math.isfinite(value):
            finite_sums = all(np.isfinite(total).all() for total in totals)
            reason = undefined if finite_sums else "NaN or infinity in the activations or the reconstruction"
            return Metric(None, n=n, unit=unit, better=better, status="ok" if finite_sums else "error", reason=reason)
        return Metric(value, ci=self._interval(tables, f), n=n, unit=unit, better=better)

    def _interval(self, tables: list[Array], f: Callable[..., Array]) -> tuple[float, float] | None:
        if self.n_resamples == 0:
            return None
        columns = [table.reshape(len(table), -1) for table in tables]
        edges = np.cumsum([column.shape[1] for column in columns])[:-1]

        def statistic(sums: Array) -> Array:
            parts = np.split(sums, edges, axis=1)
            return f(*(part if table.ndim > 1 else part[:, 0] for part, table in zip(parts, tables, strict=True)))

        low, high = bootstrap(np.concatenate(columns, axis=1), statistic, n=self.n_resamples, seed=self.seed)
        return (low, high) if math.isfinite(low) else None


def mean(tokens: Array, summed: Array) -> Array:
    """Mean over tokens."""
    return summed / tokens


def on_float64_device(*tensors: Tensor) -> Any:
    """The same tensors, on the CPU where their device has no float64."""
    return tuple(tensor.cpu() if tensor.device.type == "mps" else tensor for tensor in tensors)
