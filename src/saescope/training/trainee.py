"""One SAE in training: its columns of the stream, its optimizer, its counters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from saescope.errors import ConfigError, WidthMismatch
from saescope.saes.base import SAE, TrainState
from saescope.saes.fold import fold, unfold
from saescope.saes.init import fit_to_sample_
from saescope.saes.losses import variance
from saescope.shapes import Float, Tensor
from saescope.training.checkpoint import adam_state, load_adam_state
from saescope.training.config import TrainConfig
from saescope.training.dead import DeadCounter
from saescope.training.objective import Objective
from saescope.training.optimizer import adam, clip_, default_lr, lr_factor, project_decoder_gradient_, sparsity_scale
from saescope.training.threshold import LeastKept

INIT_ROWS = 32_768


@dataclass(frozen=True)
class Job:
    """An SAE and what it trains on: which columns it reads, which it reconstructs, with which optimizer settings."""

    sae: SAE
    read: tuple[Any, ...] = ()
    """Hook points read, side by side; empty: the source's only one."""
    target: Any | None = None
    """Hook point reconstructed; None: what is read."""
    cfg: TrainConfig | None = None
    """Its own lr and schedule; None: the run's. Tokens and batches are the run's always."""
    fresh: bool = True
    """Start b_dec and the encoder's scale from the data. False: go on from the weights as they are."""


class Trainee:
    """A job bound to a source's columns. Trains in scaled units; `finish` folds the scale into the SAE."""

    def __init__(self, job: Job, slices: Mapping[Any, slice], cfg: TrainConfig):
        self.job, self.sae, self.cfg = job, job.sae, job.cfg or cfg
        self.read, self.target = _points(job, slices)
        self.columns = [slices[point] for point in self.read]
        self.target_columns = None if self.target is None else slices[self.target]
        width = sum(c.stop - c.start for c in self.columns)
        if width != self.sae.d_in:
            raise WidthMismatch(
                f"the SAE reads d_in={self.sae.d_in}, but {' + '.join(map(str, self.read))} is {width} wide. Build it with d_in={width}."
            )
        self.sae.requires_grad_(True)
        self.lr = self.cfg.lr if self.cfg.lr is not None else default_lr(self.sae.d_sae)
        self.optimizer = adam(self.sae, self.lr)
        device = self.sae.b_dec.device
        self.dead = DeadCounter(self.sae.d_sae, self.cfg.dead_after, device)
        self.least_kept = LeastKept(device)
        self.scales: tuple[float, ...] = ()

    def start(self, scales: Mapping[Any, float], sample: Float[Tensor, "n d_row"]) -> None:
        """Scale, and initial weights from the first rows of the stream."""
        self.scales = tuple(scales[point] for point in (*self.read, *([self.target] if self.target else [])))
        if self.job.fresh:
            fit_to_sample_(self.sae, self.x(sample[:INIT_ROWS]))
        else:
            self.sae.load_state_dict(unfold(self.sae, self.scales[0]).state_dict())

    def x(self, rows: Float[Tensor, "n d_row"]) -> Float[Tensor, "n d_in"]:
        """The scaled input columns, float32, on the SAE's device."""
        device = self.sae.b_dec.device
        parts = [rows[:, c].to(device).float() * s for c, s in zip(self.columns, self.scales, strict=False)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def step(self, rows: Float[Tensor, "n d_row"], step: int, objective: Objective) -> dict[str, Tensor] | None:
        """One step on a batch; returns what happened, or None where the loss is not finite (nothing is changed then)."""
        x = self.x(rows)
        target = x if self.target_columns is None else rows[:, self.target_columns].to(x.device).float() * self.scales[-1]
        state = TrainState(step, step * len(rows), sparsity_scale(step, self.cfg), self.dead.dead)
        terms = objective(self.sae, x, target, state)
        total = torch.stack(list(terms.values())).sum()
        if not total.isfinite():
            return None
        self.optimizer.zero_grad()
        total.backward()
        project_decoder_gradient_(self.sae)
        clip_(self.sae.parameters(), self.cfg.clip_norm * self.sae.d_out)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * lr_factor(step, self.cfg)
        self.optimizer.step()
        self.sae.constrain_()
        self.observe(state.observed, len(rows))
        facts = {name: term.detach() for name, term in terms.items()}
        return {**facts, "l0": state.observed["l0"], "variance": variance(target)}

    @torch.no_grad()
    def observe(self, observed: Mapping[str, Tensor], n_tokens: int) -> None:
        self.dead.update(observed["fired"], n_tokens)
        if "tau" in self.sae.thresholds:
            self.least_kept.update(observed["min_kept"])
            self.sae.get_buffer("tau").copy_(self.least_kept.value)

    def finish(self) -> SAE:
        """The same SAE, now on raw activations."""
        self.sae.load_state_dict(fold(self.sae, self.scales[0]).state_dict())
        return self.sae.requires_grad_(False)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of a checkpoint."""
        weights = {f"sae/{name}": tensor for name, tensor in self.sae.state_dict().items()}
        moments = adam_state(self.optimizer, dict(self.sae.named_parameters()))
        ema = torch.stack([self.least_kept.sum, self.least_kept.weight])
        return {**weights, **moments, "silent_tokens": self.dead.silent_tokens, "least_kept": ema}

    def load_state(self, tensors: Mapping[str, Tensor], scales: Sequence[float]) -> None:
        """The inverse of `state`."""
        self.sae.load_state_dict({key.removeprefix("sae/"): value for key, value in tensors.items() if key.startswith("sae/")})
        load_adam_state(self.optimizer, dict(self.sae.named_parameters()), tensors)
        self.dead.silent_tokens.copy_(tensors["silent_tokens"])
        self.least_kept.sum.copy_(tensors["least_kept"][0])
        self.least_kept.weight.copy_(tensors["least_kept"][1])
        self.scales = tuple(scales)


def _points(job: Job, slices: Mapping[Any, slice]) -> tuple[tuple[Any, ...], Any | None]:
    """The hook points that a job reads and reconstructs. Raises: ConfigError if the source has others."""
    names = ", ".join(map(str, slices))
    read = job.read or tuple(slices)
    if not job.read and len(slices) > 1:
        raise ConfigError(f"the source has {len(slices)} hook points ({names}). Say which the SAE reads: Job(sae, read=(...,)).")
    for point in (*read, *([job.target] if job.target is not None else [])):
        if point not in slices:
            raise ConfigError(f"the job names {point}, but the source has {names}.")
    return read, job.target
