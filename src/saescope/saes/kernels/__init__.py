"""What the sparse path computes with: the same few operations by stock PyTorch, by compiled loops where there is a compiler, by Triton."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import torch

from saescope.errors import ConfigError
from saescope.shapes import Float, Int, Tensor

if TYPE_CHECKING:
    from saescope.saes.kernels.stock import Stock

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


def kernels(device: torch.device, dtype: torch.dtype) -> "Stock":
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
def _compiled() -> "Stock | None":
    from saescope.saes.kernels.compiled import load

    return load()


@lru_cache
def _triton() -> "Stock | None":
    """None, said once, where it is not installed: PyTorch's CUDA builds for Linux bring it."""
    try:
        from saescope.saes.kernels.triton_ops import Triton
    except ImportError as error:
        warnings.warn(f"Triton cannot be loaded, steps use PyTorch's operators: {error}", stacklevel=3)
        return None
    return Triton()
