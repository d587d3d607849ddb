"""The operations by stock PyTorch, on any device."""

import torch

from saescope.saes.kernels import group_size
from saescope.shapes import Float, Int, Tensor

CHUNK = 2**16
"""Pairs multiplied at a time where torch lacks the operator."""


class Stock:
    """`Kernels` of torch's own operators."""

    name = "torch"

    def candidates(
        self, scores: Float[Tensor, "rows d_sae"], floor: Float[Tensor, " d_sae"], per_token: int | None, error: float
    ) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
        cut = floor - error
        if per_token is not None:
            # k scores reach the bound, so the k-th largest pre-activation is at least bound - error, its score bound - 2 error.
            cut = torch.maximum(_kth_largest_bound(scores, per_token).to(floor.dtype)[:, None] - 2 * error, cut)
        row, latent = (scores >= _below(cut, scores.dtype)).nonzero(as_tuple=True)
        return row, latent

    def row_products(
        self, a: Float[Tensor, "n d"], b: Float[Tensor, "d_sae d"], token: Int[Tensor, " m"], latent: Int[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        # The operator that embedding_bag's own backward uses, where torch still has it.
        fast = getattr(torch.ops.aten, "_embedding_bag_per_sample_weights_backward", None)
        if fast is not None:
            starts = torch.searchsorted(token, torch.arange(len(a), device=token.device))
            return fast(a.contiguous(), b, latent, starts, token, 0)
        return torch.cat([(a[t] * b[i]).sum(1) for t, i in zip(token.split(CHUNK), latent.split(CHUNK), strict=True)])


STOCK = Stock()


def _kth_largest_bound(scores: Float[Tensor, "rows d_sae"], k: int) -> Float[Tensor, " rows"]:
    """A value that at least k scores of the row reach, and few more: the k-th largest of the maxima of groups."""
    d_sae = scores.shape[1]
    group = group_size(d_sae, k)
    if group > 1:
        scores = scores[:, : d_sae // group * group].view(len(scores), group, -1).amax(1)
    return scores.topk(min(k, scores.shape[1]), dim=1).values[:, -1]


def _below(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Rounded down to the type of the scores."""
    if values.dtype == dtype:
        return values
    return torch.nextafter(values.to(dtype), torch.full((), -torch.inf, dtype=dtype, device=values.device))
