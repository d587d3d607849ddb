"""Fine-tuning a finished SAE, all of it, its decoder, or one scale per latent, into a run folder of its own."""

import copy
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from saescope.activations.encode import LATENT_BUDGET
from saescope.activations.stream import StreamSource
from saescope.config import to_dict
from saescope.errors import ConfigError
from saescope.evals.reconstruction import fvu, gamma, token_values
from saescope.pipeline.config import FREE, SHARED_OPTIONS, RunConfig, SAEConfig
from saescope.pipeline.metrics import Metrics
from saescope.pipeline.objectives import ObjectiveConfig, objective_of
from saescope.pipeline.outputs import refuse_unwritable
from saescope.pipeline.reporter import Reporter, Silent
from saescope.pipeline.revisit import FINE_TUNE, Revisit, Revisited, at_least_1, revisit
from saescope.pipeline.stages import selection_rows, set_thresholds
from saescope.run_folder import RunFolder
from saescope.saes.base import SAE
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.saes.registry import describe
from saescope.saes.storage import load, read_provenance, sae_sha256, save
from saescope.training.checkpoint import newest_step
from saescope.training.columns import Columns
from saescope.training.config import TrainConfig
from saescope.training.fine_tune import ErrorsOnly, as_jumprelu, check_scalable, decoder_parameters, fit_scale, keep_reached_penalty_
from saescope.training.loop import Job, train
from saescope.training.optimizer import default_lr

LR_SHARE = 0.1
"""Of an architecture's own peak learning rate, where none is given: the SAE is near where it should be."""
MEASURED_TOKENS = 2**17
"""Tokens of the selection documents that before and after are measured on."""
FINISHED = ("sae/manifest.json",)


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig(Revisit):
    """Which SAE, what of it is fine-tuned, and how. Another --text takes the place of the run's."""

    what: Literal["all", "decoder", "scale"] = "all"
    """all: every parameter; decoder: what changes x_hat but no latent; scale: a factor per latent, which undoes feature suppression."""
    tokens: int = 1_000_000
    """Tokens to train on, or to fit the scales to."""
    step_tokens: int | None = None
    """Tokens per training step; None: as the run's, or 1,024."""
    lr: float | None = None
    """Peak learning rate; None: a tenth of the architecture's own."""
    seed: int | None = None
    """Of document order and mixing; None: as the run's, or 0."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def __post_init__(self):
        super().__post_init__()
        for name in ("tokens", "step_tokens"):
            at_least_1(name, getattr(self, name))
        if self.lr is not None and not self.lr > 0:
            raise ConfigError(f"lr={self.lr} was asked for. It must be above 0: set --lr.")
        if self.what == "scale":
            for name in ("step_tokens", "lr"):
                if getattr(self, name) is not None:
                    raise ConfigError(f"--{name.replace('_', '-')} does not apply to --what scale, which takes no steps. Leave it out.")
            if self.objective != ObjectiveConfig():
                raise ConfigError("--objective does not apply to --what scale, which minimises the squared error. Leave it out.")

    def train_config(self, run: RunConfig | None, sae: SAE) -> TrainConfig:
        """How it is trained: as the run's, but at a low learning rate, and with the penalty at its full weight from the start.

        Raises: ConfigError for fewer tokens than a step has.
        """
        had = run.train if run else TrainConfig()
        lr = self.lr if self.lr is not None else LR_SHARE * default_lr(sae)
        seed = had.seed if self.seed is None else self.seed
        steps = self.step_tokens or (min(had.batch_tokens, self.tokens) if self.what == "scale" else had.batch_tokens)
        if self.tokens < steps:
            raise ConfigError(f"tokens={self.tokens:,} is less than one step of {steps:,}. Raise --tokens, or lower --step-tokens.")
        return replace(had, tokens=self.tokens, batch_tokens=steps, lr=lr, seed=seed, sparsity_warmup=0.0, dead_tokens=None)


@dataclass(frozen=True)
class FineTuned:
    """What `fine_tune` left, and how good it was and is, on the same tokens of documents that never train."""

    folder: RunFolder
    state: str
    """As the folder was found: "new", "continue" or "done"."""
    sae: SAE
    before: dict[str, float]
    """fvu, l0 and gamma (E||x_hat||^2 / E<x, x_hat>) of the parent."""
    after: dict[str, float]


def fine_tune(
    cfg: FineTuneConfig, out: Path | str, *, replace: bool = False, resume: bool = False, reporter: Reporter | None = None
) -> FineTuned:
    """Fine-tune an SAE into a run folder `out`, whose config and provenance name the parent's digest; the parent stays as it is.

    The folder is continued, and refused, as `run` does it.

    Raises: ConfigError (a scale of a TopK SAE among them), and what `revisit`, `train` and RunFolder.open_or_create raise.
    """
    reporter = reporter or Silent()
    refuse_unwritable(out)
    seen = revisit(cfg, text_as="corpus")
    parent, training = seen.opened.sae, cfg.train_config(seen.cfg, seen.opened.sae)
    check_scalable(parent) if cfg.what == "scale" else _trained(cfg.what, parent)  # refused before there is a folder
    stated = _stated(cfg, seen, training)
    with RunFolder.open_or_create(out, stated, replace=replace, resume=resume, finished=FINISHED, free=FREE) as folder:
        if folder.state != "done":
            stream = seen.subject.stream()
            child, facts = _child(cfg, seen, training, stream, folder, reporter)
            route = seen.subject.at
            about = {
                **stated[FINE_TUNE],
                "before": measured(Job(parent, read=route.reads, target=route.target), stream),
                "after": measured(Job(child, read=route.reads, target=route.target), stream),
                **({"parent": earlier} if (earlier := seen.opened.provenance.get(FINE_TUNE)) else {}),
            }
            save(child, folder.sae, {**seen.opened.provenance, **stream.provenance, **facts, **_places(seen), FINE_TUNE: about})
            shutil.rmtree(folder.checkpoints, ignore_errors=True)
        said = read_provenance(folder.sae)[FINE_TUNE]
        return FineTuned(folder, folder.state, load(folder.sae), said["before"], said["after"])


@torch.no_grad()
def measured(job: Job, stream: StreamSource) -> dict[str, float]:
    """fvu, L0 and gamma on the selection documents (training documents where there are none)."""
    columns = Columns(job.sae, job.read, job.target, stream.slices)
    sums: dict[str, Any] = {}
    n_active = 0
    for rows in selection_rows(stream, MEASURED_TOKENS):
        for part in rows.split(max(1, LATENT_BUDGET // job.sae.d_sae)):
            x = columns.x(part)
            latents_NF = job.sae.encode(x)
            n_active += int((latents_NF > 0).sum())
            for name, value in token_values(columns.wanted(part, x), job.sae.reconstruct(x, latents_NF)).items():
                sums[name] = sums.get(name, 0) + value.sum(0).cpu().numpy()
    found = {
        "fvu": fvu(sums["tokens"], sums["sse"], sums["square"], sums["target"]),
        "l0": n_active / sums["tokens"],
        "gamma": gamma(sums["tokens"], sums["square_hat"], sums["inner"]),
    }
    return {name: float(value) for name, value in found.items()}


def _child(
    cfg: FineTuneConfig, seen: Revisited, training: TrainConfig, stream: StreamSource, folder: RunFolder, reporter: Reporter
) -> tuple[SAE, dict[str, Any]]:
    """The new SAE, and what its provenance says of how it was made."""
    route = seen.subject.at
    sae = copy.deepcopy(seen.opened.sae)
    keep_reached_penalty_(sae, seen.opened.provenance.get("training", {}).get("sparsity_scale", 1.0))
    job = Job(sae, read=route.reads, target=route.target, cfg=training, fresh=False, only=_trained(cfg.what, sae))
    if cfg.what != "scale":
        return sae, _train(cfg, job, training, stream, folder, reporter)
    with reporter.stage("fitting scales", cfg.tokens) as tick:
        child = fit_scale(job, stream, cfg.tokens, seed=training.seed)
        tick(cfg.tokens)
    return child, {}


def _places(seen: Revisited) -> dict[str, Any]:
    """Hook points as provenance states them."""
    route = seen.subject.at
    return {"hook_points": [str(point) for point in route.reads], **({"target": str(route.target)} if route.target else {})}


def _trained(what: str, sae: SAE) -> tuple[str, ...]:
    """The parameters that train, also all of them by name: then no latent is resampled, which a finished SAE is past."""
    return decoder_parameters(sae) if what == "decoder" else tuple(name for name, _ in sae.named_parameters())


def _train(
    cfg: FineTuneConfig, job: Job, training: TrainConfig, stream: StreamSource, folder: RunFolder, reporter: Reporter
) -> dict[str, Any]:
    objective = objective_of(cfg.objective, [job], stream, training.batch_tokens, last=1.0)
    if cfg.what == "decoder":
        objective = ErrorsOnly(objective)
    thresholds = {name: value.clone() for name, value in job.sae.named_buffers()}
    done = newest_step(folder.checkpoints) * training.batch_tokens
    with Metrics(folder.metrics) as metrics, reporter.stage("fine-tuning", training.tokens, done) as tick:
        report = train(
            job, stream, training, objective=objective, record=metrics,
            checkpoints=folder.checkpoints, progress=lambda done: tick(done, **metrics.shown),
        )  # fmt: skip
    if cfg.what == "decoder":
        job.sae.load_state_dict(thresholds, strict=False)  # latents stay as they were: so must what cuts them
    else:
        set_thresholds([job], stream)
    return {"training": {**report.facts["sae"], "steps": report.steps, "skipped_steps": report.skipped_steps}}


def _stated(cfg: FineTuneConfig, seen: Revisited, training: TrainConfig) -> dict[str, Any]:
    """The config of the new run: the parent's, where it had one, with what this changes and whose child it is."""
    parent = seen.opened.sae
    child = as_jumprelu(parent) if cfg.what == "scale" and isinstance(parent, BatchTopKSAE) else parent
    base = seen.cfg or RunConfig()
    had = base.sae if seen.cfg and child is parent else sae_config_of(child)
    run = replace(
        base,
        model=seen.model,
        text=replace(seen.text, context=seen.subject.pack.context, packing=seen.subject.pack.packing),
        at=",".join(map(str, seen.subject.at.reads)),
        target=str(seen.subject.at.target or ""),
        sae=had,
        objective=cfg.objective,
        train=replace(training, dead_tokens=training.dead_after),
    )
    return {**to_dict(run), FINE_TUNE: {"what": cfg.what, "parent_sha256": sae_sha256(parent)}}


def sae_config_of(sae: SAE) -> SAEConfig:
    """The options that give an SAE of this kind and width."""
    made = describe(sae)
    shared = {name: value for name in SHARED_OPTIONS if (value := made["options"].pop(name, None)) is not None}
    rest = tuple(f"{name}={json.dumps(value)}" for name, value in made["options"].items() if value is not None)
    return SAEConfig(sae=made["architecture"], d_sae=made["d_sae"], set=rest, **shared)
