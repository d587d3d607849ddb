"""Which (token, latent) pairs matter: one GEMM, row chunk by row chunk, so that the matrix [N, F] never exists as a whole."""

from dataclasses import dataclass
from typing import Literal

import torch

from saescope.saes.kernels import kernels
from saescope.saes.sparse_ops import Pairs, encode
from saescope.shapes import Float, Tensor

CHUNK_BYTES, MOST_ROWS = 24 * 2**20, 1024
"""Rows of [N, F] that exist at a time: few enough for the cache, enough for the GEMM."""
PROBE_ROWS, PROBE_LATENTS = 32, 512
"""Pairs scored in bf16 and in fp32 to see how far bf16 is off."""
SAFETY = 2.0
"""Times the largest error seen: what bf16 is taken to be off by at most."""

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Encoder:
    """What makes pre-activations: (x - centre) @ W_enc + bias."""

    W_enc: Float[Tensor, "d_in d_sae"]
    bias: Float[Tensor, " d_sae"]
    centre: Float[Tensor, " d_in"] | None = None

    @property
    def shift(self) -> Float[Tensor, " d_sae"]:
        """bias - centre @ W_enc: what is added to x @ W_enc."""
        return self.bias if self.centre is None else self.bias - self.centre @ self.W_enc


@dataclass(frozen=True)
class Bar:
    """A pair is kept if its pre-activation is above `floor`, among the `per_token` largest of its token, and the `in_all` largest of all.

    With `per_token` there is one floor for all.
    """

    floor: Float[Tensor, " d_sae"] | float = 0.0
    per_token: int | None = None
    in_all: int | None = None


def select(x: Float[Tensor, "n d_in"], encoder: Encoder, bar: Bar, precision: Precision = "fp32") -> tuple[Pairs, Float[Tensor, " nnz"]]:
    """The pairs above the bar, and their pre-activations, which carry gradients to the encoder.

    bf16 selects and fp32 decides: scores in bf16 leave out only what is below the bar by more than bf16 can be off, and the
    pre-activations of the others are computed anew. How far it can be off is measured on a sample and checked on all of those;
    should one be off by more, the batch is done again in float32.
    """
    with torch.no_grad():
        x = x if encoder.centre is None else x - encoder.centre
        pairs, values, certain = _chosen(x, encoder, bar, precision)
        if not certain:
            pairs, values, _ = _chosen(x, encoder, bar, "fp32")
        if bar.in_all is not None and len(values) > bar.in_all:
            index = (values >= values.kthvalue(len(values) - bar.in_all + 1).values).nonzero().squeeze(1)
            pairs, values = Pairs(pairs.token[index], pairs.latent[index], pairs.n, pairs.d_sae), values[index]
    return pairs, encode(encoder.W_enc, encoder.bias, encoder.centre, x, values, pairs)


def _chosen(x: Float[Tensor, "n d_in"], encoder: Encoder, bar: Bar, precision: Precision) -> tuple[Pairs, Float[Tensor, " nnz"], bool]:
    """Pairs, values and whether they are certain, for rows x that are centred, chunk by chunk."""
    W, bias = encoder.W_enc, encoder.bias
    floor = bar.floor.to(bias.dtype) if isinstance(bar.floor, Tensor) else torch.full_like(bias, bar.floor)
    x_rough, W_rough = (x, W) if precision == "fp32" else (x.bfloat16(), W.T.bfloat16().T)  # latent-major, as W is
    slack = None if precision == "fp32" else _slack(x, W)
    ops = kernels(x.device, x.dtype)
    size = max(1, min(MOST_ROWS, CHUNK_BYTES // (W.shape[1] * x_rough.element_size())))
    found = []
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        scores = x_rough[rows] @ W_rough
        found.append(ops.choose(scores, x[rows], W.T, bias, floor, bar.per_token, None if slack is None else slack[rows]))
    tokens = [chosen.row + start for chosen, start in zip(found, range(0, len(x), size), strict=True)]
    pairs = Pairs(torch.cat(tokens), torch.cat([chosen.latent for chosen in found]), len(x), W.shape[1])
    return pairs, torch.cat([chosen.value for chosen in found]), all(chosen.certain for chosen in found)


def _slack(x: Float[Tensor, "n d_in"], W: Float[Tensor, "d_in d_sae"]) -> Float[Tensor, " n"]:
    """What a row's products in bf16 are taken to be off by at most: as much for its norm as the worst of a sample."""
    some, norms = x[:: len(x) // PROBE_ROWS + 1], x.norm(dim=1)
    latents = W.T[:: W.shape[1] // PROBE_LATENTS + 1]
    error = (some @ latents.T - (some.bfloat16() @ latents.bfloat16().T).float()).abs().amax(1)
    return SAFETY * norms * (error / norms[:: len(x) // PROBE_ROWS + 1].clamp_min(1e-30)).max()
