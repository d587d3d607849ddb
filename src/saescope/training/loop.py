"""The one training loop, for every architecture, for one SAE or many on the same stream."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saescope.activations.scale import SAMPLE_TOKENS, estimate_scales
from saescope.activations.shuffle import PoolPlan
from saescope.activations.source import ActivationSource
from saescope.errors import ConfigError, TrainingDiverged
from saescope.files import canonical_json
from saescope.saes.base import SAE
from saescope.saes.registry import describe
from saescope.shapes import Tensor
from saescope.training.allocator import keep_freed_memory
from saescope.training.checkpoint import Progress, load_checkpoint, save_checkpoint, step_folder
from saescope.training.config import TrainConfig
from saescope.training.interrupts import StopRequest
from saescope.training.objective import Objective, reconstruction
from saescope.training.optimizer import lr_factor
from saescope.training.resample import fresh_rows
from saescope.training.trainee import Job, Trainee

__all__ = ["Job", "TrainReport", "train"]

LARGEST_RUN_OF_SKIPS = 3


@dataclass(frozen=True)
class TrainReport:
    """What a run did: the SAEs by name (on raw activations), and facts about each."""

    saes: dict[str, SAE]
    facts: dict[str, dict[str, Any]]
    """Last record of each SAE: its loss terms, fvu of the last batches, l0, dead share, input_scale, lr."""
    steps: int
    tokens: int
    skipped_steps: int
    seconds: float
    """Of this process; a resumed run counts from its start."""

    @property
    def sae(self) -> SAE:
        """The only SAE of a run of one."""
        (only,) = self.saes.values()
        return only


def train(
    jobs: SAE | Job | Mapping[str, SAE | Job],
    source: ActivationSource,
    cfg: TrainConfig,
    *,
    objective: Objective = reconstruction,
    record: Callable[[dict[str, Any]], None] | None = None,
    checkpoints: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> TrainReport:
    """Train one SAE, or several on the same batches in the same order; `a` beside `b` is `a` alone.

    The SAEs are trained in place, on inputs scaled to unit mean square; at the end they take raw activations. With a
    `checkpoints` folder, the newest checkpoint there is continued, one is written every `cfg.checkpoint_minutes`, and SIGTERM
    or Ctrl-C write one more before they end the run.

    Raises: WidthMismatch, ConfigError; TrainingDiverged after three steps in a row without a finite loss; NonFiniteActivations.
    """
    trainees = {name: Trainee(job, source.slices, cfg) for name, job in _named(jobs).items()}
    stamp = _stamp(trainees, source, cfg, objective)
    begun = time.monotonic()
    resumed = load_checkpoint(checkpoints, trainees, stamp) if checkpoints else None
    if resumed is None:
        scales, sample = estimate_scales(source, seed=cfg.seed, n_tokens=min(SAMPLE_TOKENS, cfg.tokens))
        for trainee in trainees.values():
            trainee.start(scales, sample)
        resumed = Progress(0, 0, {})
    step, skipped, facts = resumed.step, resumed.skipped_steps, resumed.facts
    d_row = max(columns.stop for columns in source.slices.values())
    plan = PoolPlan.fitting(n_tokens=cfg.tokens, batch_tokens=cfg.batch_tokens, d_row=d_row, seed=cfg.seed)
    saver = _Saver(checkpoints, trainees, stamp, cfg, resumed.step)
    skips_in_row = 0
    with StopRequest() as stop, _flush_denormal(), keep_freed_memory():
        for step, batch in enumerate(objective.batches(source, plan, resumed.step), start=resumed.step + 1):
            happened = {name: trainee.step(batch, step - 1, objective) for name, trainee in trainees.items()}
            bad = [name for name, what in happened.items() if what is None]
            skipped, skips_in_row = (skipped + 1, skips_in_row + 1) if bad else (skipped, 0)
            if skips_in_row == LARGEST_RUN_OF_SKIPS:
                raise TrainingDiverged(_divergence(bad, step, skips_in_row, cfg, saver.last))
            if not bad and (step % cfg.log_steps == 0 or step == plan.n_steps):
                facts = {name: _facts(trainees[name], what or {}, step) for name, what in happened.items()}
                if record:
                    record({"step": step, "tokens": step * cfg.batch_tokens, "skipped_steps": skipped, "saes": facts})
            if resampling := [trainee for trainee in trainees.values() if trainee.resampling_due(step)]:
                rows = fresh_rows(source, cfg, step * cfg.batch_tokens + plan.rows)
                for trainee in resampling:
                    trainee.resample(rows, step)
            if progress:
                progress(step * cfg.batch_tokens)
            if stop.requested or (saver.due(step) and step < plan.n_steps):
                saver.save(Progress(step, skipped, facts))
                stop.obey(saver.last)
    if skips_in_row:
        raise TrainingDiverged(_divergence(list(trainees), step, skips_in_row, cfg, saver.last))
    saver.refuse_broken_weights()
    saes = {name: trainee.finish(name) for name, trainee in trainees.items()}
    return TrainReport(saes, facts, step, step * cfg.batch_tokens, skipped, time.monotonic() - begun)


def _named(jobs: SAE | Job | Mapping[str, SAE | Job]) -> dict[str, Job]:
    named = jobs if isinstance(jobs, Mapping) else {"sae": jobs}
    if not named:
        raise ConfigError("train() was given no SAE. Pass one, or a mapping of names to SAEs.")
    return {name: job if isinstance(job, Job) else Job(job) for name, job in named.items()}


def _stamp(trainees: Mapping[str, Trainee], source: ActivationSource, cfg: TrainConfig, objective: Objective) -> dict[str, Any]:
    """All that a checkpoint must share with the run that continues it."""
    free = ("log_steps", "checkpoint_minutes", "checkpoint_steps")
    asked = {name: value for name, value in vars(cfg).items() if name not in free}
    own = {name: {**describe(t.sae), "lr": t.lr, **_read(t), "fresh": t.job.fresh, "only": t.job.only} for name, t in trainees.items()}
    # As JSON gives it back, so that it equals what a checkpoint's manifest holds.
    return json.loads(canonical_json({"saes": own, "train": asked, "source": dict(source.provenance), "objective": objective.stated}))


def _read(trainee: Trainee) -> dict[str, Any]:
    columns = trainee.columns
    return {"read": [str(point) for point in columns.read], "target": str(columns.target) if columns.target else None}


def _facts(trainee: Trainee, happened: Mapping[str, Tensor], step: int) -> dict[str, Any]:
    """A record of one SAE: batch values of its loss terms, fvu and l0, the share of dead latents, the learning rate."""
    values = {name: value.item() for name, value in happened.items()}
    variance = values.pop("variance")
    squared_error = values.pop("squared_error", values.get("mse"))
    state = trainee.state_at(step - 1)
    scales = list(trainee.columns.scales.values())
    return {
        **values,
        "fvu": squared_error / variance if variance and squared_error is not None else None,
        "dead": state.dead.float().mean().item(),
        "dead_after_tokens": trainee.dead.after,
        "resampled": trainee.resampled,
        "sparsity_scale": state.sparsity_scale,
        "pairs": trainee.path.share,
        "sparse": trainee.path.sparse,
        "lr": trainee.lr * lr_factor(step - 1, trainee.cfg),
        "input_scale": scales[0],
        **({"scales": trainee.columns.scales} if len(scales) > 1 else {}),
        "scale_outliers": trainee.columns.n_outliers,
    }


def _divergence(bad: list[str], step: int, n_skips: int, cfg: TrainConfig, last: Path | None) -> str:
    first = (step - n_skips) * cfg.batch_tokens
    kept = f"The last checkpoint is {last}." if last else "No checkpoint was written yet."
    return (
        f"the loss of {', '.join(bad)} was not finite in the last {n_skips} steps "
        f"(tokens {first:,} to {step * cfg.batch_tokens:,}). {kept} Lower --lr, and start anew with --replace."
    )


class _Saver:
    """Writes checkpoints when they are due; nothing without a folder."""

    def __init__(self, folder: Path | None, trainees: Mapping[str, Trainee], stamp: Mapping[str, Any], cfg: TrainConfig, first_step: int):
        self.folder, self.trainees, self.stamp, self.cfg = folder, trainees, stamp, cfg
        self.last: Path | None = step_folder(folder, first_step) if folder and first_step else None
        self.saved_at = time.monotonic()

    def due(self, step: int) -> bool:
        if self.cfg.checkpoint_steps is not None:
            return step % self.cfg.checkpoint_steps == 0
        return time.monotonic() - self.saved_at >= 60 * self.cfg.checkpoint_minutes

    def refuse_broken_weights(self) -> None:
        """Raises: TrainingDiverged if a weight is NaN or Inf: such weights are never saved."""
        for name, trainee in self.trainees.items():
            if not all(bool(p.isfinite().all()) for p in trainee.sae.parameters()):
                kept = f"The last checkpoint is {self.last}." if self.last else "No checkpoint was written yet."
                raise TrainingDiverged(f"weights of {name} are no longer finite. {kept} Lower --lr, and start anew with --replace.")

    def save(self, progress: Progress) -> None:
        self.refuse_broken_weights()
        if self.folder is not None:
            self.last = save_checkpoint(self.folder, self.trainees, progress, self.stamp)
        self.saved_at = time.monotonic()


@contextmanager
def _flush_denormal() -> Iterator[None]:
    """Denormal floats cost hundreds of cycles each in Adam's moments; the setting is put back afterwards."""
    before = (torch.full((), 1e-38) * 1e-3).item() == 0.0  # torch sets it, but does not tell
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
