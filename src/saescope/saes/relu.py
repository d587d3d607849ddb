"""ReLU + L1 SAE, as Towards Monosemanticity trained it and as the update of April 2024 does."""

from dataclasses import dataclass
from typing import Literal, get_args

from saescope.errors import ConfigError
from saescope.saes.base import SAE, TrainState
from saescope.saes.code import Code, DenseCode, observed
from saescope.saes.init import shrink_
from saescope.saes.losses import auxk, l1, mse
from saescope.saes.options import check_choice, check_l0, check_l0_fits, check_number
from saescope.shapes import Float, Tensor

Decoder = Literal["unit", "free"]
Resample = Literal["centred", "published", "off"]


@dataclass(frozen=True, kw_only=True)
class ReLUConfig:
    l1: float = 5.0
    """Sparsity coefficient lambda, for mse summed over d and inputs of unit mean square per coordinate."""
    l0: float | None = None
    """Wanted L0: training scales l1 until it is reached. None: l1 as it stands."""
    decoder: Decoder = "unit"
    """unit: rows of W_dec stay at norm 1, b_dec is tied (2023). free: the penalty weighs a latent by its row's norm, untied (2024)."""
    alpha: float = 1 / 8
    """Weight of the term that revives dead latents by what they could explain (`losses.auxk`); 0 switches it off."""
    resample: Resample = "off"
    """New directions for dead latents as well: centred (x - b_dec) or published (x), with a unit decoder; or off."""

    def __post_init__(self):
        check_number("l1", self.l1)
        check_l0(self.l0)
        check_choice("decoder", self.decoder, get_args(Decoder))
        check_number("alpha", self.alpha)
        check_choice("resample", self.resample, get_args(Resample))
        if self.decoder == "free" and self.resample in ("centred", "published"):
            raise ConfigError(
                f"resample={self.resample!r} was asked for with decoder='free'. Resampled rows have norm 1, which a free decoder "
                "does not keep: leave resample out, or set decoder=unit."
            )


class ReLUSAE(SAE):
    """SAE whose sparsity is penalised.

        latents = relu((x - b_dec) @ W_enc + b_enc)          decoder="free": relu(x @ W_enc + b_enc)
        x_hat   = latents @ W_dec + b_dec
        loss    = mse + lambda mean_n sum_i latents_i ||W_dec[i]||

    decoder="unit": ||W_dec[i]|| = 1, b_dec is subtracted before the encoder, dead latents may be resampled. decoder="free": rows
    start at norm 0.1 and find their own; the norm in the penalty keeps a latent from evading it by a long row.
    Source: Bricken et al. 2023, "Towards Monosemanticity"; for "free" Anthropic, Circuits Updates April 2024. We differ: mse is
    a sum over d, in 2023 it was a mean.
    """

    architecture = "relu"
    lr = 4e-3
    cfg: ReLUConfig

    def __init__(self, d_in: int, d_sae: int, cfg: ReLUConfig | None = None, *, d_out: int | None = None, seed: int | None = 0):
        super().__init__(d_in, d_sae, cfg or ReLUConfig(), d_out=d_out, seed=seed)
        check_l0_fits(self.cfg.l0, d_sae)
        if self.cfg.decoder == "free":
            self.unit_decoder = self.tied = False
            shrink_(self)

    @property
    def wanted_l0(self) -> float | None:
        return self.cfg.l0

    @property
    def resample(self) -> Resample:
        return self.cfg.resample

    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        return pre_acts.relu()

    def penalty(self, pre_acts: Float[Tensor, "n d_sae"]) -> Float[Tensor, " n"]:
        return self._penalty(DenseCode(self.activate(pre_acts)))

    def _penalty(self, latents: Code) -> Float[Tensor, " n"]:
        return self.cfg.l1 * l1(latents, None if self.unit_decoder else self.decoder_norms())

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        self.check_rows(x, target)
        z = self.code(x, state)
        latents = z.holding(self.activate(z.values))
        error_ND = target - (latents.decode(self.W_dec) + self.b_dec)
        state.observed.update(observed(latents))
        terms = {"mse": mse(error_ND), "sparsity": state.sparsity_scale * self._penalty(latents).mean()}
        if self.cfg.alpha:
            terms["auxk"] = self.cfg.alpha * auxk(self, x, error_ND, target, state.dead)
        return terms
