"""What the sparse path computes with: the same few operations by stock PyTorch, and by compiled loops where there is a compiler."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    """Scores per maximum: at most 64, a power of 2 that divides d_sae, and few enough that the k largest maxima are not most of them."""
    group = GROUP
    while group > 1 and (d_sae // group < 4 * k or d_sae % group):
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
