"""Small numerics that several rooms share: the document bootstrap and streaming co-moments, all in float64."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from saescope.draws import draws
from saescope.shapes import Float, Tensor


def bootstrap(
    sums_by_doc: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a statistic of corpus-wide sums, by resampling whole documents.

        counts_r ~ Multinomial(D, 1/D),   sums_r = counts_r @ sums_by_doc,   interval = quantiles of statistic(sums_r)

    `sums_by_doc` is [documents, k], one column per sum; `statistic` maps [n, k] resampled sums to n values. Documents, not tokens, are
    resampled because tokens of one document resemble each other. The resamples depend only on (seed, number of documents): two
    statistics of the same documents are resampled alike, so the interval of their difference is a paired one.

    Resamples with a value that is not finite are left out. (nan, nan) when fewer than two documents leave nothing to resample.
    """
    sums_Dk = np.asarray(sums_by_doc, dtype=np.float64)
    if sums_Dk.ndim == 1:
        sums_Dk = sums_Dk[:, None]
    n_docs = len(sums_Dk)
    if n_docs < 2:
        return float("nan"), float("nan")
    generator = draws(seed, "bootstrap", n_docs)
    resampled = np.empty((n, sums_Dk.shape[1]))
    for r in range(n):
        counts_D = np.bincount(generator.integers(0, n_docs, n_docs), minlength=n_docs)
        resampled[r] = counts_D @ sums_Dk
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(statistic(resampled), dtype=np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return float("nan"), float("nan")
    lo, hi = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(lo), float(hi)


def bootstrap_ratio(numerators_by_doc: ArrayLike, denominators_by_doc: ArrayLike, n: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of sum(numerators) / sum(denominators) over documents: a mean per token, an FVU, a loss recovered."""
    sums_D2 = np.stack([np.asarray(numerators_by_doc, dtype=np.float64), np.asarray(denominators_by_doc, dtype=np.float64)], axis=1)
    return bootstrap(sums_D2, lambda sums: sums[:, 0] / sums[:, 1], n=n, seed=seed)


class CoMoments:
    """Means and centred second moments of columns x [n a] and y [n b], gathered batch by batch.

        m2_x = sum (x - mean x)^2,   m2_y = sum (y - mean y)^2,   c_xy = sum (x - mean x)(y - mean y)^T

    Centred sums, not raw ones: a mean that is large beside the deviations costs no digits. Merging two gives the moments of both.
    Source: Chan, Golub and LeVeque 1979, the pairwise update.
    """

    def __init__(self, a: int, b: int):
        self.n = 0
        self.mean_x, self.mean_y = torch.zeros(a, dtype=torch.float64), torch.zeros(b, dtype=torch.float64)
        self.m2_x, self.m2_y = torch.zeros(a, dtype=torch.float64), torch.zeros(b, dtype=torch.float64)
        self.c_xy = torch.zeros(a, b, dtype=torch.float64)

    def add(self, x: Float[Tensor, "n a"], y: Float[Tensor, "n b"]) -> None:
        """Take in a batch of rows, from any device and in any precision."""
        if len(x) == 0:
            return
        # To the CPU first: some accelerators have no float64.
        x, y = x.detach().cpu().double(), y.detach().cpu().double()
        batch = CoMoments(x.shape[1], y.shape[1])
        batch.n, batch.mean_x, batch.mean_y = len(x), x.mean(0), y.mean(0)
        x, y = x - batch.mean_x, y - batch.mean_y
        batch.m2_x, batch.m2_y, batch.c_xy = x.square().sum(0), y.square().sum(0), x.T @ y
        self.merge(batch)

    def merge(self, other: "CoMoments") -> None:
        """Add the rows that another one has seen."""
        n = self.n + other.n
        if other.n == 0:
            return
        dx, dy, weight = other.mean_x - self.mean_x, other.mean_y - self.mean_y, self.n * other.n / n
        self.m2_x = self.m2_x + other.m2_x + weight * dx.square()
        self.m2_y = self.m2_y + other.m2_y + weight * dy.square()
        self.c_xy = self.c_xy + other.c_xy + weight * torch.outer(dx, dy)
        self.mean_x, self.mean_y, self.n = self.mean_x + dx * other.n / n, self.mean_y + dy * other.n / n, n

    def pearson(self) -> Float[Tensor, "a b"]:
        """Correlation of every column of x with every column of y, in [-1, 1]; 0 where a column is constant."""
        scale = torch.outer(self.m2_x.sqrt(), self.m2_y.sqrt())
        return torch.where(scale > 0, self.c_xy / scale.clamp_min(torch.finfo(torch.float64).tiny), torch.zeros_like(scale)).clamp(-1, 1)
