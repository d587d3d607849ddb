"""The input scale, folded into the weights and out of them: a saved SAE takes raw activations."""

import copy

import torch

from saescope.saes.base import SAE
from saescope.shapes import Float, Tensor

Scales = float | Float[Tensor, " d"]
"""One number for a hook point; or one per coordinate, where several points lie side by side with a scale each."""


@torch.no_grad()
def fold(sae: SAE, s_in: Scales, s_out: Scales | None = None) -> SAE:
    """The SAE on raw x that does what `sae` does on scaled x:  fold(sae)(x) == sae(s_in x) / s_out.

    With one number out, raw latents are the scaled ones / s_out: W_enc *= s_in / s_out; b_enc, b_dec and thresholds /= s_out;
    W_dec stays, so unit rows stay unit. With a scale per coordinate latents keep their units: W_enc *= s_in, W_dec and b_dec
    /= s_out, the rest stays. A skip connection takes s_in / s_out. `s_out` None: as `s_in`.
    """
    s_out = s_in if s_out is None else s_out
    unit = s_out if isinstance(s_out, float | int) else 1.0  # of a latent
    raw = copy.deepcopy(sae)
    state = raw.state_dict()
    state["W_enc"].mul_(_column(s_in) / unit)
    for name in ("b_enc", *raw.thresholds):
        if name in state:
            state[name].div_(unit)
    state["b_dec"].div_(s_out)
    if not isinstance(s_out, float | int):
        state["W_dec"].div_(s_out)
        if "scales" in state:  # of a crosscoder: by them its blocks stay comparable
            state["scales"].mul_(s_out)
    if "W_skip" in state:
        state["W_skip"].mul_(_column(s_in)).div_(s_out)
    return raw


def unfold(sae: SAE, s_in: Scales, s_out: Scales | None = None) -> SAE:
    """The inverse of `fold`."""
    return fold(sae, 1 / s_in, None if s_out is None else 1 / s_out)


def _column(scale: Scales) -> float | Float[Tensor, "d 1"]:
    return scale if isinstance(scale, float | int) else scale[:, None]
