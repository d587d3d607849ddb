"""The fast path: a code as its non-zero pairs, so that a step needs one dense GEMM instead of five.

Where a ReLU-type activation is zero, so is its gradient. After the encoder's GEMM only the kept (token, latent) pairs matter:

    decode      x_hat[n] = sum over the pairs of n of value * W_dec[latent]
    gradients   dvalue[p] = <g[token], W_dec[latent]>
                dW_dec[i] = sum over the pairs of i of value * g[token]
                dW_enc[:, i] = sum over the pairs of i of dvalue * x[token]

The sums are over one of two orders of the same pairs: by token (CSR) or by latent (CSC, one stable sort). No atomics:
deterministic. `kernels/` computes them. `saes/code.py` is the same on the whole matrix; tests hold both to the same losses and gradients.
"""

from dataclasses import dataclass
from functools import cached_property

import torch

from saescope.saes.kernels import kernels
from saescope.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Pairs:
    """Which latents each token keeps: sorted by token, with the permutation that sorts by latent."""

    token: Int[Tensor, " nnz"]
    latent: Int[Tensor, " nnz"]
    n: int
    d_sae: int

    @cached_property
    def per_token(self) -> Int[Tensor, " n"]:
        return torch.bincount(self.token, minlength=self.n)

    @cached_property
    def per_latent(self) -> Int[Tensor, " d_sae"]:
        return torch.bincount(self.latent, minlength=self.d_sae)

    @cached_property
    def token_starts(self) -> Int[Tensor, " n"]:
        return _starts(self.per_token)

    @cached_property
    def latent_starts(self) -> Int[Tensor, " d_sae"]:
        return _starts(self.per_latent)

    @cached_property
    def by_latent(self) -> Int[Tensor, " nnz"]:
        return self.latent.argsort(stable=True)

    def where(self, values: Float[Tensor, " nnz"]) -> "tuple[Pairs, Float[Tensor, ' kept']]":
        """The pairs whose value is not 0, and these values; all of them where few would be left out."""
        index = values.nonzero().squeeze(1)
        if 4 * len(index) > 3 * len(values):
            return self, values
        return Pairs(self.token[index], self.latent[index], self.n, self.d_sae), values[index]

    def sum_by_latent(self, weights: Float[Tensor, " nnz"], rows: Float[Tensor, "n d"]) -> Float[Tensor, "d_sae d"]:
        """For each latent, the sum over its pairs of weight * rows[token]."""
        order = self.by_latent
        return kernels(rows.device, rows.dtype).row_sums(self.token[order], weights[order], rows, self.latent_starts)

    def weights_by_latent(self, weights: Float[Tensor, " nnz"]) -> Float[Tensor, " d_sae"]:
        """For each latent, the sum over its pairs of weight."""
        return _sums(weights[self.by_latent], self.latent_starts, self.per_latent)


def encode(
    W_enc: Float[Tensor, "d_in d_sae"],
    bias: Float[Tensor, " d_sae"],
    centre: Float[Tensor, " d_in"] | None,
    x: Float[Tensor, "n d_in"],
    values: Float[Tensor, " nnz"],
    pairs: Pairs,
) -> Float[Tensor, " nnz"]:
    """`values`, known to be x @ W_enc + bias at the pairs where x has `centre` taken off, with that gradient; rows get none."""
    return _Encode.apply(W_enc, bias, centre, x, values, pairs)


def decode(values: Float[Tensor, " nnz"], W_dec: Float[Tensor, "d_sae d_out"], pairs: Pairs) -> Float[Tensor, "n d_out"]:
    """x_hat[n] = sum of value * W_dec[latent] over the pairs of n."""
    return _Decode.apply(values, W_dec, pairs)


def spread(vector: Float[Tensor, " d_sae"], pairs: Pairs) -> Float[Tensor, " nnz"]:
    """The entry of each pair's latent."""
    return _Spread.apply(vector, pairs)


def sum_by_token(values: Float[Tensor, " nnz"], pairs: Pairs) -> Float[Tensor, " n"]:
    """The sum over each token's pairs."""
    return _SumByToken.apply(values, pairs)


def sum_by_latent(values: Float[Tensor, " nnz"], pairs: Pairs) -> Float[Tensor, " d_sae"]:
    """The sum over each latent's pairs."""
    return _SumByLatent.apply(values, pairs)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, W_enc, bias, centre, x, values, pairs):
        ctx.save_for_backward(W_enc, centre)
        ctx.x, ctx.pairs = x, pairs
        return values.clone()

    @staticmethod
    def backward(ctx, *gradients):
        (dvalues,) = gradients
        W_enc, centre = ctx.saved_tensors
        dbias = ctx.pairs.weights_by_latent(dvalues)
        dcentre = None if centre is None else -(W_enc @ dbias)  # by the sums: no gradient of x is ever made
        dW_enc = ctx.pairs.sum_by_latent(dvalues, ctx.x).T
        return dW_enc, dbias, dcentre, None, None, None


class _Decode(torch.autograd.Function):
    """Values of 0 (the pairs of a gradient window, say) have a gradient, but no part in x_hat."""

    @staticmethod
    def forward(ctx, values, W_dec, pairs):
        ctx.save_for_backward(values, W_dec)
        ctx.pairs, (active, kept) = pairs, pairs.where(values)
        return kernels(values.device, values.dtype).row_sums(active.latent, kept, W_dec, active.token_starts)

    @staticmethod
    def backward(ctx, *gradients):
        (g,), (values, W_dec), pairs = gradients, ctx.saved_tensors, ctx.pairs
        order, ops = pairs.by_latent, kernels(g.device, g.dtype)
        by_latent = values[order], pairs.token[order], pairs.latent[order]
        dvalues, dW_dec = ops.decode_gradients(g, W_dec, *by_latent, pairs.latent_starts)
        return torch.empty_like(values).index_copy_(0, order, dvalues), dW_dec, None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vector, pairs):
        ctx.pairs = pairs
        return vector[pairs.latent]

    @staticmethod
    def backward(ctx, *gradients):
        return ctx.pairs.weights_by_latent(gradients[0]), None


class _SumByToken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, pairs):
        ctx.pairs = pairs
        return _sums(values, pairs.token_starts, pairs.per_token)

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0][ctx.pairs.token], None


class _SumByLatent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, pairs):
        ctx.pairs = pairs
        return pairs.weights_by_latent(values)

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0][ctx.pairs.latent], None


def _starts(counts: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    return counts.cumsum(0) - counts


def _sums(values: Float[Tensor, " nnz"], starts: Int[Tensor, " n"], counts: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Sums of consecutive runs of values; float64 inside, where the device has it."""
    wide = values.dtype if values.device.type == "mps" else torch.float64
    total = torch.cat([values.new_zeros(1, dtype=wide), values.to(wide).cumsum(0)])
    return (total[starts + counts] - total[starts]).to(values.dtype)
