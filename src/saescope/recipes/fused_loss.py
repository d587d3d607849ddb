"""Cross-entropy of `h @ W.T` without the matrix of logits: loss and gradient of a few hundred tokens at a time, which stay in the cache."""

from typing import Any

import torch

from saescope.shapes import Float, Int, Tensor

CHUNK = 512
"""Tokens whose logits exist at once."""


def unembedded_cross_entropy(
    h: Float[Tensor, "n d"], unembedding: Float[Tensor, "vocab d"], targets: Int[Tensor, " n"], half: bool = False
) -> Float[Tensor, ""]:
    """Mean over tokens of `logsumexp(W h) - (W h)[target]`; `half` multiplies in bfloat16."""
    return _Fused.apply(h, unembedding, targets, half)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h_ND: Tensor, W_VD: Tensor, targets_N: Tensor, half: bool) -> Tensor:
        grad_h, grad_W, total = torch.empty_like(h_ND), torch.zeros_like(W_VD), h_ND.new_zeros(())
        kind = torch.bfloat16 if half else h_ND.dtype
        factor_VD, n = W_VD.to(kind), len(h_ND)
        for h, targets, out in zip(h_ND.split(CHUNK), targets_N.split(CHUNK), grad_h.split(CHUNK), strict=True):
            h = h.to(kind)
            p = torch.log_softmax((h @ factor_VD.T).to(h_ND.dtype), -1)
            total -= p.gather(1, targets[:, None]).sum()
            p = p.exp_()
            p[torch.arange(len(targets)), targets] -= 1  # the gradient of the logits
            p = p.to(kind)
            out.copy_(p @ factor_VD)
            grad_W += p.T @ h
        ctx.save_for_backward(grad_h.div_(n), grad_W.div_(n))
        return total / n

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grad_h, grad_W = ctx.saved_tensors
        return grads[0] * grad_h, grads[0] * grad_W, None, None
