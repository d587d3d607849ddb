"""What every verb that reads an SAE takes: a run, or an SAE folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saescope.errors import NotAnArtifact
from saescope.files import MANIFEST
from saescope.run_folder import RunFolder
from saescope.saes.base import SAE
from saescope.saes.storage import load, read_provenance


@dataclass(frozen=True)
class OpenedSAE:
    """An SAE with what is known of it."""

    sae: SAE
    folder: Path
    """Where its weights lie."""
    provenance: dict[str, Any]
    run: RunFolder | None
    """The run that it belongs to."""


def open_sae(path: Path | str, *, device: str | torch.device = "cpu") -> OpenedSAE:
    """The SAE of a run directory or an SAE folder.

    Raises: NotAnArtifact, CorruptArtifact, NewerSchema.
    """
    path = Path(path)
    advice = "Give a run (config.json and sae/), or an SAE folder (manifest.json and weights)."
    run = RunFolder(path)
    if run.read_config() is not None:
        if not (run.sae / MANIFEST).is_file():
            raise NotAnArtifact(f"the run {path} has no SAE yet. Finish it with the command that started it.")
        return OpenedSAE(load(run.sae, device=device), run.sae, read_provenance(run.sae), run)
    if not path.is_dir():
        raise NotAnArtifact(f"{path} is no folder. {advice}")
    if not (path / MANIFEST).is_file():
        raise NotAnArtifact(f"{path} holds no run and no SAE. {advice}")
    return OpenedSAE(load(path, device=device), path, read_provenance(path), None)
