"""What readers of other libraries' files share: JSON and safetensors, checked against each other before anything is allocated."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saescope.disk import sha256_of
from saescope.errors import CorruptArtifact, NotAnArtifact
from saescope.models.hook_point import HookPoint

if TYPE_CHECKING:
    import torch

JSON_BYTES = 2**24
"""Largest config that is read."""
LARGEST = 2**31
"""Widths above this are no widths."""
TEXT_CHARACTERS = 300
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")

Shapes = Mapping[str, tuple[int, ...]]


def read_table(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises: NotAnArtifact if there is none, CorruptArtifact if it is too large or no JSON object."""
    if not path.is_file():
        raise NotAnArtifact(f"{path} is missing. Copy the SAE's folder again, whole.")
    if (size := path.stat().st_size) > JSON_BYTES:
        raise CorruptArtifact(f"{path} has {size:,} bytes, too many for the config of an SAE. Copy it again.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptArtifact(f"{path} is not valid JSON ({str(error)[:200]}). Copy it again.") from error
    if not isinstance(data, dict):
        raise CorruptArtifact(f"{path} holds a {type(data).__name__}, but a table of fields was expected. Copy it again.")
    return data


def whole(config: Mapping[str, Any], name: str, path: Path) -> int:
    """A width or count in a config: a whole number from 1 on. Raises: CorruptArtifact."""
    value = config.get(name)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < LARGEST:
        stated = "does not say" if name not in config else f"says {str(value)[:40]!r} for"
        raise CorruptArtifact(f"{path} {stated} {name}, which must be a whole number from 1 on. Copy it again, or correct it.")
    return value


def text(value: Any) -> str | None:
    """A text of a config that may stand in a provenance, or None."""
    return value if isinstance(value, str) and 0 < len(value) <= TEXT_CHARACTERS and value.isprintable() else None


def hook_point_name(name: Any) -> str | None:
    """Our name of a hook point that another library names; None for a place that we have no name for."""
    stated = text(name)
    if stated is None:
        return None
    point = HookPoint.parse(stated)
    ours = point.layer is not None or not ("hook" in stated or stated.startswith("blocks."))
    return str(point) if ours else None


def source_facts(kind: str, weights: Path, **facts: Any) -> dict[str, Any]:
    """The part of a provenance that says which file of which library an SAE was read from."""
    return {"format": kind, "file": weights.name, "sha256": sha256_of(weights), **{key: v for key, v in facts.items() if v is not None}}


def refuse_pickle(path: Path) -> None:
    """Raises: NotAnArtifact if `path` is missing and a pickle lies there instead, or is one itself."""
    others = sorted(p.name for p in path.parent.iterdir() if p.suffix in _PICKLES) if not path.is_file() else []
    if others:
        raise NotAnArtifact(
            f"{path} is missing; the folder has {others[0]} instead, a pickle. A pickle can run code when it is opened, so it is not "
            "read here: save the weights as safetensors with the library that wrote them."
        )
    if not path.is_file():
        raise NotAnArtifact(f"{path} is missing. Copy the SAE's folder again, whole.")
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] != b"{" and (head[:1] == b"\x80" or head[:4] == b"PK\x03\x04"):  # safetensors: 8 bytes of length, then JSON
        raise NotAnArtifact(
            f"{path} is a pickle with the name of a safetensors file. A pickle can run code when it is opened, so it is not read: "
            "save the weights as safetensors with the library that wrote them."
        )


def load_safetensors(path: Path, needed: Shapes, optional: Shapes | None = None) -> "dict[str, torch.Tensor]":
    """The tensors of a file as float32, once its header has been found to state exactly these shapes.

    Raises: NotAnArtifact for a pickle, CorruptArtifact for other names, shapes or types than expected, and for NaN and infinity.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            check_shapes({name: tuple(part.get_shape()) for name, part in found.items()}, needed, optional or {}, path)
            for name, part in found.items():
                if part.get_dtype() not in _ITEM_BYTES:
                    raise CorruptArtifact(f"{path} holds {name} as {part.get_dtype()}, which is no weight. Copy the SAE again.")
            tensors = {name: file.get_tensor(name).to(torch.float32) for name in found}
    except SafetensorError as error:
        raise CorruptArtifact(f"{path} is not a readable safetensors file ({error}). Copy it again.") from error
    check_finite(tensors, path)
    return tensors


def check_shapes(found: Shapes, needed: Shapes, optional: Shapes, path: Path) -> None:
    """Raises: CorruptArtifact unless there are exactly the needed tensors, and perhaps optional ones, of these shapes."""
    expected = {**needed, **{name: shape for name, shape in optional.items() if name in found}}
    if missing := sorted(expected.keys() - found.keys()):
        raise CorruptArtifact(f"{path} has no {missing[0]}, only {', '.join(sorted(found))[:200]}. Copy the SAE again.")
    if unknown := sorted(found.keys() - expected.keys()):
        raise CorruptArtifact(
            f"{path} has a tensor {unknown[0][:60]!r} that its config does not account for: the SAE would be another function without "
            f"it. Expected: {', '.join(sorted(expected))}. Check the architecture in the config."
        )
    for name, shape in expected.items():
        if tuple(found[name]) != tuple(shape):
            raise CorruptArtifact(
                f"{path} holds {name} of shape {list(found[name])}, but the config beside it needs {list(shape)}. Copy both again."
            )


def check_finite(tensors: "Mapping[str, torch.Tensor]", path: Path) -> None:
    """Raises: CorruptArtifact for NaN and infinity."""
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise CorruptArtifact(f"{name} in {path} holds NaN or infinity. These weights were spoilt where they were made.")
