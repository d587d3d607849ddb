"""The input scale, folded into the weights and out of them: a saved SAE takes raw activations."""

import copy

import torch

from saescope.saes.base import SAE


@torch.no_grad()
def fold(sae: SAE, scale: float) -> SAE:
    """The SAE on raw x that does what `sae` does on scale * x:  fold(sae)(x) == sae(scale * x) / scale.

    With one scale in and out, W_enc and W_dec stay; b_enc, b_dec and thresholds are divided. Raw latents are the scaled
    ones / scale.
    """
    raw = copy.deepcopy(sae)
    state = raw.state_dict()
    for name in ("b_enc", "b_dec", *raw.thresholds):
        state[name].div_(scale)
    return raw


def unfold(sae: SAE, scale: float) -> SAE:
    """The inverse of `fold`."""
    return fold(sae, 1 / scale)
