"""What the sparse path computes with: the same few operations by stock PyTorch, by compiled loops where there is a compiler, by Triton."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, get_args

import torch

from saescope.errors import ConfigError
from saescope.shapes import Float, Int, Tensor

Name = Literal["auto", "torch", "compiled", "triton"]
VARIABLE = "SAESCOPE_KERNELS"
"""Environment variable: torch; compiled (CPU); triton (CUDA; a CPU by its interpreter); or auto, the fastest that there is."""
GROUP = 64
"""Most scores whose maximum stands for them when the k largest of a row are looked for."""
ROUNDING = 2.0**-8
"""Relative error of a number rounded to bf16, with some room."""


@dataclass(frozen=True)
class Chosen:
    """Pairs of some rows, sorted by row."""

    row: Int[Tensor, " m"]
    latent: Int[Tensor, " m"]
    value: Float[Tensor, " m"]
    certain: bool
    """Whether no score that was looked at was off by more than had been allowed for."""


class Kernels(Protocol):
    """The operations. Each backend gives the same numbers up to the order of its sums."""

    name: str

    def choose(
        self,
        scores: Float[Tensor, "rows d_sae"],
        x: Float[Tensor, "rows d_in"],
        W: Float[Tensor, "d_sae d_in"],
        bias: Float[Tensor, " d_sae"],
        floor: Float[Tensor, " d_sae"],
        per_token: int | None,
        slack: Float[Tensor, " rows"] | None,
    ) -> Chosen:
        """The pre-activations above their latent's floor and among their row's `per_token` largest.

        They are scores + bias; with a slack, scores are bf16 products that may be off by it and by rounding, which decide only
        what is looked at: <x, W[latent]> + bias is then computed anew for every pair that may belong.
        """
        ...

    def row_products(
        self, a: Float[Tensor, "n d"], b: Float[Tensor, "d_sae d"], token: Int[Tensor, " m"], latent: Int[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        """<a[token], b[latent]> of every pair, for distinct pairs sorted by token."""
        ...

    def row_sums(
        self, index: Int[Tensor, " m"], weights: Float[Tensor, " m"], rows: Float[Tensor, "n d"], starts: Int[Tensor, " segments"]
    ) -> Float[Tensor, "segments d"]:
        """The sum of weight * rows[index] over each segment of the pairs; segment s begins at starts[s], where s - 1 ends."""
        ...

    def decode_gradients(
        self,
        g: Float[Tensor, "n d"],
        W_dec: Float[Tensor, "d_sae d"],
        values: Float[Tensor, " m"],
        token: Int[Tensor, " m"],
        latent: Int[Tensor, " m"],
        starts: Int[Tensor, " d_sae"],
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, "d_sae d"]]:
        """Of x_hat[n] = sum of value * W_dec[latent], whose gradient is g: that of the values and that of W_dec. Pairs are sorted by
        latent, those of latent i begin at starts[i]."""
        ...

    def project_rows_(self, g: Float[Tensor, "n d"], w: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """g_i -= <g_i, w_i> w_i; returns ||g_i||^2 after it."""
        ...

    def normalise_rows_(self, w: Float[Tensor, "n d"]) -> None:
        """w_i /= ||w_i||; a row of zeros stays."""
        ...


def kernels(device: torch.device, dtype: torch.dtype) -> Kernels:
    """The backend for tensors of this kind."""
    from saescope.saes.kernels.stock import STOCK

    asked = _asked()
    if asked == "torch":
        return STOCK
    if asked == "triton" and device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ConfigError(f"{VARIABLE}=triton was set, but the device is a CPU, where Triton runs by TRITON_INTERPRET=1 alone. Unset it.")
    if asked == "triton" or device.type == "cuda":
        return _triton() or STOCK
    return (_compiled() if device.type == "cpu" and dtype == torch.float32 else None) or STOCK


@contextmanager
def using(name: Name) -> Iterator[None]:
    """While it lasts, this backend."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


def group_size(d_sae: int, k: int) -> int:
    """Scores per maximum: at most 64, a power of 2 that divides d_sae, and few enough that the k largest maxima are not most of them."""
    group = GROUP
    while group > 1 and (d_sae // group < 4 * k or d_sae % group):
        group //= 2
    return group


def _asked() -> str:
    name = os.environ.get(VARIABLE, "auto")
    if name not in get_args(Name):
        raise ConfigError(f"{VARIABLE}={name} was set. It must be one of {', '.join(get_args(Name))}.")
    return name


@lru_cache
def _compiled() -> Kernels | None:
    from saescope.saes.kernels.compiled import load

    return load()


@lru_cache
def _triton() -> Kernels | None:
    """None, said once, where it is not installed: PyTorch's CUDA builds for Linux bring it."""
    try:
        from saescope.saes.kernels.triton_ops import Triton
    except ImportError as error:
        warnings.warn(f"Triton cannot be loaded, steps use PyTorch's operators: {error}", stacklevel=3)
        return None
    return Triton()
