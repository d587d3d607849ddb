"""What every SAE is: four weights, `encode`, `decode`, `forward` for inference, and a `loss` that is its paper's equation."""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import torch
from torch import nn

from saescope.errors import ConfigError, WidthMismatch
from saescope.saes.code import Code, DenseCode, SparseCode
from saescope.saes.init import geometric_median, unit_rows
from saescope.saes.kernels import kernels
from saescope.saes.select import Bar, Encoder, Precision
from saescope.shapes import Bool, Float, Tensor


@dataclass(frozen=True)
class TrainState:
    """What `loss` may know of the run that it is part of."""

    step: int
    tokens: int
    sparsity_scale: float
    """Warm-up times L0 controller, >= 0: multiplies the sparsity term."""
    dead: Bool[Tensor, " d_sae"]
    sparse: bool = True
    """Whether `loss` computes on the pairs that matter (`SparseCode`); False: on the whole matrix, the reference."""
    precision: Precision = "fp32"
    """In which the pairs are looked for; their values are float32 always."""
    observed: dict[str, Tensor] = field(default_factory=dict)
    """A fresh dict per step that `loss` fills with detached facts: `fired` Bool[d_sae], `l0`, `min_kept` (BatchTopK), and others to log."""


class SAE(nn.Module, ABC):
    """Sparse autoencoder on vectors of width d_in, with d_sae latents.

        latents = activate(pre_acts(x))         pre_acts = (x - b_dec) @ W_enc + b_enc     (x @ W_enc + b_enc where not tied)
        x_hat   = latents @ W_dec + b_dec

    Weights are (in, out): `W_dec[i]` is the direction of latent i. `encode`, `decode` and `forward` are the inference
    function: one vector at a time, whatever the batch, the mode or the history. Only `loss` may use batch rules.

    Raises: ConfigError for widths below 1.
    """

    architecture: ClassVar[str]
    """Its name in the registry, on the command line and on disk."""
    unit_decoder: bool = True
    """Whether rows of W_dec are kept at norm 1 (and the gradient along them removed). Else their norm enters the penalty or score."""
    tied: bool = True
    """Whether b_dec is subtracted before the encoder."""
    thresholds: ClassVar[tuple[str, ...]] = ()
    """Parameters and buffers in units of a latent, which scale with it; b_enc is one always."""
    homogeneous: bool = True
    """Whether W_enc, b_enc and thresholds times c make latents times c, so that the encoder's first scale has a closed form."""
    transcodes: ClassVar[bool] = False
    """Whether its target is another hook point than it reads."""
    joins: ClassVar[bool] = False
    """Whether it reads several hook points, side by side."""
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    """Of Adam, by default."""
    lr: ClassVar[float] = 2e-3
    """Peak learning rate up to 4,096 latents, by default. See `training.optimizer.default_lr`."""

    cfg: Any
    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]

    def __init__(self, d_in: int, d_sae: int, cfg: Any, *, d_out: int | None = None, seed: int | None = 0):
        super().__init__()
        d_out = d_in if d_out is None else d_out
        if min(d_in, d_sae, d_out) < 1:
            raise ConfigError(
                f"an SAE of d_in={d_in}, d_sae={d_sae}, d_out={d_out} was asked for. Each must be at least 1: set --d-sae or --expansion."
            )
        if d_out != d_in and not self.transcodes:
            raise ConfigError(f"{self.architecture} reconstructs what it reads: d_out={d_out} must be d_in={d_in}. Use a transcoder.")
        self.cfg = cfg
        self.W_dec = nn.Parameter(_start(d_sae, d_out, seed))
        # Latent-major in memory, so that one latent's encoder column is contiguous, as its decoder row is.
        columns_FD = _start(d_sae, d_in, seed, "encoder") if self.transcodes else self.W_dec.detach().clone()
        self.W_enc = nn.Parameter(columns_FD.T)
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.b_dec = nn.Parameter(torch.zeros(d_out))

    @property
    def d_in(self) -> int:
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        return self.W_enc.shape[1]

    @property
    def d_out(self) -> int:
        return self.W_dec.shape[1]

    def pre_acts(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n d_sae"]:
        """(x - b_dec) @ W_enc + b_enc, with b_dec's part as one vector: its gradient then costs no second GEMM."""
        return x @ self.W_enc + self.encoder.shift

    @property
    def encoder(self) -> Encoder:
        """What makes pre_acts."""
        return Encoder(self.W_enc, self.b_enc, self.b_dec if self.tied else None)

    def decoder_norms(self) -> Float[Tensor, " d_sae"]:
        """||W_dec[i]||."""
        return self.W_dec.norm(dim=1)

    @abstractmethod
    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        """Latents from pre-activations, at inference."""

    def training_latents(self, pre_acts: Float[Tensor, "n d_sae"]) -> Float[Tensor, "n d_sae"]:
        """Latents that `loss` reconstructs from; a batch rule where the paper has one."""
        return self.activate(pre_acts)

    @property
    def bar(self) -> Bar:
        """Which pairs matter to `loss`: where the latent or one of its gradients may not be 0."""
        return Bar()

    def share(self, x: Float[Tensor, "n d_in"]) -> float:
        """The share of all pairs that matter."""
        return (self.pre_acts(x) > self.bar.floor).float().mean().item()

    def code(self, x: Float[Tensor, "n d_in"], state: TrainState) -> Code:
        """What `loss` computes its latents from: the pre-activations of x, all of them or those of the pairs that matter."""
        if state.sparse:
            return SparseCode.of(x, self.encoder, self.bar, state.precision)
        return DenseCode(self.pre_acts(x))

    def encode(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n d_sae"]:
        return self.activate(self.pre_acts(self.fitting(x)))

    def decode(self, latents: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_out"]:
        return latents @ self.W_dec + self.b_dec

    def reconstruct(self, x: Float[Tensor, "*n d_in"], latents: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_out"]:
        """x_hat of x, whose latents these are: what they decode to, and what goes past them (the skip of a transcoder)."""
        return self.decode(latents)

    def forward(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n d_out"]:
        return self.reconstruct(x, self.encode(x))

    @abstractmethod
    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        """Named terms, already multiplied by their coefficients; the training loop sums them."""

    def penalty(self, pre_acts: Float[Tensor, "n d_sae"]) -> Float[Tensor, " n"]:
        """The sparsity penalty of each token, with its coefficient but without `state.sparsity_scale`; 0 where sparsity is chosen."""
        return pre_acts.new_zeros(len(pre_acts))

    @property
    def wanted_l0(self) -> float | None:
        """The L0 that a penalised architecture was asked for, near which it starts; None where its coefficient decides."""
        return None

    @property
    def l0_target(self) -> float | None:
        """The L0 that the controller of the training loop is to reach by scaling the penalty; None: it leaves the penalty alone."""
        return self.wanted_l0

    @torch.no_grad()
    def shut_(self, threshold: float) -> None:
        """At the start, silence every latent below this pre-activation."""
        self.b_enc.fill_(-threshold)

    @property
    def resample(self) -> Literal["centred", "published", "off"]:
        """Whether the training loop gives dead latents new directions, and which: x - b_dec, or x as published."""
        return "off"

    @torch.no_grad()
    def enlarge_(self, c: float) -> None:
        """Multiply x_hat - b_dec by c > 0, by what makes the latents; half of it (sqrt(c)) by free rows of W_dec.

        Free rows that start small beside a large encoder would shrink away under the penalty.
        """
        share = c if self.unit_decoder else c**0.5
        weights = self.state_dict()
        for name in ("W_enc", "b_enc", *self.thresholds):
            if name in weights:
                weights[name].mul_(share)
        self.W_dec.mul_(c / share)

    def start_bias(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"]) -> Float[Tensor, " d_out"]:
        """b_dec at the start: the geometric median of x where it is tied, else 0."""
        return geometric_median(x) if self.tied else torch.zeros_like(self.b_dec)

    @torch.no_grad()
    def with_unit_decoder(self) -> Self:
        """The same function with rows of W_dec at norm 1: what reads latent i grows by ||W_dec[i]||.

        Not for one threshold of all latents (`tau`) over rows of unequal norm: a threshold for each would be needed.
        """
        unit = copy.deepcopy(self)
        norms = unit.decoder_norms()
        norms = torch.where(norms > 0, norms, 1)
        unit.W_dec.div_(norms[:, None])
        unit.W_enc.mul_(norms)
        for name in ("b_enc", *unit.thresholds):
            value = unit.state_dict().get(name)
            if value is not None and value.shape == norms.shape:
                value.mul_(norms)
        return unit

    @torch.no_grad()
    def constrain_(self) -> None:
        """After each optimizer step: decoder rows back to norm 1."""
        if self.unit_decoder:
            kernels(self.W_dec.device, self.W_dec.dtype).normalise_rows_(self.W_dec)

    def fitting(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """x itself. Raises: WidthMismatch if its last dimension is not d_in."""
        if x.shape[-1] != self.d_in:
            raise WidthMismatch(f"the SAE reads d_in={self.d_in}, but got vectors of width {x.shape[-1]} (shape {tuple(x.shape)}).")
        return x

    def check_rows(self, x: Float[Tensor, "*n d"], target: Float[Tensor, "*m e"]) -> None:
        """Raises: ConfigError unless `loss` is given as many rows x as rows target; WidthMismatch for rows of another width."""
        if x.ndim != 2 or target.ndim != 2 or len(x) != len(target) or len(x) == 0:
            raise ConfigError(
                f"loss was given x of shape {tuple(x.shape)} and a target of shape {tuple(target.shape)}. It takes rows: "
                f"x [n, {self.d_in}] and target [n, {self.d_out}], n at least 1. Flatten sequences first: x.reshape(-1, {self.d_in})."
            )
        self.fitting(x)
        if target.shape[1] != self.d_out:
            raise WidthMismatch(f"the SAE writes d_out={self.d_out}, but the target has width {target.shape[1]}.")

    def extra_repr(self) -> str:
        return f"d_in={self.d_in}, d_sae={self.d_sae}, {self.cfg}"


def check_k(k: int, d_sae: int) -> None:
    """Raises: ConfigError if k latents cannot be kept of d_sae."""
    if k > d_sae:
        raise ConfigError(
            f"k={k} latents per token were asked of an SAE with d_sae={d_sae}. k must be at most d_sae: lower --k or raise --d-sae."
        )


def _start(n: int, d: int, seed: int | None, *counters: str) -> Float[Tensor, "n d"]:
    return torch.empty(n, d) if seed is None else unit_rows(n, d, seed, *counters)  # None: about to be loaded
