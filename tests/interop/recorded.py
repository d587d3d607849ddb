"""Numbers that other libraries computed, recorded by benchmarks/record_golden.py."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "interop"
LIBRARIES = ("saelens", "dictionary_learning", "gemma_scope")


@cache
def arrays(library: str, file: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / library / f"{file}.npz", allow_pickle=False) as data:
        return {name: torch.from_numpy(data[name]) for name in data.files}


def cases(library: str) -> list[str]:
    """The SAEs that a library saved."""
    return sorted({name.partition("/")[0] for name in arrays(library, "encode")})


def folder(library: str, case: str) -> Path:
    if library == "gemma_scope":
        return next((GOLDEN / library).rglob("params.npz")).parent
    return GOLDEN / library / case


def of(library: str, file: str, case: str) -> dict[str, torch.Tensor]:
    """The arrays of one case, by their names below it."""
    return {name.partition("/")[2]: value for name, value in arrays(library, file).items() if name.partition("/")[0] == case}


def facts(library: str, case: str) -> dict[str, Any]:
    """Options and loss terms of one trainer."""
    return json.loads((GOLDEN / library / "losses.json").read_text())[case]


def part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}
