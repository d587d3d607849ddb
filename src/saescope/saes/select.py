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
    """A pair is kept if its pre-activation is above `floor`, and among the `per_token` largest of its token (one floor for all then)."""

    floor: Float[Tensor, " d_sae"] | float = 0.0
    per_token: int | None = None


def select(x: Float[Tensor, "n d_in"], encoder: Encoder, bar: Bar, precision: Precision = "fp32") -> tuple[Pairs, Float[Tensor, " nnz"]]:
    """The pairs above the bar, and their pre-activations, which carry gradients to the encoder.

    bf16 selects and fp32 decides: scores in bf16 leave out only what is below the bar by more than bf16 can be off, and the
    pre-activations of the others are computed anew.
    """
    with torch.no_grad():
        shift = encoder.shift
        found = _in_fp32(x, encoder.W_enc, shift, bar) if precision == "fp32" else _in_bf16(x, encoder.W_enc, shift, bar)
        pairs, values = found if bar.per_token is None else _largest(*found, bar.per_token)
    return pairs, encode(encoder.W_enc, encoder.bias, encoder.centre, x, values, pairs)


def largest(pairs: Pairs, values: Float[Tensor, " nnz"], keep: int) -> tuple[Pairs, Float[Tensor, " kept"]]:
    """The `keep` pairs with the largest values, of all tokens together."""
    if len(values) <= keep:
        return pairs, values
    with torch.no_grad():
        kept = values >= values.kthvalue(len(values) - keep + 1).values
    return _kept(pairs, values, kept)


def _in_fp32(x: Tensor, W_enc: Tensor, shift: Tensor, bar: Bar) -> tuple[Pairs, Float[Tensor, " nnz"]]:
    """The pairs above the floor, with a few that are not among the `per_token` largest."""
    floor, ops = _floor(bar, shift), kernels(x.device, x.dtype)
    tokens, latents, values = [], [], []
    for start in range(0, len(x), ROWS):
        pre_acts = torch.addmm(shift, x[start : start + ROWS], W_enc)
        row, latent = ops.candidates(pre_acts, floor, bar.per_token, 0.0)
        tokens.append(row + start)
        latents.append(latent)
        values.append(pre_acts[row, latent])
    return _above(Pairs(torch.cat(tokens), torch.cat(latents), len(x), W_enc.shape[1]), torch.cat(values), floor)


def _in_bf16(x: Tensor, W_enc: Tensor, shift: Tensor, bar: Bar) -> tuple[Pairs, Float[Tensor, " nnz"]]:
    """The same by way of scores in bf16."""
    floor, ops = _floor(bar, shift), kernels(x.device, x.dtype)
    rough_x, rough_W, rough_shift = x.bfloat16(), W_enc.T.bfloat16().T, shift.bfloat16()
    exact, rough = torch.addmm(shift, x[:PROBE_ROWS], W_enc), torch.addmm(rough_shift, rough_x[:PROBE_ROWS], rough_W)
    error = SAFETY * (exact - rough).abs().max().item()
    tokens, latents = [], []
    for start in range(0, len(x), ROWS):
        scores = torch.addmm(rough_shift, rough_x[start : start + ROWS], rough_W)
        row, latent = ops.candidates(scores, floor, bar.per_token, error)
        tokens.append(row + start)
        latents.append(latent)
    pairs = Pairs(torch.cat(tokens), torch.cat(latents), len(x), W_enc.shape[1])
    return _above(pairs, ops.row_products(x, W_enc.T, pairs.token, pairs.latent) + shift[pairs.latent], floor)


def _floor(bar: Bar, like: Tensor) -> Float[Tensor, " d_sae"]:
    return bar.floor.to(like.dtype) if isinstance(bar.floor, Tensor) else torch.full_like(like, bar.floor)


def _above(pairs: Pairs, values: Tensor, floor: Float[Tensor, " d_sae"]) -> tuple[Pairs, Tensor]:
    return _kept(pairs, values, values > floor[pairs.latent])


def _largest(pairs: Pairs, values: Float[Tensor, " nnz"], k: int) -> tuple[Pairs, Float[Tensor, " kept"]]:
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
