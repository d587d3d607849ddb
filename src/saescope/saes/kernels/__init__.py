"""What the sparse path computes with: the same few operations by stock PyTorch, and by compiled loops where there is a compiler."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal, Protocol

import torch

from saescope.errors import ConfigError
from saescope.shapes import Float, Int, Tensor

Name = Literal["auto", "torch", "compiled"]
VARIABLE = "SAESCOPE_KERNELS"
"""Environment variable: torch, compiled, or auto (compiled where it can be built)."""
GROUP = 64
"""Most scores whose maximum stands for them when the k largest of a row are looked for."""


class Kernels(Protocol):
    """The operations. Each backend gives the same numbers up to the order of its sums."""

    name: str

    def candidates(
        self, scores: Float[Tensor, "rows d_sae"], floor: Float[Tensor, " d_sae"], per_token: int | None, error: float
    ) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
        """Row and latent of every score that may be above its floor and among its row's `per_token` largest, if each score may
        be off by `error`: all of those, and few others. Sorted by row, then latent."""
        ...

    def row_products(
        self, a: Float[Tensor, "n d"], b: Float[Tensor, "d_sae d"], token: Int[Tensor, " m"], latent: Int[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        """<a[token], b[latent]> of every pair, for pairs sorted by token."""
        ...


def kernels(device: torch.device, dtype: torch.dtype) -> Kernels:
    """The backend for tensors of this kind."""
    from saescope.saes.kernels.stock import STOCK

    fits = device.type == "cpu" and dtype == torch.float32 and _asked() != "torch"
    return (_compiled() if fits else None) or STOCK


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
    """Scores per maximum: at most 64, and few enough that the k largest maxima are not most of them."""
    group = GROUP
    while group > 1 and d_sae // group < 4 * k:
        group //= 2
    return group


def _asked() -> str:
    name = os.environ.get(VARIABLE, "auto")
    if name not in ("auto", "torch", "compiled"):
        raise ConfigError(f"{VARIABLE}={name} was set. It must be auto, torch or compiled.")
    return name


@lru_cache
def _compiled() -> Kernels | None:
    from saescope.saes.kernels.compiled import load

    return load()
