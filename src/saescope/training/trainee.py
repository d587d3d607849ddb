"""One SAE in training: its columns of the stream, its optimizer, its counters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from saescope.activations.scale import Scale
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
    """An SAE and what it trains on: which columns it reads and reconstructs, with which optimizer settings."""

    sae: SAE
    read: tuple[Any, ...] = ()
    """Hook points read; empty: the source's only one. The architectures here read one."""
    target: Any | None = None
    """Hook point reconstructed; None: what is read. The architectures here have no other."""
    cfg: TrainConfig | None = None
    """Its own lr and schedule; None: the run's. Tokens and batches are the run's always."""
    fresh: bool = True
    """Start b_dec and the encoder's scale from the data. False: go on from the weights as they are."""


class Trainee:
    """A job bound to a source's columns. Trains in scaled units; `finish` folds the scale into the SAE."""

    def __init__(self, job: Job, slices: Mapping[Any, slice], cfg: TrainConfig):
        self.job, self.sae = job, job.sae
        self.cfg = replace(job.cfg, tokens=cfg.tokens, batch_tokens=cfg.batch_tokens) if job.cfg else cfg
        self.read = _read_point(job, slices)
        self.columns = slices[self.read]
        width = self.columns.stop - self.columns.start
        if width != self.sae.d_in:
            raise WidthMismatch(f"the SAE reads d_in={self.sae.d_in}, but {self.read} is {width} wide. Build it with d_in={width}.")
        self.sae.requires_grad_(True)
        self.lr = self.cfg.lr if self.cfg.lr is not None else default_lr(self.sae.d_sae)
        self.optimizer = adam(self.sae, self.lr)
        device = self.sae.b_dec.device
        self.dead = DeadCounter(self.sae.d_sae, self.cfg.dead_after, device)
        self.least_kept = LeastKept()
        self.scale, self.n_outliers = 1.0, 0

    def start(self, scales: Mapping[Any, Scale], sample: Float[Tensor, "n d_row"]) -> None:
        """Scale, and initial weights from the first rows of the stream."""
        self.scale, self.n_outliers = scales[self.read].value, scales[self.read].n_outliers
        if self.job.fresh:
            fit_to_sample_(self.sae, self.x(sample[:INIT_ROWS]))
        else:
            self.sae.load_state_dict(unfold(self.sae, self.scale).state_dict())

    def x(self, rows: Float[Tensor, "n d_row"]) -> Float[Tensor, "n d_in"]:
        """The scaled columns, float32, on the SAE's device."""
        return rows[:, self.columns].to(self.sae.b_dec.device).float() * self.scale

    def step(self, rows: Float[Tensor, "n d_row"], step: int, objective: Objective) -> dict[str, Tensor] | None:
        """One step on a batch; returns what happened, or None where the loss is not finite (nothing is changed then)."""
        x = self.x(rows)
        state = TrainState(step, step * len(rows), sparsity_scale(step, self.cfg), self.dead.dead)
        terms = objective(self.sae, x, x, state)
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
        return {**facts, "l0": state.observed["l0"], "variance": variance(x)}

    @torch.no_grad()
    def observe(self, observed: Mapping[str, Tensor], n_tokens: int) -> None:
        self.dead.update(observed["fired"], n_tokens)
        if "tau" in self.sae.thresholds:
            self.least_kept.update(observed["min_kept"])
            self.sae.get_buffer("tau").copy_(self.least_kept.value)

    def finish(self) -> SAE:
        """The same SAE, now on raw activations."""
        self.sae.load_state_dict(fold(self.sae, self.scale).state_dict())
        return self.sae.requires_grad_(False)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of a checkpoint."""
        weights = {f"sae/{name}": tensor for name, tensor in self.sae.state_dict().items()}
        moments = adam_state(self.optimizer, dict(self.sae.named_parameters()))
        ema = torch.stack([self.least_kept.sum, self.least_kept.weight])
        return {**weights, **moments, "silent_tokens": self.dead.silent_tokens, "least_kept": ema}

    def load_state(self, tensors: Mapping[str, Tensor], scale: float) -> None:
        """The inverse of `state`."""
        self.sae.load_state_dict({key.removeprefix("sae/"): value for key, value in tensors.items() if key.startswith("sae/")})
        load_adam_state(self.optimizer, dict(self.sae.named_parameters()), tensors)
        self.dead.silent_tokens.copy_(tensors["silent_tokens"])
        self.least_kept.sum.copy_(tensors["least_kept"][0])
        self.least_kept.weight.copy_(tensors["least_kept"][1])
        self.scale = scale


def _read_point(job: Job, slices: Mapping[Any, slice]) -> Any:
    """The hook point that a job reads and reconstructs. Raises: ConfigError for one the source has not, or more than one."""
    names, read = ", ".join(map(str, slices)), job.read or tuple(slices)
    for point in (*read, *([] if job.target is None else [job.target])):
        if point not in slices:
            raise ConfigError(f"the job names {point}, but the source has {names}.")
    if len(read) > 1:
        raise ConfigError(f"{type(job.sae).__name__} reads one hook point, but was given {len(read)} ({names}): Job(sae, read=(...,)).")
    if job.target not in (None, read[0]):
        raise ConfigError(f"{type(job.sae).__name__} reconstructs what it reads ({read[0]}), not {job.target}. Leave target out.")
    return read[0]
