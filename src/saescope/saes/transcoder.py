"""Transcoders: sparse latents that read one hook point and write another, by the rule of any of four architectures."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from saescope.errors import ConfigError
from saescope.saes.base import SAE, TrainState
from saescope.saes.batch_topk import BatchTopKConfig, BatchTopKSAE
from saescope.saes.jumprelu import JumpReLUConfig, JumpReLUSAE
from saescope.saes.options import check_choice, check_switch
from saescope.saes.relu import ReLUConfig, ReLUSAE
from saescope.saes.topk import TopKConfig, TopKSAE
from saescope.shapes import Float, Tensor

START_NORM = 0.1
"""Of a fresh column of W_enc: the output of random latents, which is added to the error at first, stays small beside the target."""


@dataclass(frozen=True, kw_only=True)
class TranscoderConfig:
    """What the config of a transcoder has beside the options of its activation."""

    activation: str = "batch_topk"
    """Whose activation and loss it has: batch_topk, topk, relu or jumprelu."""
    skip: bool = False
    """Whether a linear map goes past the latents: x_hat += x @ W_skip."""

    def __post_init__(self):
        super().__post_init__()  # type: ignore[misc]  # of the rule's config, which comes next in the order of bases
        check_choice("activation", self.activation, [type(self).activation])
        check_switch("skip", self.skip)


class Transcoder(SAE):
    """Sparse map from the vectors at one hook point to those at another, such as from an MLP's input to its output.

        z       = x @ W_enc + b_enc
        x_hat   = latents @ W_dec + b_dec   (+ x @ W_skip)
        loss    = that of the activation's own architecture, against the target

    Latents and loss are inherited: `BatchTopKTranscoder` is a `BatchTopKSAE` whose target is another. b_dec is never subtracted
    from x, which lives in another space, and starts at the mean target; columns of W_enc are drawn independently of the rows
    of W_dec; W_skip starts at 0, and changes nothing then. Dead latents are not resampled: no input is a direction to write.
    Source: Dunefsky et al. 2024, "Transcoders find interpretable LLM feature circuits"; for the skip Paulo et al. 2025.
    We differ: W_dec starts at random unit rows.
    """

    architecture = "transcoder"
    transcodes = True
    tied = False
    homogeneous = False  # what random columns say of the target has no sign: a fitted scale would be noise around 0
    config_class: ClassVar[type[TranscoderConfig]]
    cfg: Any
    W_skip: Float[Tensor, "d_in d_out"]

    def __init__(self, d_in: int, d_sae: int, cfg: TranscoderConfig | None = None, *, d_out: int | None = None, seed: int | None = 0):
        super().__init__(d_in, d_sae, cfg or self.config_class(), d_out=d_out, seed=seed)
        with torch.no_grad():
            self.W_enc.mul_(START_NORM)
        if self.cfg.skip:
            self.W_skip = nn.Parameter(torch.zeros(self.d_in, self.d_out))

    @property
    def resample(self) -> Literal["off"]:
        return "off"

    def start_bias(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"]) -> Float[Tensor, " d_out"]:
        return target.mean(0)

    def past(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n d_out"]:
        """What the skip adds to x_hat: x @ W_skip."""
        return x @ self.W_skip

    def reconstruct(self, x: Float[Tensor, "*n d_in"], latents: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_out"]:
        return self.decode(latents) + self.past(x) if self.cfg.skip else self.decode(latents)

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        self.check_rows(x, target)
        # The latents' share of the target is what the skip leaves of it: the error is the same.
        left = target - self.past(x) if self.cfg.skip else target
        return super().loss(x, left, state)  # type: ignore[safe-super]


@dataclass(frozen=True, kw_only=True)
class BatchTopKTranscoderConfig(TranscoderConfig, BatchTopKConfig):
    """Options of `BatchTopKSAE`, and of transcoders."""


@dataclass(frozen=True, kw_only=True)
class TopKTranscoderConfig(TranscoderConfig, TopKConfig):
    """Options of `TopKSAE`, and of transcoders."""

    activation: str = "topk"


@dataclass(frozen=True, kw_only=True)
class ReLUTranscoderConfig(TranscoderConfig, ReLUConfig):
    """Options of `ReLUSAE`, and of transcoders."""

    activation: str = "relu"

    def __post_init__(self):
        super().__post_init__()
        if self.resample not in (None, "off"):
            raise ConfigError(f"resample={self.resample!r} was asked for. A transcoder's dead latents are not resampled: leave it out.")


@dataclass(frozen=True, kw_only=True)
class JumpReLUTranscoderConfig(TranscoderConfig, JumpReLUConfig):
    """Options of `JumpReLUSAE`, and of transcoders."""

    activation: str = "jumprelu"


class BatchTopKTranscoder(Transcoder, BatchTopKSAE):
    """`Transcoder` with the latents and the loss of `BatchTopKSAE`."""

    config_class = BatchTopKTranscoderConfig


class TopKTranscoder(Transcoder, TopKSAE):
    """`Transcoder` with the latents and the loss of `TopKSAE`."""

    config_class = TopKTranscoderConfig


class ReLUTranscoder(Transcoder, ReLUSAE):
    """`Transcoder` with the latents and the loss of `ReLUSAE`."""

    config_class = ReLUTranscoderConfig


class JumpReLUTranscoder(Transcoder, JumpReLUSAE):
    """`Transcoder` with the latents and the loss of `JumpReLUSAE`."""

    config_class = JumpReLUTranscoderConfig


TRANSCODERS: dict[str, tuple[type[SAE], type]] = {
    kind.config_class.activation: (kind, kind.config_class)
    for kind in (BatchTopKTranscoder, TopKTranscoder, ReLUTranscoder, JumpReLUTranscoder)
}
"""Class and config by activation."""
