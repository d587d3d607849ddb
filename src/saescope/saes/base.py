"""What every SAE is: four weights, `encode`, `decode`, `forward` for inference, and a `loss` that is its paper's equation."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn

from saescope.errors import ConfigError, WidthMismatch
from saescope.saes.init import unit_rows
from saescope.shapes import Bool, Float, Tensor


@dataclass(frozen=True)
class TrainState:
    """What `loss` may know of the run that it is part of."""

    step: int
    tokens: int
    sparsity_scale: float
    """Warm-up (times controller) of the sparsity term, >= 0."""
    dead: Bool[Tensor, " d_sae"]
    sparse: bool = True
    """Whether `loss` may take the sparse path (`sparse_ops`) where its architecture has one; False: the dense reference."""
    observed: dict[str, Tensor] = field(default_factory=dict)
    """A fresh dict per step that `loss` fills with detached facts: `fired` Bool[d_sae], `l0`, and `min_kept` (BatchTopK)."""


class SAE(nn.Module, ABC):
    """Sparse autoencoder on vectors of width d_in, with d_sae latents.

        latents = activate(pre_acts(x))         pre_acts = (x - b_dec) @ W_enc + b_enc
        x_hat   = latents @ W_dec + b_dec

    Weights are (in, out): `W_dec[i]` is the direction of latent i. `encode`, `decode` and `forward` are the inference
    function: one vector at a time, whatever the batch, the mode or the history. Only `loss` may use batch rules.

    Raises: ConfigError for widths below 1.
    """

    architecture: ClassVar[str]
    """Its name in the registry, on the command line and on disk."""
    unit_decoder: ClassVar[bool]
    """Whether rows of W_dec are kept at norm 1 (and the gradient along them removed)."""
    thresholds: ClassVar[tuple[str, ...]] = ()
    """Parameters and buffers in units of a latent, which scale with it."""

    cfg: Any
    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]

    def __init__(self, d_in: int, d_sae: int, cfg: Any, *, seed: int | None = 0):
        super().__init__()
        if d_in < 1 or d_sae < 1:
            raise ConfigError(f"an SAE of d_in={d_in}, d_sae={d_sae} was asked for. Both must be at least 1: set --d-sae or --expansion.")
        self.cfg = cfg
        rows_FD = torch.empty(d_sae, d_in) if seed is None else unit_rows(d_sae, d_in, seed)  # None: about to be loaded
        self.W_dec = nn.Parameter(rows_FD)
        # Latent-major in memory, so that one latent's encoder column is contiguous, as its decoder row is.
        self.W_enc = nn.Parameter(rows_FD.clone().T)
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.b_dec = nn.Parameter(torch.zeros(d_in))

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
        return x @ self.W_enc + self.encoder_bias()

    def encoder_bias(self) -> Float[Tensor, " d_sae"]:
        """What pre_acts adds to x @ W_enc."""
        return self.b_enc - self.b_dec @ self.W_enc

    @abstractmethod
    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        """Latents from pre-activations, at inference."""

    def training_latents(self, pre_acts: Float[Tensor, "n d_sae"]) -> Float[Tensor, "n d_sae"]:
        """Latents that `loss` reconstructs from; a batch rule where the paper has one."""
        return self.activate(pre_acts)

    def encode(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n d_sae"]:
        return self.activate(self.pre_acts(self.fitting(x)))

    def decode(self, latents: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_out"]:
        return latents @ self.W_dec + self.b_dec

    def forward(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n d_out"]:
        return self.decode(self.encode(x))

    @abstractmethod
    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        """Named terms, already multiplied by their coefficients; the training loop sums them."""

    @torch.no_grad()
    def constrain_(self) -> None:
        """After each optimizer step: decoder rows back to norm 1."""
        if self.unit_decoder:
            self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True).clamp_min(torch.finfo(self.W_dec.dtype).tiny))

    def fitting(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """x itself. Raises: WidthMismatch if its last dimension is not d_in."""
        if x.shape[-1] != self.d_in:
            raise WidthMismatch(f"the SAE reads d_in={self.d_in}, but got vectors of width {x.shape[-1]} (shape {tuple(x.shape)}).")
        return x

    def extra_repr(self) -> str:
        return f"d_in={self.d_in}, d_sae={self.d_sae}, {self.cfg}"


def check_k(k: int, d_sae: int) -> None:
    """Raises: ConfigError if k latents cannot be kept of d_sae."""
    if k > d_sae:
        raise ConfigError(
            f"k={k} latents per token were asked of an SAE with d_sae={d_sae}. k must be at most d_sae: lower --k or raise --d-sae."
        )
