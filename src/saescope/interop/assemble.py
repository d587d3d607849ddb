"""Weights of another library as one of our classes that is the same function."""

from collections.abc import Mapping
from typing import Any

import torch

from saescope.saes.base import SAE
from saescope.saes.registry import build
from saescope.shapes import Float, Tensor

UNIT = 5e-3
"""How far from 1 a decoder row's norm may be in a unit decoder: bfloat16 rounds by up to 2^-9."""
L0 = 32
"""Target L0 stated in the config of a read JumpReLU SAE, which only training it further would use."""


def is_unit(W_dec: Float[Tensor, "d_sae d_out"]) -> bool:
    """Whether every row has norm 1."""
    return bool(((W_dec.norm(dim=1) - 1).abs() < UNIT).all())


@torch.no_grad()
def assemble(architecture: str, weights: Mapping[str, Tensor], options: Mapping[str, Any] | None = None, *, tied: bool) -> SAE:
    """An SAE of our `architecture` with these weights, in our names and orientation (d_in first).

    `tied` is whether their encoder reads x - b_dec. Where ours reads otherwise, the difference goes into the biases:

        x @ W_enc + b_enc == (x - b_dec) @ W_enc + (b_enc + b_dec @ W_enc)

    Where the rows of W_dec are not unit: ReLU and JumpReLU keep them, in the variants with a free decoder; Gated gets unit rows,
    and latents that are larger by their norms; for TopK and BatchTopK, whose choice depends on the scale of each latent, the
    rows stay, and `unit_decoder` is off. x_hat is the same in all cases.
    Raises: ConfigError for a k or width that does not fit.
    """
    d_in, d_sae = weights["W_enc"].shape
    unit = is_unit(weights["W_dec"])
    weights, options = dict(weights), dict(options or {})
    options |= _variant(architecture, options, d_sae, unit)
    sae = build(architecture, d_in, d_sae, options, d_out=len(weights["b_dec"]), seed=None)
    if tied != sae.tied:
        _move_b_dec(weights, 1 if sae.tied else -1)
    for name, value in sae.state_dict().items():
        value.copy_(weights[name].reshape(value.shape))
    sae = sae.requires_grad_(False)
    if not unit and sae.unit_decoder:
        if architecture == "gated":
            return sae.with_unit_decoder()
        sae.unit_decoder = False
    return sae


def _variant(architecture: str, options: Mapping[str, Any], d_sae: int, unit: bool) -> dict[str, Any]:
    """Options that say how the decoder is, in the architectures that have such options."""
    activation = options.get("activation", architecture)
    if activation == "relu" and not unit:
        return {"decoder": "free"}
    if activation == "jumprelu":
        return {"sparsity": "target_l0", "l0": float(min(L0, d_sae))} if unit else {"sparsity": "tanh"}
    return {}


def _move_b_dec(weights: dict[str, Tensor], sign: int) -> None:
    """Add sign * b_dec @ W_enc to what the encoder adds, in float64."""
    shift_F = sign * (weights["b_dec"].double() @ weights["W_enc"].double())
    if "r_mag" in weights:
        weights["b_gate"] = (weights["b_gate"].double() + shift_F).float()
        weights["b_mag"] = (weights["b_mag"].double() + weights["r_mag"].double().exp() * shift_F).float()
    else:
        weights["b_enc"] = (weights["b_enc"].double() + shift_F).float()
