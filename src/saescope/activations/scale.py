"""The one number per hook point that normalises inputs; folded into the weights when an SAE is saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from saescope.activations.source import ActivationSource
from saescope.errors import NonFiniteActivations
from saescope.shapes import Float, Tensor

SAMPLE_TOKENS = 2**17
KEPT_ROWS = 2**15
"""Rows of it from which initial weights are made."""
ROWS = 2**13
"""Rows widened to float32 at a time."""


@dataclass(frozen=True)
class Scale:
    """s = sqrt(D / E||x||^2): inputs times s have unit mean square per coordinate."""

    value: float
    n_tokens: int
    n_outliers: int
    """Tokens with a norm above 10 x the median, left out of the estimate."""


def scale_of(x: Float[Tensor, "n d"]) -> Scale:
    """The scale of a sample. Raises: NonFiniteActivations where all of it is zero or not finite."""
    return _scale(_squared_norms(x), x.shape[1])


def estimate_scales(
    source: ActivationSource, *, seed: int, n_tokens: int = SAMPLE_TOKENS, keep: int = KEPT_ROWS
) -> tuple[Mapping[Any, Scale], Float[Tensor, "n d_row"]]:
    """The scale of every hook point of a source, from the stream's first `n_tokens` rows, and the first `keep` finite ones of them.

    Consumes no training tokens: training starts at token 0 of the same stream.
    """
    squares: dict[Any, list[Tensor]] = {point: [] for point in source.slices}
    kept: list[Tensor] = []
    for batch in source.batches(n_tokens, seed=seed):
        for point, columns in source.slices.items():
            squares[point].append(_squared_norms(batch.rows[:, columns]))
        if (missing := keep - sum(map(len, kept))) > 0:
            kept.append(batch.rows[batch.rows.isfinite().all(1)][:missing])
    scales = {point: _scale(torch.cat(squares[point]), columns.stop - columns.start) for point, columns in source.slices.items()}
    return scales, torch.cat(kept)


def _squared_norms(x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    return torch.cat([part.float().square().sum(1) for part in x.split(ROWS)]).cpu().double()


def _scale(square_N: Float[Tensor, " n"], d: int) -> Scale:
    usual = square_N <= 100 * square_N.nanmedian()  # false for NaN and Inf too
    mean_square = square_N[usual].mean().item()
    if not 0 < mean_square < float("inf"):
        raise NonFiniteActivations(
            f"the first {len(square_N):,} activations have mean square norm {mean_square}: there is nothing to train on. Check the model."
        )
    return Scale(value=(d / mean_square) ** 0.5, n_tokens=len(square_N), n_outliers=int((~usual).sum()))
