"""SAEs on disk: `manifest.json` (architecture, shape, provenance) beside `weights-<sha12>.safetensors`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from saescope.errors import CorruptArtifact
from saescope.files import ArtifactWriter, Manifest, load_tensors, read_manifest, reading
from saescope.saes.base import SAE
from saescope.saes.registry import build, describe

SCHEMA, VERSION = "saescope.sae", 1


def save(sae: SAE, folder: Path | str, provenance: Mapping[str, Any] | None = None) -> Manifest:
    """Commit an SAE that takes raw activations to a folder. What the folder held before stays until this is whole."""
    writer = ArtifactWriter(folder, SCHEMA, VERSION, site="sae")
    writer.add_tensors("weights", sae.state_dict())
    return writer.commit(config=describe(sae), provenance=provenance)


def load(folder: Path | str, *, device: str | torch.device = "cpu") -> SAE:
    """The SAE of a folder. Raises: NotAnArtifact, CorruptArtifact, NewerSchema."""
    manifest = read_manifest(folder, SCHEMA, VERSION)
    config = manifest.config
    with reading(folder, "SAE"):
        shape = str(config["architecture"]), int(config["d_in"]), int(config["d_sae"]), dict(config["options"])
        d_out = int(config["d_out"])
        with torch.device("meta"):  # nothing is allocated before the file's shapes are known to fit the config
            sae = build(*shape, d_out=d_out, seed=None)
    expected = {name: list(tensor.shape) for name, tensor in sae.state_dict().items()}
    stated = {name: entry["shape"] for name, entry in manifest.tensors.items()}
    if stated != expected:
        raise CorruptArtifact(f"the manifest in {folder} states tensors {stated}, but its config needs {expected}. Copy the SAE again.")
    tensors = load_tensors(folder, manifest, manifest.file("weights"))
    found = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if found != expected:
        raise CorruptArtifact(f"the weights in {folder} have tensors {found}, but its config needs {expected}. Copy the SAE again.")
    sae = build(*shape, d_out=d_out, seed=None)
    sae.load_state_dict(tensors)
    return sae.to(device).requires_grad_(False)


def sae_sha256(sae: Any) -> str:
    """12 hex digits over a dictionary's tensors, by which results and feature bundles know which SAE they are of.

    Of a dictionary that is no module (raw neurons), over what it is: type and widths.
    """
    digest = hashlib.sha256(f"{type(sae).__name__} {sae.d_in} {sae.d_sae}".encode())
    for name, tensor in sorted(sae.state_dict().items()) if isinstance(sae, torch.nn.Module) else ():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:12]


def read_provenance(folder: Path | str) -> dict[str, Any]:
    """Where an SAE came from: model and revision, hook points, corpus, BOS policy, hashes."""
    return dict(read_manifest(folder, SCHEMA, VERSION).provenance)
