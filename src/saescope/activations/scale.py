"""The one number per hook point that normalises inputs; folded into the weights when an SAE is saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from saescope.activations.source import ActivationSource
from saescope.errors import NonFiniteActivations
from saescope.shapes import Float, Tensor

SAMPLE_TOKENS = 2**17


@dataclass(frozen=True)
class Scale:
    """s = sqrt(D / E||x||^2): inputs times s have unit mean square per coordinate."""

    value: float
    n_tokens: int
    n_outliers: int
    """Tokens with a norm above 10 x the median, left out of the estimate."""


def scale_of(x: Float[Tensor, "n d"]) -> Scale:
    """The scale of a sample. Raises: NonFiniteActivations where all of it is zero or not finite."""
    square_N = x.float().square().sum(1).cpu().double()
    usual = square_N <= 100 * square_N.nanmedian()  # false for NaN and Inf too
    mean_square = square_N[usual].mean().item()
    if not 0 < mean_square < float("inf"):
        raise NonFiniteActivations(
            f"the first {len(x):,} activations have mean square norm {mean_square}: there is nothing to train on. Check the model."
        )
    return Scale(value=(x.shape[1] / mean_square) ** 0.5, n_tokens=len(x), n_outliers=int((~usual).sum()))


def estimate_scales(
    source: ActivationSource, *, seed: int, n_tokens: int = SAMPLE_TOKENS
) -> tuple[Mapping[Any, Scale], Float[Tensor, "n d_row"]]:
    """The scale of every hook point of a source, and the rows they were estimated from: the stream's first `n_tokens`.

    Consumes no training tokens: training starts at token 0 of the same stream.
    """
    sample = torch.cat([batch.rows for batch in source.batches(n_tokens, seed=seed)])
    scales = {point: scale_of(sample[:, columns]) for point, columns in source.slices.items()}
    return scales, sample[sample.isfinite().all(1)]
