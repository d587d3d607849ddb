"""A code: a value for each (token, latent), as a whole matrix or as the pairs that matter. One equation serves both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch

from saescope.saes.select import Bar, Encoder, Precision, select
from saescope.saes.sparse_ops import Pairs, decode, spread, sum_by_latent, sum_by_token
from saescope.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class DenseCode:
    """Values as the matrix [N, F]: the reference."""

    values: Float[Tensor, "n d_sae"]

    @property
    def n(self) -> int:
        return len(self.values)

    def holding(self, values: Float[Tensor, "n d_sae"]) -> Self:
        """Other values at the same places."""
        return replace(self, values=values)

    def spread(self, vector: Float[Tensor, " d_sae"]) -> Float[Tensor, " d_sae"]:
        """A number per latent, as it meets the values."""
        return vector

    def per_token(self, weights: Float[Tensor, " d_sae"] | None = None) -> Float[Tensor, " n"]:
        """sum_i value_i, or sum_i value_i weights_i."""
        return self.values.sum(1) if weights is None else self.values @ weights

    def per_latent(self) -> Float[Tensor, " d_sae"]:
        """sum_n value_n."""
        return self.values.sum(0)

    def decode(self, W_dec: Float[Tensor, "d_sae d_out"]) -> Float[Tensor, "n d_out"]:
        """sum_i value_i W_dec[i]."""
        return self.values @ W_dec

    def decode_blocks(self, W_dec: Float[Tensor, "d_sae d_out"], starts: Sequence[int]) -> Float[Tensor, "blocks n d_out"]:
        """`decode` of the latents of each block alone; block b begins at starts[b] and ends where the next begins."""
        ends = [*starts[1:], len(W_dec)]
        return torch.stack([self.values[:, a:b] @ W_dec[a:b] for a, b in zip(starts, ends, strict=True)])

    @cached_property
    def counts(self) -> Int[Tensor, " d_sae"]:
        """Tokens on which each latent is active."""
        return (self.values.detach() > 0).sum(0)


@dataclass(frozen=True)
class SparseCode:
    """Values of some pairs, which carry gradients; those of the others, and their gradients, are 0."""

    pairs: Pairs
    values: Float[Tensor, " nnz"]

    @classmethod
    def of(cls, x: Float[Tensor, "n d_in"], encoder: Encoder, bar: Bar, precision: Precision = "fp32") -> Self:
        """The pre-activations of x above the bar."""
        return cls(*select(x, encoder, bar, precision))

    @property
    def n(self) -> int:
        return self.pairs.n

    def holding(self, values: Float[Tensor, " nnz"]) -> Self:
        return replace(self, values=values)

    def spread(self, vector: Float[Tensor, " d_sae"]) -> Float[Tensor, " nnz"]:
        return spread(vector, self.pairs)

    def per_token(self, weights: Float[Tensor, " d_sae"] | None = None) -> Float[Tensor, " n"]:
        return sum_by_token(self.values if weights is None else self.values * self.spread(weights), self.pairs)

    def per_latent(self) -> Float[Tensor, " d_sae"]:
        return sum_by_latent(self.values, self.pairs)

    def decode(self, W_dec: Float[Tensor, "d_sae d_out"]) -> Float[Tensor, "n d_out"]:
        return decode(self.values, W_dec, self.pairs)

    def decode_blocks(self, W_dec: Float[Tensor, "d_sae d_out"], starts: Sequence[int]) -> Float[Tensor, "blocks n d_out"]:
        """The same pairs with a row of x_hat per block and token, sorted by it."""
        first = torch.tensor(starts, device=self.pairs.latent.device)
        block = torch.searchsorted(first, self.pairs.latent, right=True) - 1
        row, order = (block * self.pairs.n + self.pairs.token).sort(stable=True)
        pairs = Pairs(row, self.pairs.latent[order], len(starts) * self.pairs.n, self.pairs.d_sae)
        return decode(self.values[order], W_dec, pairs).view(len(starts), self.pairs.n, W_dec.shape[1])

    @cached_property
    def counts(self) -> Int[Tensor, " d_sae"]:
        return torch.bincount(self.pairs.latent[self.values.detach() > 0], minlength=self.pairs.d_sae)


Code = DenseCode | SparseCode


def observed(latents: Code) -> dict[str, Tensor]:
    """What fired, the mean L0, and the least value kept."""
    values = latents.values.detach()
    least = torch.where(values > 0, values, torch.inf).amin() if values.numel() else values.new_full((), torch.inf)
    return {"fired": latents.counts > 0, "l0": latents.counts.sum() / latents.n, "min_kept": least}
