"""Which (token, latent) pairs matter: one GEMM, row chunk by row chunk, so that the matrix [N, F] never exists as a whole."""

from dataclasses import dataclass
from typing import Literal

import torch

from saescope.saes.kernels import kernels
from saescope.saes.sparse_ops import Pairs, encode
from saescope.shapes import Bool, Float, Int, Tensor

ROWS = 512
"""Rows of [N, F] that exist at a time: small enough for the cache, large enough for the GEMM."""
PROBE_ROWS = 32
"""Rows scored twice, in bf16 and in fp32, to see how far bf16 is off."""
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
    pre-activations of the others are computed anew.
    """
    with torch.no_grad():
        W_enc, shift = encoder.W_enc, encoder.shift
        floor = bar.floor.to(shift.dtype) if isinstance(bar.floor, Tensor) else torch.full_like(shift, bar.floor)
        if precision == "fp32":
            pairs, values = _candidates(x, W_enc, shift, floor, bar.per_token, 0.0)
        else:
            rough = x.bfloat16(), W_enc.T.bfloat16().T, shift.bfloat16()  # latent-major, as W_enc is
            pairs, _ = _candidates(*rough, floor, bar.per_token, _error((x, W_enc, shift), rough))
            values = kernels(x.device, x.dtype).row_products(x, W_enc.T, pairs.token, pairs.latent) + shift[pairs.latent]
        pairs, values = _kept(pairs, values, values > floor[pairs.latent])
        if bar.per_token is not None:
            pairs, values = _largest_of_each(pairs, values, bar.per_token)
        if bar.in_all is not None and len(values) > bar.in_all:
            pairs, values = _kept(pairs, values, values >= values.kthvalue(len(values) - bar.in_all + 1).values)
    return pairs, encode(encoder.W_enc, encoder.bias, encoder.centre, x, values, pairs)


def _candidates(
    x: Float[Tensor, "n d_in"], W_enc: Tensor, shift: Tensor, floor: Float[Tensor, " d_sae"], per_token: int | None, error: float
) -> tuple[Pairs, Float[Tensor, " nnz"]]:
    """The pairs that may be above the bar where scores x @ W_enc + shift may be off by `error`, with their scores."""
    ops = kernels(x.device, floor.dtype)
    tokens, latents, values = [], [], []
    for start in range(0, len(x), ROWS):
        scores = torch.addmm(shift, x[start : start + ROWS], W_enc)
        row, latent = ops.candidates(scores, floor, per_token, error)
        tokens.append(row + start)
        latents.append(latent)
        values.append(scores[row, latent])
    return Pairs(torch.cat(tokens), torch.cat(latents), len(x), W_enc.shape[1]), torch.cat(values)


def _error(exact: tuple[Tensor, Tensor, Tensor], rough: tuple[Tensor, Tensor, Tensor]) -> float:
    """What scores in bf16 are taken to be off by at most, from a few rows in both precisions."""
    scores = [torch.addmm(shift, x[:PROBE_ROWS], W_enc) for x, W_enc, shift in (exact, rough)]
    return SAFETY * (scores[0] - scores[1]).abs().max().item()


def _largest_of_each(pairs: Pairs, values: Float[Tensor, " nnz"], k: int) -> tuple[Pairs, Float[Tensor, " kept"]]:
    """The k pairs of each token with the largest values."""
    most = int(pairs.per_token.max()) if len(values) else 0
    if most <= k:
        return pairs, values
    place = torch.arange(len(values), device=values.device) - pairs.token_starts[pairs.token]
    table = values.new_full((pairs.n, most), -torch.inf)
    table[pairs.token, place] = values
    kept = torch.zeros_like(table, dtype=torch.bool).scatter_(1, table.topk(k, dim=1, sorted=False).indices, True)
    return _kept(pairs, values, kept[pairs.token, place])


def _kept(pairs: Pairs, values: Tensor, kept: Bool[Tensor, " nnz"]) -> tuple[Pairs, Tensor]:
    index: Int[Tensor, " kept"] = kept.nonzero().squeeze(1)
    return Pairs(pairs.token[index], pairs.latent[index], pairs.n, pairs.d_sae), values[index]
