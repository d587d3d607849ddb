"""JumpReLU SAE: a threshold per latent that is learned, and a penalty on the number of active latents itself."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from saescope.saes.activation_functions import in_window, jumprelu, step
from saescope.saes.base import SAE, TrainState
from saescope.saes.code import Code, DenseCode, observed
from saescope.saes.init import shrink_
from saescope.saes.losses import auxk, density_quadratic, mse, pre_act, target_l0, target_l0_per_token
from saescope.saes.options import check_choice, check_l0, check_l0_fits, check_number, check_switch
from saescope.saes.select import Bar
from saescope.shapes import Float, Tensor

Sparsity = Literal["l0", "target_l0", "target_l0_per_token", "tanh", "tanh_quadratic"]
DEFAULT_L0 = 32.0
THETA = 0.1
PRE_ACT = 3e-6


@dataclass(frozen=True, kw_only=True)
class JumpReLUConfig:
    sparsity: Sparsity = "target_l0"
    """Which sparsity term; the class lists them."""
    coefficient: float = 1.0
    """Of the sparsity term, for mse summed over d and inputs of unit mean square per coordinate."""
    l0: float | None = None
    """Wanted L0. target_l0 and target_l0_per_token have it in their term (None: 32); for the others training scales the
    coefficient until it is reached (None: the coefficient as it stands)."""
    theta: float | None = None
    """Threshold of every latent at the start. None: where the L0 is twice the wanted one, or 0.1 if none is wanted."""
    bandwidth: float = 1.0
    """Width eps of the window around a threshold from which it gets its gradient."""
    ste_to_input: bool = True
    """Whether that gradient goes to the pre-activations too: without it more latents die, and L0 follows its target less well."""
    tanh_scale: float = 4.0
    """Of the tanh variants: latents times row norm well above 1 / tanh_scale count as one."""
    alpha: float = 1 / 8
    """Weight of the term that revives dead latents by what they could explain (`losses.auxk`); 0 switches it off."""
    pre_act: float | None = None
    """Coefficient of the term that pulls dead latents up to their thresholds. None: 3e-6 for tanh, 0 for the others."""

    def __post_init__(self):
        check_choice("sparsity", self.sparsity, get_args(Sparsity))
        check_l0(self.l0)
        check_switch("ste_to_input", self.ste_to_input)
        for name in ("coefficient", "theta", "alpha", "pre_act"):
            if (value := getattr(self, name)) is not None:
                check_number(name, value)
        for name in ("bandwidth", "tanh_scale"):
            check_number(name, getattr(self, name), above=True)


class JumpReLUSAE(SAE):
    """SAE that zeroes what is below a learned threshold and leaves the rest as it is.

        z       = x @ W_enc + b_enc,   latents = z H(z - theta),   x_hat = latents @ W_dec + b_dec
        loss    = mse + sparsity + pre_act mean_n sum_{i dead} relu(theta_i - z_i) ||W_dec[i]||

        sparsity / coefficient, with s_i = H(z_i - theta_i), t_i = tanh(tanh_scale latents_i ||W_dec[i]||), L0_n = sum_i s_i:
        "l0"                   mean_n L0_n                              "tanh"            mean_n sum_i t_i
        "target_l0"            d (mean_n L0_n / l0 - 1)^2               "tanh_quadratic"  sum_i phi_i (1 + phi_i / 0.01),
        "target_l0_per_token"  (2 / l0) mean_n (L0_n - l0)^2                              phi_i = mean_n t_i

    theta gets its gradient by a window (`activation_functions`). Rows of W_dec are unit, but free in the tanh variants.
    Source: Rajamanoharan et al. 2024, "Jumping ahead" (l0; target_l0 from its appendix); Anthropic, Circuits Updates January
    2025 (tanh). We differ: theta is a parameter clamped at 0, not a logarithm, which Adam moves too slowly where it is small.
    """

    architecture = "jumprelu"
    tied = False
    thresholds = ("theta",)
    lr = 4e-3
    cfg: JumpReLUConfig
    theta: Float[Tensor, " d_sae"]

    def __init__(self, d_in: int, d_sae: int, cfg: JumpReLUConfig | None = None, *, d_out: int | None = None, seed: int | None = 0):
        super().__init__(d_in, d_sae, cfg or JumpReLUConfig(), d_out=d_out, seed=seed)
        self.by_tanh = self.cfg.sparsity.startswith("tanh")
        self.by_target = self.cfg.sparsity.startswith("target_l0")
        self.aim = DEFAULT_L0 if self.cfg.l0 is None else float(self.cfg.l0)
        check_l0_fits(self.wanted_l0, d_sae)
        self.theta = nn.Parameter(torch.full((d_sae,), THETA if self.cfg.theta is None else float(self.cfg.theta)))
        self.homogeneous = self.cfg.theta is None  # a threshold that was asked for is left alone
        if self.by_tanh:
            self.unit_decoder = False
            shrink_(self)

    @property
    def wanted_l0(self) -> float | None:
        return self.aim if self.by_target else self.cfg.l0

    @property
    def l0_target(self) -> float | None:
        return None if self.by_target else self.cfg.l0

    @torch.no_grad()
    def shut_(self, threshold: float) -> None:
        if self.cfg.theta is None:
            self.theta.fill_(threshold)

    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        return jumprelu(pre_acts, self.theta, self.cfg.bandwidth, ste_to_input=self.cfg.ste_to_input)

    @property
    def bar(self) -> Bar:
        return Bar(floor=self.theta - self.cfg.bandwidth / 2)  # in the window, or above it

    def latents(self, z: Code) -> Code:
        """`activate`."""
        return z.holding(jumprelu(z.values, z.spread(self.theta), self.cfg.bandwidth, ste_to_input=self.cfg.ste_to_input))

    def active(self, z: Code, latents: Code) -> Code:
        """How much each latent counts as active: H(z - theta), or its smooth stand-in by tanh."""
        if self.by_tanh:
            return latents.holding((self.cfg.tanh_scale * latents.values * latents.spread(self.decoder_norms())).tanh())
        return z.holding(step(z.values, z.spread(self.theta), self.cfg.bandwidth, ste_to_input=self.cfg.ste_to_input))

    def penalty(self, pre_acts: Float[Tensor, "n d_sae"]) -> Float[Tensor, " n"]:
        z = DenseCode(pre_acts)
        return self.cfg.coefficient * self.active(z, self.latents(z)).per_token()

    def sparsity(self, active: Code) -> Float[Tensor, ""]:
        """The sparsity term without its coefficient."""
        match self.cfg.sparsity:
            case "target_l0":
                return target_l0(active.per_token(), self.aim, self.d_out)
            case "target_l0_per_token":
                return target_l0_per_token(active.per_token(), self.aim)
            case "tanh_quadratic":
                return density_quadratic(active)
            case _:
                return active.per_token().mean()

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        self.check_rows(x, target)
        z = self.code(x, state)
        latents = self.latents(z)
        n_inside = in_window(z.values.detach(), z.spread(self.theta.detach()), self.cfg.bandwidth).sum()
        state.observed.update({**observed(latents), "window": n_inside / (z.n * self.d_sae)})
        error_ND = target - (latents.decode(self.W_dec) + self.b_dec)
        terms = {"mse": mse(error_ND)}
        if self.cfg.alpha:
            terms["auxk"] = self.cfg.alpha * auxk(self, x, error_ND, target, state.dead)
        terms["sparsity"] = state.sparsity_scale * self.cfg.coefficient * self.sparsity(self.active(z, latents))
        weight = self.cfg.pre_act if self.cfg.pre_act is not None else PRE_ACT if self.cfg.sparsity == "tanh" else 0.0
        if weight:
            terms["pre_act"] = weight * pre_act(self, x, self.theta, state.dead)
        return terms

    @torch.no_grad()
    def constrain_(self) -> None:
        super().constrain_()
        self.theta.clamp_(min=0)
