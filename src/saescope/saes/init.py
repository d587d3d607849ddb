"""Initial weights: random unit directions, a robust centre, and an encoder scaled to what the decoder needs."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from saescope.draws import draws
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from saescope.saes.base import SAE

LATENT_BUDGET = 2**25
"""Largest number of dense latents held at once: 128 MiB in float32."""


def unit_rows(n: int, d: int, seed: int) -> Float[Tensor, "n d"]:
    """n directions drawn uniformly on the unit sphere; float32, a function of the seed."""
    rows = torch.from_numpy(draws(seed, "init").standard_normal((n, d), dtype=np.float32))
    return rows / rows.norm(dim=1, keepdim=True)


@torch.no_grad()
def geometric_median(x: Float[Tensor, "n d"], *, rounds: int = 100, tolerance: float = 1e-6) -> Float[Tensor, " d"]:
    """The point with the least sum of distances to the rows of x, by Weiszfeld's rounds from the mean.

        m <- sum_n w_n x_n / sum_n w_n,   w_n = 1 / max(||x_n - m||, 1e-8)

    Unlike the mean it ignores a far outlier. Source: Bricken et al. 2023 (start of b_dec).
    """
    guess = x.mean(0)
    for _ in range(rounds):
        weights_N = 1 / (x - guess).norm(dim=1).clamp_min(1e-8)
        new = (weights_N @ x) / weights_N.sum()
        if (new - guess).norm() <= tolerance * guess.norm().clamp_min(1e-8):
            return new
        guess = new
    return guess


@torch.no_grad()
def fit_to_sample_(sae: "SAE", x: Float[Tensor, "n d_in"]) -> None:
    """Set b_dec to the geometric median of x, then scale W_enc by the c that minimises the error of this start:

        c = sum <x - b_dec, y> / sum ||y||^2,   y = x_hat - b_dec

    Holds for positively homogeneous activations (ReLU, TopK, BatchTopK); c is skipped where it is not finite and positive.
    """
    sae.b_dec.copy_(geometric_median(x))
    inner = square = 0.0
    for rows in x.split(max(256, LATENT_BUDGET // sae.d_sae)):  # the matrix [n, d_sae] never exists as a whole
        y_ND = sae.decode(sae.training_latents(sae.pre_acts(rows))) - sae.b_dec
        inner += ((rows - sae.b_dec) * y_ND).sum().item()
        square += y_ND.square().sum().item()
    c = inner / square if square else math.inf
    if math.isfinite(c) and c > 0:
        sae.W_enc.mul_(c)
