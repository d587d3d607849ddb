"""Gated SAE: one path decides which latents are active, another how strongly, so that the penalty does not shrink them."""

from dataclasses import dataclass
from typing import get_args

import torch
from torch import nn

from saescope.saes.activation_functions import gated
from saescope.saes.base import SAE, TrainState
from saescope.saes.code import Code, DenseCode, observed
from saescope.saes.jumprelu import JumpReLUConfig, JumpReLUSAE
from saescope.saes.losses import auxk, l1, mse
from saescope.saes.options import check_choice, check_l0, check_l0_fits, check_number
from saescope.saes.relu import Resample
from saescope.saes.select import Bar, Encoder
from saescope.shapes import Float, Tensor


@dataclass(frozen=True, kw_only=True)
class GatedConfig:
    l1: float = 5.0
    """Coefficient lambda of the gates' L1, for mse summed over d and inputs of unit mean square per coordinate."""
    l0: float | None = None
    """Wanted L0: training scales l1 until it is reached. None: l1 as it stands."""
    alpha: float = 1 / 8
    """Weight of the term that revives dead latents by what they could explain (`losses.auxk`); 0 switches it off."""
    resample: Resample = "off"
    """New directions for dead latents as well: centred (x - b_dec), published (x) or off."""

    def __post_init__(self):
        check_number("l1", self.l1)
        check_number("alpha", self.alpha)
        check_l0(self.l0)
        check_choice("resample", self.resample, get_args(Resample))


class GatedSAE(SAE):
    """SAE with a gate and a magnitude per latent, which share one encoder.

        h       = (x - b_dec) @ W_enc                        (the pre-activations of this class)
        latents = H(h + b_gate) relu(exp(r_mag) h + b_mag)
        x_hat   = latents @ W_dec + b_dec,   ||W_dec[i]|| = 1
        loss    = mse + lambda mean_n sum_i relu(h_i + b_gate_i) + mean_n ||target - (relu(h + b_gate) sg(W_dec) + sg(b_dec))||^2

    H passes no gradient: the gate learns from the penalty and from the last term, `aux`, whose decoder is held fixed (sg).
    Source: Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders".
    """

    architecture = "gated"
    thresholds = ("b_gate", "b_mag")
    betas = (0.0, 0.999)
    lr = 4e-3
    cfg: GatedConfig
    r_mag: Float[Tensor, " d_sae"]
    b_gate: Float[Tensor, " d_sae"]
    b_mag: Float[Tensor, " d_sae"]

    def __init__(self, d_in: int, d_sae: int, cfg: GatedConfig | None = None, *, d_out: int | None = None, seed: int | None = 0):
        super().__init__(d_in, d_sae, cfg or GatedConfig(), d_out=d_out, seed=seed)
        check_l0_fits(self.cfg.l0, d_sae)
        del self.b_enc  # each path has its own
        self.r_mag = nn.Parameter(torch.zeros(d_sae))
        self.b_gate = nn.Parameter(torch.zeros(d_sae))
        self.b_mag = nn.Parameter(torch.zeros(d_sae))

    @property
    def wanted_l0(self) -> float | None:
        return self.cfg.l0

    @torch.no_grad()
    def shut_(self, threshold: float) -> None:
        self.b_gate.fill_(-threshold)

    @property
    def resample(self) -> Resample:
        return self.cfg.resample

    @property
    def encoder(self) -> Encoder:
        return Encoder(self.W_enc, torch.zeros_like(self.b_gate), self.b_dec)

    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        return gated(pre_acts, self.r_mag, self.b_gate, self.b_mag)

    @property
    def bar(self) -> Bar:
        return Bar(floor=-self.b_gate)

    def latents(self, h: Code) -> Code:
        """`activate`."""
        return h.holding(gated(h.values, h.spread(self.r_mag), h.spread(self.b_gate), h.spread(self.b_mag)))

    def gates(self, h: Code) -> Code:
        """relu(h + b_gate): what the penalty weighs and `aux` reconstructs from."""
        return h.holding((h.values + h.spread(self.b_gate)).relu())

    def penalty(self, pre_acts: Float[Tensor, "n d_sae"]) -> Float[Tensor, " n"]:
        return self.cfg.l1 * l1(self.gates(DenseCode(pre_acts)))

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        self.check_rows(x, target)
        h = self.code(x, state)
        latents, gates = self.latents(h), self.gates(h)
        state.observed.update(observed(latents))
        error_ND = target - (latents.decode(self.W_dec) + self.b_dec)
        auxk_term = {"auxk": self.cfg.alpha * auxk(self, x, error_ND, target, state.dead)} if self.cfg.alpha else {}
        return {
            "mse": mse(error_ND),
            **auxk_term,
            "sparsity": state.sparsity_scale * self.cfg.l1 * l1(gates).mean(),
            "aux": mse(target - (gates.decode(self.W_dec.detach()) + self.b_dec.detach())),
        }


@torch.no_grad()
def to_jumprelu(gated: GatedSAE) -> JumpReLUSAE:
    """The JumpReLU SAE that is the same function.

        W_enc' = W_enc exp(r_mag),   b_enc' = b_mag - b_dec @ W_enc',   theta = max(0, b_mag - exp(r_mag) b_gate)

    Both paths are lines of the same h, so the gate is a threshold on the magnitude. Source: Rajamanoharan et al. 2024, appendix.
    """
    jump = JumpReLUSAE(gated.d_in, gated.d_sae, JumpReLUConfig(sparsity="l0"), seed=None).to(gated.W_enc)
    scale_F = gated.r_mag.exp()
    jump.W_enc.copy_(gated.W_enc * scale_F)
    jump.b_enc.copy_(gated.b_mag - gated.b_dec @ jump.W_enc)
    jump.theta.copy_((gated.b_mag - scale_F * gated.b_gate).clamp_min(0))
    jump.W_dec.copy_(gated.W_dec)
    jump.b_dec.copy_(gated.b_dec)
    return jump
