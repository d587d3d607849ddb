"""The fast path: a code as its non-zero pairs, so that a step needs one dense GEMM instead of five.

Where a ReLU-type activation is zero, so is its gradient. After the encoder's GEMM only the kept (token, latent) pairs matter:

    decode      x_hat[n] = sum over the pairs of n of value * W_dec[latent]
    gradients   dvalue[p] = <g[token], W_dec[latent]>
                dW_dec[i] = sum over the pairs of i of value * g[token]
                dW_enc[:, i] = sum over the pairs of i of dvalue * x[token]

All are `embedding_bag`s over one of two orders of the same pairs: by token (CSR) or by latent (CSC, one stable sort). No
atomics: deterministic. The equations in the SAE classes are the reference; tests hold both to the same losses and gradients.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn.functional import embedding_bag

from saescope.shapes import Bool, Float, Int, Tensor

ROWS = 512
"""Rows of [N, F] that exist at a time: small enough for the cache, large enough for the GEMM."""


@dataclass(frozen=True)
class DenseCode:
    """Latents as the matrix [N, F]: the reference."""

    latents: Float[Tensor, "n d_sae"]

    def decode(self, W_dec: Float[Tensor, "d_sae d_out"]) -> Float[Tensor, "n d_out"]:
        return self.latents @ W_dec

    @cached_property
    def counts(self) -> Int[Tensor, " d_sae"]:
        """Tokens on which each latent is active."""
        return (self.latents.detach() > 0).sum(0)

    def decode_blocks(self, W_dec: Float[Tensor, "d_sae d_out"], starts: Sequence[int]) -> Float[Tensor, "blocks n d_out"]:
        """`decode` of the latents of each block alone; block b begins at starts[b] and ends where the next begins."""
        ends = [*starts[1:], len(W_dec)]
        return torch.stack([self.latents[:, a:b] @ W_dec[a:b] for a, b in zip(starts, ends, strict=True)])

    def observed(self) -> dict[str, Tensor]:
        """What fired, the mean L0, and the least value kept."""
        kept_NF = self.latents.detach()
        least = torch.where(kept_NF > 0, kept_NF, torch.inf).amin()
        return {"fired": self.counts > 0, "l0": self.counts.sum() / len(kept_NF), "min_kept": least}


@dataclass(frozen=True)
class Pairs:
    """Which latents each token keeps: sorted by token, with the permutation that sorts by latent."""

    token: Int[Tensor, " nnz"]
    latent: Int[Tensor, " nnz"]
    n: int
    d_sae: int

    @cached_property
    def token_starts(self) -> Int[Tensor, " n"]:
        return _starts(torch.bincount(self.token, minlength=self.n))

    @cached_property
    def counts(self) -> Int[Tensor, " d_sae"]:
        return torch.bincount(self.latent, minlength=self.d_sae)

    @cached_property
    def latent_starts(self) -> Int[Tensor, " d_sae"]:
        return _starts(self.counts)

    @cached_property
    def by_latent(self) -> Int[Tensor, " nnz"]:
        return self.latent.argsort(stable=True)

    def sum_by_latent(self, weights: Float[Tensor, " nnz"], rows: Float[Tensor, "n d"]) -> Float[Tensor, "d_sae d"]:
        """For each latent, the sum over its pairs of weight * rows[token]."""
        order = self.by_latent
        return embedding_bag(self.token[order], rows, self.latent_starts, mode="sum", per_sample_weights=weights[order])

    def count_by_latent(self, weights: Float[Tensor, " nnz"]) -> Float[Tensor, " d_sae"]:
        """For each latent, the sum over its pairs of weight; float64 inside, where the device has it."""
        wide = weights.dtype if weights.device.type == "mps" else torch.float64
        total = torch.cat([weights.new_zeros(1, dtype=wide), weights[self.by_latent].to(wide).cumsum(0)])
        return (total[self.latent_starts + self.counts] - total[self.latent_starts]).to(weights.dtype)


@dataclass(frozen=True)
class SparseCode:
    """Latents as their non-zero pairs; `values` carries the gradient to the encoder."""

    pairs: Pairs
    values: Float[Tensor, " nnz"]

    def decode(self, W_dec: Float[Tensor, "d_sae d_out"]) -> Float[Tensor, "n d_out"]:
        return _Decode.apply(self.values, W_dec, self.pairs)

    @property
    def counts(self) -> Int[Tensor, " d_sae"]:
        """Tokens on which each latent is active."""
        return self.pairs.counts

    def decode_blocks(self, W_dec: Float[Tensor, "d_sae d_out"], starts: Sequence[int]) -> Float[Tensor, "blocks n d_out"]:
        """`decode` of the latents of each block alone: the same pairs with a row of x_hat per block and token, sorted by it."""
        first = torch.tensor(starts, device=self.pairs.latent.device)
        block = torch.searchsorted(first, self.pairs.latent, right=True) - 1
        row, order = (block * self.pairs.n + self.pairs.token).sort(stable=True)
        pairs = Pairs(row, self.pairs.latent[order], len(starts) * self.pairs.n, self.pairs.d_sae)
        return _Decode.apply(self.values[order], W_dec, pairs).view(len(starts), self.pairs.n, W_dec.shape[1])

    def observed(self) -> dict[str, Tensor]:
        values = self.values.detach()
        least = values.amin() if len(values) else values.new_full((), torch.inf)
        l0 = values.new_tensor(len(values) / self.pairs.n)
        return {"fired": self.counts > 0, "l0": l0, "min_kept": least}


def encode_sparse(
    x: Float[Tensor, "n d_in"],
    W_enc: Float[Tensor, "d_in d_sae"],
    bias: Float[Tensor, " d_sae"],
    select: Callable[[Float[Tensor, "rows d_sae"]], Bool[Tensor, "rows d_sae"]],
    keep: int | None = None,
) -> SparseCode:
    """The pairs that `select` marks in relu(x @ W_enc + bias), row chunk by row chunk; of them the `keep` largest."""
    with torch.no_grad():
        found = []
        for start in range(0, len(x), ROWS):
            pre_acts = torch.addmm(bias, x[start : start + ROWS], W_enc)
            token, latent = (select(pre_acts) & (pre_acts > 0)).nonzero(as_tuple=True)
            found.append((token + start, latent, pre_acts[token, latent]))
        token, latent, values = (torch.cat(parts) for parts in zip(*found, strict=True))
        if keep is not None and len(values) > keep:
            kept = values >= values.kthvalue(len(values) - keep + 1).values
            token, latent, values = token[kept], latent[kept], values[kept]
    pairs = Pairs(token, latent, len(x), W_enc.shape[1])
    return SparseCode(pairs, _Encode.apply(W_enc, bias, x, values, pairs))


class _Encode(torch.autograd.Function):
    """values = (x @ W_enc + bias) at the pairs; x gets no gradient."""

    @staticmethod
    def forward(ctx, W_enc, bias, x, values, pairs):
        ctx.x, ctx.pairs = x, pairs
        return values.clone()

    @staticmethod
    def backward(ctx, *gradients):
        (dvalues,) = gradients
        return ctx.pairs.sum_by_latent(dvalues, ctx.x).T, ctx.pairs.count_by_latent(dvalues), None, None, None


class _Decode(torch.autograd.Function):
    """x_hat[n] = sum of value * W_dec[latent] over the pairs of n."""

    @staticmethod
    def forward(ctx, values, W_dec, pairs):
        ctx.save_for_backward(values, W_dec)
        ctx.pairs = pairs
        return embedding_bag(pairs.latent, W_dec, pairs.token_starts, mode="sum", per_sample_weights=values)

    @staticmethod
    def backward(ctx, *gradients):
        (g,) = gradients
        values, W_dec = ctx.saved_tensors
        return _row_products(g, W_dec, ctx.pairs), ctx.pairs.sum_by_latent(values, g), None


def _row_products(g: Float[Tensor, "n d"], W_dec: Float[Tensor, "d_sae d"], pairs: Pairs) -> Float[Tensor, " nnz"]:
    """<g[token], W_dec[latent]> of every pair, by the operator that embedding_bag itself uses where torch still has it."""
    fast = getattr(torch.ops.aten, "_embedding_bag_per_sample_weights_backward", None)
    if fast is not None:
        return fast(g.contiguous(), W_dec, pairs.latent, pairs.token_starts, pairs.token, 0)
    return torch.cat([(g[t] * W_dec[i]).sum(1) for t, i in zip(pairs.token.split(2**16), pairs.latent.split(2**16), strict=True)])


def _starts(counts: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    return counts.cumsum(0) - counts
