"""What a direction does to the predictions along the shortest path: through the unembedding, past all later blocks."""

from typing import Any

import torch
from torch import nn

from saescope import errors
from saescope.models.hook_point import HookPoint
from saescope.models.language_model import LanguageModel
from saescope.shapes import Float, Tensor

WRITERS = {"attn_z": "attn_out", "mlp_post": "mlp_out"}
"""Hook points that are not in the stream yet, and the point at which their projection has written to it."""


def logit_effects(lm: LanguageModel, directions: Float[Tensor, "n d"], at: str | HookPoint) -> Float[Tensor, "n d_vocab"]:
    """How much of each token's logit a step along each direction adds, by the direct path only.

        w -> W_O or W_down (attn_z, mlp_post) -> post-norm gain -> minus its mean (LayerNorm) -> final norm gain -> W_U -> centred over V

    In logits per unit of the direction, up to the positive factor 1 / sigma(x) of the norms it passes, which depends on the token.
    Biases, soft-caps and logit scales are left out; later blocks are too. All n rows at once: pass them in chunks.

    Raises: WidthMismatch; UnknownHookPoint where the way into the stream is not known.
    """
    point = lm.resolve(at)
    if directions.shape[-1] != (width := lm.width(point)):
        raise errors.WidthMismatch(f"the directions are {directions.shape[-1]} wide, but {point} of {lm.name} is {width} wide.")
    # Half precision loses the small effects of many directions.
    w_ND = directions.to(torch.promote_types(directions.dtype, torch.float32))
    w_ND = _into_stream(lm, w_ND, point)
    if lm.final_norm is not None:
        w_ND = _frozen_norm(lm.final_norm, w_ND)
    effects_NV = _linear(lm.unembedding, w_ND)
    return effects_NV - effects_NV.mean(-1, keepdim=True)


def _into_stream(lm: LanguageModel, w_ND: Tensor, at: HookPoint) -> Tensor:
    """The direction as it is added to the residual stream."""
    if at.layer is None:
        raise errors.UnknownHookPoint(f"how {str(at)!r} gets into the stream of {lm.name} is not known: name a point of a block.")
    if at.kind not in WRITERS:
        return w_ND
    writes = HookPoint(at.layer, WRITERS[at.kind])
    if writes not in {info.at for info in lm.hook_points()}:
        reason = lm.refused.get(writes.kind, "the module map does not name it")
        raise errors.UnknownHookPoint(f"logit effects at {at} of {lm.name} go through {writes}, which cannot be used: {reason}.")
    projection, writer = lm.site(at), lm.site(writes)
    w_ND = _linear(projection.module, w_ND)
    # A writer that does not hold the projection comes after it: a norm of what attention or MLP wrote (gemma2).
    return w_ND if f"{projection.path}.".startswith(f"{writer.path}.") else _frozen_norm(writer.module, w_ND)


def _linear(module: Any, w_ND: Tensor) -> Tensor:
    """w through a linear map, without its bias."""
    if type(module) is nn.Linear:
        return w_ND.to(module.weight.device) @ module.weight.to(w_ND.dtype).T
    if type(module).__name__ == "Conv1D":
        return w_ND.to(module.weight.device) @ module.weight.to(w_ND.dtype)
    # LoRA, quantised: what the module does. Its own forward, so that no hook sees these vectors.
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), w_ND.dtype)
    x = w_ND.to(device=next(module.parameters()).device, dtype=dtype)
    return (module.forward(x) - module.forward(torch.zeros_like(x[:1]))).to(w_ND.dtype)


def _frozen_norm(norm: Any, w_ND: Tensor) -> Tensor:
    """w through a norm whose scale 1 / sigma is frozen and left out: minus its mean if the norm subtracts it, times the gain.

    Both are measured, not looked up: families differ (weight, 1 + weight, no weight at all). For a v of mean 0 either kind of norm
    gives gain * v / rms(v) + bias; a constant added to v changes nothing if the mean is subtracted.
    """
    parameter = next(norm.parameters(), w_ND)
    v_D = _alternating(parameter.new_ones(w_ND.shape[-1]))
    plus, minus, shifted = (norm.forward(v[None])[0].to(w_ND.dtype) for v in (v_D, -v_D, v_D + v_D.abs().max()))
    v_D = v_D.to(w_ND.dtype)
    gain_D = (plus - minus) / 2 * v_D.square().mean().sqrt() / v_D
    subtracts_mean = (shifted - plus).abs().max() <= 0.05 * (plus - minus).abs().max()
    w_ND = w_ND.to(gain_D.device)
    return (w_ND - torch.where(subtracts_mean, w_ND.mean(-1, keepdim=True), 0.0)) * gain_D


def _alternating(v_D: Tensor) -> Tensor:
    """Ones made a vector of mean 0 without zeros, large enough for a norm's epsilon to vanish and small enough for half precision."""
    v_D[1::2] = -1
    if len(v_D) % 2:
        v_D[-1] = -2 * v_D[-2]
        v_D[-3] = v_D[-2]
    return v_D * 1024
