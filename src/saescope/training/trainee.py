"""One SAE in training: its columns of the stream, its optimizer, its counters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from saescope.activations.scale import Scale
from saescope.activations.source import StepBatch
from saescope.errors import ConfigError, did_you_mean
from saescope.saes.base import SAE, TrainState
from saescope.saes.fold import fold, unfold
from saescope.saes.init import fit_to_sample_
from saescope.saes.losses import variance
from saescope.shapes import Float, Tensor
from saescope.training.checkpoint import adam_state, load_adam_state
from saescope.training.columns import Columns
from saescope.training.config import TrainConfig
from saescope.training.dead import DeadCounter
from saescope.training.objective import Given, Objective
from saescope.training.optimizer import adam, default_lr, descend_, lr_factor, sparsity_warmup
from saescope.training.path import STEPS, Path, fastest_precision
from saescope.training.resample import due, forget_moments_, interval_steps, resample_
from saescope.training.sparsity_control import L0Controller, L0Goal
from saescope.training.threshold import LeastKept

NOT_RECORDED = ("fired", "min_kept")


@dataclass(frozen=True)
class Job:
    """An SAE and what it trains on: which columns it reads and reconstructs, with which optimizer settings."""

    sae: SAE
    read: tuple[Any, ...] = ()
    """Hook points read; empty: all of the source's but the target."""
    target: Any | None = None
    """Hook point reconstructed; None: what is read."""
    cfg: TrainConfig | None = None
    """Its own lr, schedule and seed; None: the run's. Tokens and batches are the run's always."""
    fresh: bool = True
    """Start b_dec and the encoder's scale from the data. False: go on from the weights as they are, on raw activations."""
    only: tuple[str, ...] = ()
    """Names of the parameters that train; empty: all."""


class Trainee:
    """A job bound to a source's columns. Trains in scaled units; `finish` folds the scale into the SAE."""

    def __init__(self, job: Job, slices: Mapping[Any, slice], cfg: TrainConfig):
        self.job, self.sae = job, job.sae
        self.cfg = replace(job.cfg, tokens=cfg.tokens, batch_tokens=cfg.batch_tokens) if job.cfg else cfg
        self.columns = Columns(self.sae, job.read, job.target, slices)
        _train_only(self.sae, job.only)
        self.lr = self.cfg.lr if self.cfg.lr is not None else default_lr(self.sae)
        self.optimizer = adam(self.sae, self.lr)
        self.dead = DeadCounter(self.sae.d_sae, self.cfg.dead_after, self.sae.b_dec.device)
        self.least_kept = LeastKept()
        self.l0 = _goal(self.sae, self.cfg)
        self.path = Path(fastest_precision(self.sae.b_dec.device) if self.cfg.precision == "auto" else self.cfg.precision)
        self.resampled = 0

    def start(self, scales: Mapping[Any, Scale], sample: Float[Tensor, "n d_row"]) -> None:
        """Scales, and initial weights from the first rows of the stream."""
        self.columns.set_scales(scales)
        if self.job.fresh:
            x = self.columns.x(sample)
            fit_to_sample_(self.sae, x, self.columns.wanted(sample, x))
        else:
            self.sae.load_state_dict(unfold(self.sae, self.columns.s_in, self.columns.s_out).state_dict())

    def step(self, batch: StepBatch, step: int, objective: Objective) -> dict[str, Tensor] | None:
        """One step on a batch; returns what happened, or None where the loss is not finite (nothing is changed then)."""
        x = self.columns.x(batch.rows)
        target = self.columns.wanted(batch.rows, x)
        if step % STEPS == 0:
            self.path.choose(self.sae, x)
        state = self.state_at(step)
        terms = objective(Given(self.sae, x, target, state, batch, self.columns))
        total = torch.stack(list(terms.values())).sum()
        if not total.isfinite():
            return None
        self.optimizer.zero_grad()
        total.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * lr_factor(step, self.cfg)
        descend_(self.sae, self.optimizer, self.cfg.clip_norm * self.sae.d_out)
        self.observe(state.observed, step, len(x))
        seen = {name: value for name, value in state.observed.items() if name not in NOT_RECORDED and value.ndim == 0}
        return {**{name: term.detach() for name, term in terms.items()}, **seen, "variance": variance(target)}

    def state_at(self, step: int) -> TrainState:
        """What the loss may know at a step (from 0)."""
        scale = sparsity_warmup(step, self.cfg) * (self.l0.m if self.l0 else 1.0)
        return TrainState(step, step * self.cfg.batch_tokens, scale, self.dead.dead, self.path.sparse, self.path.precision)

    @torch.no_grad()
    def observe(self, observed: Mapping[str, Tensor], step: int, n_tokens: int) -> None:
        self.dead.update(observed["fired"], n_tokens)
        if self.l0:
            self.l0.update(step, observed["l0"])
        if "tau" in self.sae.thresholds and "min_kept" in observed:
            self.least_kept.update(observed["min_kept"])
            self.sae.get_buffer("tau").copy_(self.least_kept.value)

    def resampling_due(self, steps_done: int) -> bool:
        """Whether dead latents get new directions now."""
        return self.sae.resample != "off" and not self.job.only and due(steps_done, self.cfg) > 0

    def resample(self, rows: Float[Tensor, "n d_row"], steps_done: int) -> None:
        """New directions for the latents silent over half a resampling interval; their moments and counters start anew."""
        count = due(steps_done, self.cfg)
        dead = self.dead.silent_tokens >= interval_steps(self.cfg) * self.cfg.batch_tokens // 2
        n = resample_(self.sae, dead, rows, self.columns, self.state_at(steps_done - 1), (self.cfg.seed, count))
        if n:
            forget_moments_(self.optimizer, self.sae, dead)
            self.dead.silent_tokens.masked_fill_(dead, 0)
            self.resampled += n

    def finish(self, name: str) -> SAE:
        """The same SAE, now on raw activations. Warns where a wanted L0 was not reached."""
        if self.l0:
            self.l0.warn_unless_reached(name)
        self.sae.load_state_dict(fold(self.sae, self.columns.s_in, self.columns.s_out).state_dict())
        return self.sae.requires_grad_(False)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of a checkpoint."""
        weights = {f"sae/{name}": tensor for name, tensor in self.sae.state_dict().items()}
        moments = adam_state(self.optimizer, dict(self.sae.named_parameters()))
        ema = torch.stack([self.least_kept.sum, self.least_kept.weight])
        l0 = {"l0": self.l0.state()} if self.l0 else {}
        return {**weights, **moments, **l0, "silent_tokens": self.dead.silent_tokens, "least_kept": ema}

    def scalars(self) -> dict[str, Any]:
        """Every number of a checkpoint."""
        return {
            "scales": self.columns.scales,
            "n_outliers": self.columns.n_outliers,
            "resampled": self.resampled,
            "path": vars(self.path),
        }

    def load_state(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        """The inverse of `state` and `scalars`."""
        self.sae.load_state_dict({key.removeprefix("sae/"): value for key, value in tensors.items() if key.startswith("sae/")})
        load_adam_state(self.optimizer, dict(self.sae.named_parameters()), tensors)
        self.dead.silent_tokens.copy_(tensors["silent_tokens"])
        self.least_kept.sum.copy_(tensors["least_kept"][0])
        self.least_kept.weight.copy_(tensors["least_kept"][1])
        if self.l0:
            self.l0.load_state(tensors["l0"])
        self.columns.scales = dict(scalars["scales"])
        self.columns.n_outliers, self.resampled = scalars["n_outliers"], scalars["resampled"]
        vars(self.path).update(scalars["path"])


def _goal(sae: SAE, cfg: TrainConfig) -> L0Goal | None:
    """What watches the wanted L0, and reaches it where the loss itself does not."""
    if sae.l0_target is not None:
        return L0Controller(sae.l0_target, cfg)
    return None if sae.wanted_l0 is None else L0Goal(sae.wanted_l0, cfg)


def _train_only(sae: SAE, only: tuple[str, ...]) -> None:
    """Let these parameters train, all if none is named. Raises: ConfigError for a name that the SAE has not."""
    names = [name for name, _ in sae.named_parameters()]
    for name in only:
        if name not in names:
            raise ConfigError(f"{name!r} is no parameter of {type(sae).__name__}, which has {', '.join(names)}.{did_you_mean(name, names)}")
    for name, p in sae.named_parameters():
        p.requires_grad_(not only or name in only)
