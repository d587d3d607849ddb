"""Gemma Scope's folders: one `params.npz`, read."""

import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saescope.errors import CorruptArtifact
from saescope.interop.assemble import assemble
from saescope.interop.foreign import check_finite, check_shapes, source_facts
from saescope.saes.base import SAE

WEIGHTS = "params.npz"
FILES = (WEIGHTS,)
_HEADER_BYTES = 4096
_MOST_COMPRESSED = 20
"""Arrays of weights hardly compress; a file that states more than this many times its size is not opened."""
_KINDS = {"res": "resid_post", "mlp": "mlp_out", "att": "attn_z"}
_RELEASE = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att|transcoders)")
_LAYER = re.compile(r"layer_(\d+)")


def read(folder: Path | str) -> SAE:
    """The JumpReLU SAE of a folder of the release; one whose path says "transcoders" is read as a transcoder.

    Raises: NotAnArtifact, CorruptArtifact.
    """
    path = Path(folder) / WEIGHTS
    arrays = _load(path)
    weights = {_our_name(name): torch.from_numpy(array).float() for name, array in arrays.items()}
    check_finite(weights, path)
    weights["theta"].clamp_(min=0)
    kind, options = ("transcoder", {"activation": "jumprelu"}) if _place(path).get("kind") == "transcoders" else ("jumprelu", {})
    return assemble(kind, weights, options, tied=False)


def read_provenance(folder: Path | str) -> dict[str, Any]:
    """What the names of the folders say of model and hook point (the file says nothing), and under `source` what was read."""
    path = Path(folder) / WEIGHTS
    place = _place(path)
    source = source_facts("gemma_scope", path, release=place.get("release"))
    facts: dict[str, Any] = {"context_length": 1024, "bos": "first", "source": source}
    if "size" in place:
        facts["model"] = f"google/gemma-2-{place['size']}" + ("-it" if place["tuning"] == "it" else "")
    if "layer" in place and (kind := _KINDS.get(place.get("kind", ""))):
        facts["hook_points"] = [f"blocks.{place['layer']}.{kind}"]
    return facts


def _place(path: Path) -> dict[str, str]:
    """What the path says: release, size, tuning, kind, layer."""
    stated = path.absolute().as_posix()
    release, layers = _RELEASE.search(stated), _LAYER.findall(stated)
    place = {"layer": str(int(layers[-1]))} if layers else {}
    if release:
        place |= {"release": release[0], "size": release[1], "tuning": release[2], "kind": release[3]}
    return place


def _our_name(name: str) -> str:
    return "theta" if name == "threshold" else name


def _load(path: Path) -> Mapping[str, np.ndarray]:
    """The arrays, once their headers have been found to fit each other and the file. Raises: CorruptArtifact."""
    try:
        with zipfile.ZipFile(path) as archive:
            headers = {part.filename.removesuffix(".npy"): _header(archive, part) for part in archive.infolist()}
            stated = sum(part.file_size for part in archive.infolist())
        if stated > _MOST_COMPRESSED * path.stat().st_size:
            raise CorruptArtifact(f"{path} states {stated:,} bytes, more than {_MOST_COMPRESSED} times its size. Copy it again.")
        d_in, d_sae = headers["W_enc"] if len(headers.get("W_enc", ())) == 2 else (0, 0)
        d_out = headers["b_dec"][0] if len(headers.get("b_dec", ())) == 1 else 0
        shapes: dict[str, tuple[int, ...]] = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_out), "b_enc": (d_sae,), "b_dec": (d_out,)}
        check_shapes(headers, shapes | {"threshold": (d_sae,)}, {}, path)
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in headers}
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, KeyError, NotImplementedError) as error:
        raise CorruptArtifact(f"{path} is not a readable .npz file ({str(error)[:200]}). Copy it again.") from error


def _header(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> tuple[int, ...]:
    """The shape that one member states. Raises: ValueError unless it is of floats and as long as that."""
    with archive.open(part) as file:
        version = np.lib.format.read_magic(file)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if reader is None:
            raise ValueError(f"{part.filename} has the header version {version}")
        shape, _, dtype = reader(file, max_header_size=_HEADER_BYTES)
        start = file.tell()
    if dtype.kind != "f" or start + math.prod(shape) * dtype.itemsize != part.file_size:
        raise ValueError(f"{part.filename} states {shape} of {dtype}, which is not what it holds")
    return shape
