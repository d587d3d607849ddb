"""Checkpoints: all that a run is not a function of, in `checkpoints/step-000003000/`; two are kept.

Learning rate, warm-ups, mixing pool and random draws are functions of the step and are not saved.
"""

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from saescope.errors import ArtifactError, ProvenanceMismatch
from saescope.files import MANIFEST, ArtifactWriter, load_tensors, read_manifest
from saescope.shapes import Tensor

if TYPE_CHECKING:
    from saescope.training.trainee import Trainee

SCHEMA, VERSION = "saescope.checkpoint", 1
KEPT = 2


@dataclass(frozen=True)
class Progress:
    """The scalars of a checkpoint."""

    step: int
    skipped_steps: int
    facts: dict[str, dict[str, Any]]
    """The last record of each SAE."""


def save_checkpoint(folder: Path, trainees: "Mapping[str, Trainee]", progress: Progress, stamp: Mapping[str, Any]) -> Path:
    """Commit the state after `progress.step` steps, then drop all but the newest two. `stamp` says what run this is part of."""
    path = step_folder(folder, progress.step)
    writer = ArtifactWriter(path, SCHEMA, VERSION, site="ckpt")
    tensors = {f"{name}/{key}": tensor for name, trainee in trainees.items() for key, tensor in trainee.state().items()}
    writer.add_tensors("rank-00-of-01", tensors)
    scalars = {**vars(progress), "saes": {name: trainee.scalars() for name, trainee in trainees.items()}}
    writer.commit(config=stamp, state=scalars)
    for old in _steps(folder)[:-KEPT]:
        shutil.rmtree(old)
    return path


def step_folder(folder: Path, step: int) -> Path:
    """The folder of the checkpoint after so many steps."""
    return folder / f"step-{step:09d}"


def load_checkpoint(folder: Path, trainees: "Mapping[str, Trainee]", stamp: Mapping[str, Any]) -> Progress | None:
    """Put the newest valid checkpoint into `trainees`; None where there is none. An invalid one is skipped with a warning.

    Raises: ProvenanceMismatch if it belongs to another run, naming what differs.
    """
    for path in reversed(_steps(folder)):
        if not (path / MANIFEST).is_file():
            continue  # its process was killed before the commit: nothing has happened there
        try:
            manifest = read_manifest(path, SCHEMA, VERSION)
            tensors = load_tensors(path, manifest, manifest.file("rank-00-of-01"))
        except ArtifactError as error:
            warnings.warn(f"skipped an unusable checkpoint: {error}", stacklevel=2)
            continue
        if manifest.config != dict(stamp):
            differing = sorted(key for key in {*manifest.config, *stamp} if manifest.config.get(key) != stamp.get(key))
            raise ProvenanceMismatch(f"the checkpoint {path} is of another run: {', '.join(differing)} differ. Start anew with --replace.")
        for name, trainee in trainees.items():
            own = {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}
            trainee.load_state(own, manifest.state["saes"][name])
        return Progress(*(manifest.state[field] for field in ("step", "skipped_steps", "facts")))
    return None


def newest_step(folder: Path) -> int:
    """The step of the newest committed checkpoint; 0 where there is none."""
    committed = [path for path in _steps(folder) if (path / MANIFEST).is_file()]
    return int(committed[-1].name.removeprefix("step-")) if committed else 0


def adam_state(optimizer: torch.optim.Adam, names: Mapping[str, torch.nn.Parameter]) -> dict[str, Tensor]:
    """Adam's moments and step counts by parameter name."""
    return {f"adam/{kind}/{name}": value for name, p in names.items() for kind, value in optimizer.state.get(p, {}).items()}


def load_adam_state(optimizer: torch.optim.Adam, names: Mapping[str, torch.nn.Parameter], tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `adam_state`; moments get their parameter's memory layout, on which the last bits depend."""
    for name, p in names.items():
        if f"adam/step/{name}" not in tensors:
            continue  # frozen
        state: dict[str, Tensor] = {"step": tensors[f"adam/step/{name}"].clone()}
        for kind in ("exp_avg", "exp_avg_sq"):
            state[kind] = torch.zeros_like(p, memory_format=torch.preserve_format).copy_(tensors[f"adam/{kind}/{name}"])
        optimizer.state[p] = state


def _steps(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())
