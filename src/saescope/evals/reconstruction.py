"""How near x_hat is to its target: sums per document, and ratios from sums only."""

import numpy as np
import torch

from saescope.activations.encode import Chunk
from saescope.evals.result import Metric
from saescope.evals.sums import Array, DocumentSums, Intervals, mean, on_float64_device
from saescope.shapes import Float, Tensor


class Reconstruction:
    """Reducer: mse, FVU, cosine, norm ratio and gamma of the counted tokens; FVU also with the special positions."""

    def __init__(self, intervals: Intervals):
        self.intervals = intervals
        self.counted, self.special = DocumentSums(), DocumentSums()

    def add(self, chunk: Chunk) -> None:
        target, x_hat, counted, doc_ids = on_float64_device(chunk.target, chunk.x_hat, chunk.counted, chunk.doc_ids)
        values = token_values(target, x_hat)
        self.counted.add(doc_ids[counted], {name: value[counted] for name, value in values.items()})
        self.special.add(doc_ids[~counted], {name: values[name][~counted] for name in ("tokens", "sse", "square", "target")})

    def merge(self, other: "Reconstruction") -> None:
        self.counted.merge(other.counted)
        self.special.merge(other.special)

    def result(self) -> dict[str, Metric]:
        everywhere = DocumentSums()
        everywhere.merge(self.counted)
        everywhere.merge(self.special)
        metric, sums = self.intervals.metric, self.counted
        deviation, constant = ("tokens", "sse", "square", "target"), "the target does not vary over these tokens"
        shares, silent = ("nonzero", "cosine"), "x_hat . target sums to 0: gamma has no denominator"
        return {
            "reconstruction.mse": metric(sums, mean, ("tokens", "sse"), unit="sum over d", better="lower"),
            "reconstruction.fvu": metric(sums, fvu, deviation, better="lower", undefined=constant),
            "reconstruction.ev": metric(sums, lambda *s: 1 - fvu(*s), deviation, better="higher", undefined=constant),
            "reconstruction.cosine": metric(sums, mean, shares, better="higher"),
            "reconstruction.l2_ratio": metric(sums, mean, ("nonzero", "l2_ratio")),
            "reconstruction.gamma": metric(sums, gamma, ("tokens", "square_hat", "inner"), undefined=silent),
            "reconstruction.fvu.with_bos": metric(everywhere, fvu, deviation, better="lower", undefined=constant),
        }

    def fvu_per_dimension(self) -> Float[Tensor, " d_out"]:
        """Share of each coordinate's variance that is left; NaN where it does not vary."""
        s = self.counted
        deviation = s.total("square_d") - s.total("target") ** 2 / s.total("tokens")
        with np.errstate(divide="ignore", invalid="ignore"):
            return torch.from_numpy(np.where(deviation > 1e-12 * s.total("square_d"), s.total("sse_d") / deviation, np.nan)).float()


def fvu(tokens: Array, sse: Array, square: Array, target: Array) -> Array:
    """Fraction of variance unexplained: sum_t ||target - x_hat||^2 / sum_t ||target - mean of target over all t||^2

    Where the deviation is below 1e-12 of the second moment, float64 cannot tell the target from a constant: NaN.
    """
    deviation = square - (target**2).sum(-1) / tokens
    return np.where(deviation > 1e-12 * square, sse / deviation, np.nan)


def gamma(tokens: Array, square_hat: Array, inner: Array) -> Array:
    """E||x_hat||^2 / E[target . x_hat]: below 1, the reconstruction is shrunk. Source: Rajamanoharan et al. 2024 (Gated SAEs)."""
    return square_hat / inner


def token_values(target_ND: Float[Tensor, "n d"], x_hat_ND: Float[Tensor, "n d"]) -> dict[str, Tensor]:
    """What is summed over tokens, in float64. Cosine and norm ratio leave out tokens whose target is 0."""
    y, y_hat = target_ND.double(), x_hat_ND.double()
    square_d, error_squared = y.square(), (y - y_hat).square_()
    square, square_hat, inner = square_d.sum(-1), y_hat.square().sum(-1), (y * y_hat).sum(-1)
    norm, norm_hat = square.sqrt(), square_hat.sqrt()
    return {
        "tokens": torch.ones_like(square),
        "nonzero": (norm > 0).double(),
        "sse": error_squared.sum(-1),
        "square": square,
        "square_hat": square_hat,
        "inner": inner,
        "target": y,
        "cosine": _ratio(inner, norm * norm_hat),
        "l2_ratio": _ratio(norm_hat, norm),
        "sse_d": error_squared,
        "square_d": square_d,
    }


def _ratio(numerator: Float[Tensor, " n"], denominator: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return torch.where(denominator > 0, numerator / denominator, 0.0)
