"""What every verb that reads an SAE takes: a run, an SAE folder, or the folder of another library."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saescope.errors import ConfigError, NotAnArtifact
from saescope.files import MANIFEST
from saescope.interop import dictionary_learning, gemma_scope, saelens
from saescope.interop.foreign import refuse_pickle
from saescope.run_folder import RunFolder
from saescope.saes.base import SAE
from saescope.saes.storage import load, read_provenance

OURS = "saescope"


@dataclass(frozen=True)
class Format:
    """A folder of another library: the files by which it is known, and how it is read."""

    files: tuple[str, ...]
    read: Callable[[Path], SAE]
    read_provenance: Callable[[Path], dict[str, Any]]


FORMATS = {
    "saelens": Format(saelens.FILES, saelens.read, saelens.read_provenance),
    "dictionary_learning": Format(dictionary_learning.FILES, dictionary_learning.read, dictionary_learning.read_provenance),
    "gemma_scope": Format(gemma_scope.FILES, gemma_scope.read, gemma_scope.read_provenance),
}
ADVICE = (
    "Give a run (config.json and sae/), or an SAE folder (manifest.json and weights), or a folder of another library: "
    + ", ".join(f"{name} ({' and '.join(form.files)})" for name, form in FORMATS.items())
    + "."
)


@dataclass(frozen=True)
class OpenedSAE:
    """An SAE with what is known of it."""

    sae: SAE
    folder: Path
    """Where its weights lie."""
    provenance: dict[str, Any]
    run: RunFolder | None
    """The run that it belongs to; of several SAEs of a run, the folder that is this one's own."""
    format: str = OURS
    """"saescope", or the library that saved it."""


def open_sae(path: Path | str, *, device: str | torch.device = "cpu") -> OpenedSAE:
    """The SAE of a run directory, of one SAE of a run (runs/x/saes/NAME), of an SAE folder, or of another library's folder.

    Raises: NotAnArtifact, CorruptArtifact, NewerSchema, ConfigError (a foreign SAE that no class of ours can be).
    """
    path = Path(path)
    if not path.is_dir():
        nearby = f" but a file; its folder is {path.parent}" if path.is_file() else ""
        raise NotAnArtifact(f"{path} is no folder{nearby}. {ADVICE}")
    run = RunFolder(path)
    is_run = run.read_config() is not None
    if (run.sae / MANIFEST).is_file() and (is_run or not (path / MANIFEST).is_file()):
        return OpenedSAE(load(run.sae, device=device), run.sae, read_provenance(run.sae), run)
    if is_run:
        raise NotAnArtifact(_without_sae(run))
    if (path / MANIFEST).is_file():
        return OpenedSAE(load(path, device=device), path, read_provenance(path), None)
    name = _foreign_format(path)
    return OpenedSAE(FORMATS[name].read(path).to(device), path, FORMATS[name].read_provenance(path), None, name)


def _without_sae(run: RunFolder) -> str:
    several = sorted(folder.name for folder in run.saes.iterdir() if (folder / "sae" / MANIFEST).is_file()) if run.saes.is_dir() else []
    if several:
        return f"the run {run.path} holds several SAEs: {', '.join(several)}. Name one: {run.saes / several[0]}"
    return f"the run {run.path} has no SAE yet. Finish it with the command that started it."


def _foreign_format(path: Path) -> str:
    """Raises: NotAnArtifact where no library's files lie, or a pickle in place of its weights; ConfigError where those of two do."""
    fitting = [name for name, form in FORMATS.items() if all((path / file).is_file() for file in form.files)]
    if len(fitting) > 1:
        raise ConfigError(f"{path} holds the files of {' and of '.join(fitting)}. Move those of one of them to a folder of its own.")
    if fitting:
        return fitting[0]
    if (path / saelens.CONFIG).is_file():
        refuse_pickle(path / saelens.WEIGHTS)
    raise NotAnArtifact(f"{path} holds no run and no SAE. {ADVICE}")
