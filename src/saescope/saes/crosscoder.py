"""Crosscoders: one set of latents for several hook points, by the rule of any of three architectures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch

from saescope.errors import ConfigError
from saescope.saes.base import SAE, TrainState
from saescope.saes.batch_topk import BatchTopKConfig, BatchTopKSAE
from saescope.saes.init import unit_rows
from saescope.saes.jumprelu import JumpReLUConfig, JumpReLUSAE
from saescope.saes.options import check_choice, check_whole
from saescope.saes.relu import Decoder, ReLUConfig, ReLUSAE
from saescope.shapes import Float, Tensor

START_NORM = 0.1
"""Of every block of a fresh decoder row."""


@dataclass(frozen=True, kw_only=True)
class CrosscoderConfig:
    """What the config of a crosscoder has beside the options of its activation."""

    activation: str = "batch_topk"
    """Whose activation and loss it has: batch_topk, relu or jumprelu."""
    widths: tuple[int, ...] | None = None
    """Widths of the hook points, in the order in which they lie in a row. None: a single one."""

    def __post_init__(self):
        super().__post_init__()  # type: ignore[misc]  # of the rule's config, which comes next in the order of bases
        check_choice("activation", self.activation, [type(self).activation])
        for width in self.widths or ():
            check_whole("widths", width)


class Crosscoder(SAE):
    """Sparse autoencoder on a row [x_1 .. x_L] of the vectors at L hook points, whose latents all of them share.

        z       = sum_l x_l @ W_enc^l + b_enc = x @ W_enc + b_enc,     x_hat = latents @ W_dec + b_dec
        n_i     = sum_l ||W_dec[i]^l||,     latents_i n_i = the rule of its activation on z_i n_i
        loss    = sum_l mse_l + that rule's terms

    The rule sees scores z_i n_i: an L1 penalty is lambda mean_n sum_i latents_i n_i, BatchTopK keeps the largest scores, a
    threshold cuts them. So the sum of a latent's block norms counts, and rescaling a latent against its row changes nothing.
    The decoder is free, b_dec not tied; blocks start alike, W_enc along W_dec^T. A row is scaled hook point by hook point:
    `scales` keeps what its coordinates were multiplied by once that is folded in, so that norms of blocks stay comparable.
    Source: Lindsey et al. 2024, "Sparse crosscoders"; the BatchTopK form Minder et al. 2025.

    Raises: ConfigError for widths that do not add up to d_in.
    """

    architecture = "crosscoder"
    joins = True
    tied = False
    unit_decoder = False
    rule: ClassVar[type[SAE]]
    config_class: ClassVar[type[CrosscoderConfig]]
    cfg: Any
    scales: Float[Tensor, " d_out"]

    def __init__(self, d_in: int, d_sae: int, cfg: CrosscoderConfig | None = None, *, d_out: int | None = None, seed: int | None = 0):
        super().__init__(d_in, d_sae, cfg or self.config_class(), d_out=d_out, seed=seed)
        self.unit_decoder = False  # whatever the rule has
        self.widths = list(self.cfg.widths or (d_in,))
        if sum(self.widths) != d_in:
            raise ConfigError(f"widths={self.widths} add up to {sum(self.widths)}, but d_in={d_in}. Give the widths of the hook points.")
        self.register_buffer("scales", torch.ones(d_in))
        if seed is not None:
            self._start(seed)

    @torch.no_grad()
    def _start(self, seed: int) -> None:
        """Equal directions for blocks of equal width; unit inputs give scores near 1."""
        rows_FD = torch.cat([unit_rows(self.d_sae, width, seed) for width in self.widths], dim=1)
        self.W_dec.copy_(START_NORM * rows_FD)
        self.W_enc.copy_(rows_FD.T / (START_NORM * len(self.widths) ** 1.5))

    @property
    def resample(self) -> Literal["off"]:
        return "off"

    def blocks(self, row: Float[Tensor, "*n d"]) -> Sequence[Float[Tensor, "*n _"]]:
        """The part of each hook point."""
        return row.split(self.widths, dim=-1)

    def decoder_norms(self) -> Float[Tensor, " d_sae"]:
        """n_i = sum_l ||W_dec[i]^l||, in scaled units."""
        return self._norms().sum(1)

    @torch.no_grad()
    def block_norms(self) -> Float[Tensor, "d_sae blocks"]:
        """||W_dec[i]^l|| / max_l ||W_dec[i]^l||, in scaled units: how much of latent i is at each hook point, 1 where most."""
        norms_FL = self._norms()
        return norms_FL / norms_FL.amax(1, keepdim=True).clamp_min(torch.finfo(norms_FL.dtype).tiny)

    def _norms(self) -> Float[Tensor, "d_sae blocks"]:
        return torch.stack([block.norm(dim=1) for block in self.blocks(self.W_dec * self.scales)], dim=1)

    def unit(self) -> SAE:
        """The same function as an SAE of the rule itself, in which latents are scores: a view for one call, gradients go through.

        W_enc n, b_enc n, W_dec / n: rows whose norms, in the sense of this class, are 1.
        """
        n_F = self._positive_norms()
        view = self.rule.__new__(self.rule)
        view.__dict__.update(self.__dict__ | self._parameters | self._buffers)
        view.__dict__.update(
            W_enc=self.W_enc * n_F,
            b_enc=self.b_enc * n_F,
            W_dec=self.W_dec / n_F[:, None],
            tied=False,
            unit_decoder=True,
            decoder_norms=lambda: torch.ones_like(n_F),
        )
        return view

    def _positive_norms(self) -> Float[Tensor, " d_sae"]:
        return self.decoder_norms().clamp_min(torch.finfo(self.W_dec.dtype).tiny)

    def scores(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        return pre_acts * self.decoder_norms()

    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        n_F = self._positive_norms()
        return super().activate(pre_acts * n_F) / n_F  # type: ignore[safe-super]

    def training_latents(self, pre_acts: Float[Tensor, "n d_sae"]) -> Float[Tensor, "n d_sae"]:
        return self.unit().training_latents(self.scores(pre_acts)) / self._positive_norms()

    def penalty(self, pre_acts: Float[Tensor, "n d_sae"]) -> Float[Tensor, " n"]:
        return self.unit().penalty(self.scores(pre_acts))

    def share(self, x: Float[Tensor, "n d_in"]) -> float:
        return self.unit().share(x)

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        return self.unit().loss(x, target, state)

    @torch.no_grad()
    def enlarge_(self, c: float) -> None:
        super().enlarge_(c)
        for name in self.thresholds:  # they cut scores, which have grown with the rows too
            self.state_dict()[name].mul_(c**0.5)

    def with_unit_decoder(self) -> Self:
        unit = super().with_unit_decoder()
        for name in self.thresholds:  # they cut scores, which stay as they are
            unit.state_dict()[name].copy_(self.state_dict()[name])
        return unit

    @torch.no_grad()
    def comparable(self) -> tuple[Float[Tensor, "d_in d_sae"], Float[Tensor, "d_sae d_out"]]:
        """W_enc and W_dec in scaled units, in which a coordinate of one hook point weighs as much as one of another."""
        return self.W_enc / self.scales[:, None], self.W_dec * self.scales


@dataclass(frozen=True, kw_only=True)
class BatchTopKCrosscoderConfig(CrosscoderConfig, BatchTopKConfig):
    """Options of `BatchTopKSAE`, and of crosscoders."""


@dataclass(frozen=True, kw_only=True)
class ReLUCrosscoderConfig(CrosscoderConfig, ReLUConfig):
    """Options of `ReLUSAE`, and of crosscoders."""

    activation: str = "relu"
    decoder: Decoder = "free"
    """Of a crosscoder always."""

    def __post_init__(self):
        super().__post_init__()
        if self.decoder != "free":
            raise ConfigError(f"decoder={self.decoder!r} was asked for. A crosscoder's decoder is free: leave it out.")


@dataclass(frozen=True, kw_only=True)
class JumpReLUCrosscoderConfig(CrosscoderConfig, JumpReLUConfig):
    """Options of `JumpReLUSAE`, and of crosscoders."""

    activation: str = "jumprelu"


class BatchTopKCrosscoder(Crosscoder, BatchTopKSAE):
    """`Crosscoder` by the rule of `BatchTopKSAE`: the k * n largest scores of a batch of n rows."""

    rule = BatchTopKSAE
    config_class = BatchTopKCrosscoderConfig


class ReLUCrosscoder(Crosscoder, ReLUSAE):
    """`Crosscoder` by the rule of `ReLUSAE`: an L1 penalty on scores. It makes latents of one hook point by shrinking their other
    blocks: prefer BatchTopK where the difference between hook points is what is asked for."""

    rule = ReLUSAE
    config_class = ReLUCrosscoderConfig


class JumpReLUCrosscoder(Crosscoder, JumpReLUSAE):
    """`Crosscoder` by the rule of `JumpReLUSAE`: thresholds on scores."""

    rule = JumpReLUSAE
    config_class = JumpReLUCrosscoderConfig

    def shut_(self, threshold: float) -> None:
        super().shut_(threshold * self.decoder_norms()[0].item())  # rows start alike


CROSSCODERS: dict[str, tuple[type[SAE], type]] = {
    kind.config_class.activation: (kind, kind.config_class) for kind in (BatchTopKCrosscoder, ReLUCrosscoder, JumpReLUCrosscoder)
}
"""Class and config by activation."""
