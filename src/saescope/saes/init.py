"""Initial weights: random unit directions, a robust centre, and an encoder scaled to what the decoder needs."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from saescope.draws import draws
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from saescope.saes.base import SAE

FIRST_L0 = 2
"""A penalised SAE starts with so many times the L0 that is wanted of it."""
LATENT_BUDGET = 2**23
"""Largest number of dense latents held at once: 32 MiB in float32."""
ROWS = 2**12
"""Rows of a sample whose distances are taken at a time."""


def unit_rows(n: int, d: int, seed: int, *counters: str) -> Float[Tensor, "n d"]:
    """n directions drawn uniformly on the unit sphere; float32, a function of the seed and the counters."""
    rows = torch.from_numpy(draws(seed, "init", *counters).standard_normal((n, d), dtype=np.float32))
    return rows / rows.norm(dim=1, keepdim=True)


@torch.no_grad()
def shrink_(sae: "SAE") -> None:
    """Rows of W_dec at norm 0.1, and W_enc a tenth: the start where rows are free. Source: Anthropic, Circuits Updates April 2024."""
    sae.W_dec.mul_(0.1)
    sae.W_enc.mul_(0.1)


@torch.no_grad()
def geometric_median(x: Float[Tensor, "n d"], *, rounds: int = 100, tolerance: float = 1e-6) -> Float[Tensor, " d"]:
    """The point with the least sum of distances to the rows of x, by Weiszfeld's rounds from the mean.

        m <- sum_n w_n x_n / sum_n w_n,   w_n = 1 / max(||x_n - m||, 1e-8)

    Unlike the mean it ignores a far outlier. Source: Bricken et al. 2023 (start of b_dec).
    """
    guess = x.mean(0)
    for _ in range(rounds):
        weights_N = 1 / torch.cat([(part - guess).norm(dim=1) for part in x.split(ROWS)]).clamp_min(1e-8)
        new = (weights_N @ x) / weights_N.sum()
        if (new - guess).norm() <= tolerance * guess.norm().clamp_min(1e-8):
            return new
        guess = new
    return guess


@torch.no_grad()
def fit_to_sample_(sae: "SAE", x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"]) -> None:
    """Start from the data: b_dec (`start_bias`), thresholds where an L0 is wanted (`open_at_`), then the encoder's scale.

    Reconstructions are enlarged (`SAE.enlarge_`) by the c that minimises the error of this start, if finite and positive:

        c = sum <target - b_dec, y> / sum ||y||^2,   y = x_hat - b_dec
    """
    sae.b_dec.copy_(sae.start_bias(x, target))
    if sae.wanted_l0 is not None:
        open_at_(sae, x, FIRST_L0 * sae.wanted_l0)
    if not sae.homogeneous:
        return
    inner = square = 0.0
    size = max(256, LATENT_BUDGET // sae.d_sae)  # the matrix [n, d_sae] never exists as a whole
    for rows, wanted in zip(x.split(size), target.split(size), strict=True):
        y_ND = sae.reconstruct(rows, sae.training_latents(sae.pre_acts(rows))) - sae.b_dec
        inner += ((wanted - sae.b_dec) * y_ND).sum().item()
        square += y_ND.square().sum().item()
    c = inner / square if square else math.inf
    if math.isfinite(c) and c > 0:
        sae.enlarge_(c)


@torch.no_grad()
def open_at_(sae: "SAE", x: Float[Tensor, "n d_in"], l0: float) -> None:
    """Silence every latent below the pre-activation that l0 latents per token exceed on this sample.

    A penalised SAE that starts with half of its latents active spends its first steps on driving them down, and many for good.
    """
    pre_acts = sae.pre_acts(x[: max(64, LATENT_BUDGET // sae.d_sae)]).flatten()
    n_active = round(l0 * len(pre_acts) / sae.d_sae)
    if 0 < n_active < len(pre_acts):
        sae.shut_(pre_acts.kthvalue(len(pre_acts) - n_active).values.item())
