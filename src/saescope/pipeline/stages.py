"""The stages of the main job. Each leaves one artifact in the run folder and does nothing where it stands already."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from saescope.activations.cache import build_cache
from saescope.activations.source import ActivationSource, NonFiniteGuard
from saescope.activations.stream import StreamSource
from saescope.config import to_dict
from saescope.data.packing import pack
from saescope.errors import NotAnArtifact
from saescope.evals.evaluate import EvalConfig, evaluate
from saescope.evals.result import EvalResult
from saescope.evals.tokens import selection_documents
from saescope.features.build import FeatureConfig, build_features
from saescope.features.store import FeatureStore
from saescope.pipeline.config import RunConfig
from saescope.pipeline.metrics import Metrics
from saescope.pipeline.objectives import objective_of
from saescope.pipeline.reporter import Parts, Reporter
from saescope.pipeline.subject import Subject, check_model, fresh_sae
from saescope.pipeline.trackers import Trackers
from saescope.run_folder import RunFolder
from saescope.saes.base import SAE
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.saes.storage import load, read_provenance, sae_sha256, save
from saescope.shapes import Tensor
from saescope.training.checkpoint import newest_step
from saescope.training.loop import Job, TrainReport, train
from saescope.training.threshold import Calibration

CALIBRATION_TOKENS = 2**18
"""Tokens on which the threshold of BatchTopK is set: at L0 16 four million active latents, so that L0 is met within 0.1 %."""


def train_stage(run: RunFolder, subject: Subject, cfg: RunConfig, reporter: Reporter) -> SAE:
    """The trained SAE, in run/sae."""
    try:
        sae = load(run.sae, device=subject.lm.device)
        check_model(read_provenance(run.sae), subject.lm)
    except NotAnArtifact:
        sae = _train(run, subject, cfg, reporter)
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    if cfg.cache_folder is None:
        shutil.rmtree(run.cache, ignore_errors=True)
    return sae


def _train(run: RunFolder, subject: Subject, cfg: RunConfig, reporter: Reporter) -> SAE:
    stream = subject.stream()
    job = job_of(cfg, subject)
    objective = objective_of(cfg.objective, [job], stream, cfg.train.batch_tokens)
    with Metrics(run.metrics, Trackers(cfg.log, run.path, to_dict(cfg), reporter.say)) as metrics:
        source = activations(run, stream, cfg, reporter)
        done = newest_step(run.checkpoints) * cfg.train.batch_tokens
        with reporter.stage("training", cfg.train.tokens, done) as tick:
            report = train(
                job, source, cfg.train, objective=objective, record=metrics,
                checkpoints=run.checkpoints, progress=lambda done: tick(done, **metrics.shown),
            )  # fmt: skip
    set_thresholds([job], stream)
    save(job.sae, run.sae, provenance_of(stream, cfg, report))
    return job.sae


def job_of(cfg: RunConfig, subject: Subject) -> Job:
    """The fresh SAE of a run on the model's device, and what it trains on."""
    seed = cfg.train.seed if cfg.sae.init_seed is None else cfg.sae.init_seed
    sae = fresh_sae(cfg.sae, subject.lm, subject.at, seed=seed)
    return Job(sae.to(subject.lm.device), read=subject.at.reads, target=subject.at.target, cfg=cfg.train)


def set_thresholds(jobs: Iterable[Job], stream: StreamSource) -> None:
    """Calibrate the threshold of every SAE that has a batch rule, in one pass over the selection documents."""
    calibrations = [(job, Calibration(job.sae)) for job in jobs if isinstance(job.sae, BatchTopKSAE)]
    if not calibrations:
        return
    for rows in selection_rows(stream):
        for job, calibration in calibrations:
            columns = [rows[:, stream.slices[point]] for point in job.read]
            calibration.add(columns[0].contiguous() if len(columns) == 1 else torch.cat(columns, dim=1))
    for _, calibration in calibrations:
        calibration.set_threshold()


def eval_stage(run: RunFolder, sae: SAE, subject: Subject, cfg: RunConfig, reporter: Reporter) -> EvalResult:
    """The quick suite, in run/result.json and run/eval."""
    eval_cfg = eval_config(cfg)
    try:
        result = EvalResult.load(run.path)
        if result.provenance.get("config") == to_dict(eval_cfg) and result.provenance.get("sae_sha256") == sae_sha256(sae):
            return result  # else `saescope eval` has left one of other options here
    except NotAnArtifact:
        pass
    result = measured(sae, subject, eval_cfg, reporter)
    result.save(run.path)
    return result


def measured(sae: SAE, subject: Subject, cfg: EvalConfig, reporter: Reporter) -> EvalResult:
    """`evaluate` on a subject, each of its parts reported as a stage."""
    with Parts(reporter, "evaluating") as progress:
        return evaluate({"sae": sae}, subject.lm, subject.at, subject.corpus, cfg, pack=subject.pack, progress=progress)


def features_stage(run: RunFolder, sae: SAE, subject: Subject, cfg: RunConfig, reporter: Reporter) -> FeatureStore:
    """The feature bundle, in run/features."""
    with reporter.stage("describing features", cfg.feature_tokens) as tick:
        return build_features(
            sae, subject.lm, subject.at, subject.corpus, run.features, feature_config(cfg),
            pack=subject.pack, progress=tick,
        )  # fmt: skip


def eval_config(cfg: RunConfig) -> EvalConfig:
    """How a run measures its SAE."""
    return EvalConfig(seed=cfg.train.seed, dead_tokens=cfg.silent_tokens)


def feature_config(cfg: RunConfig) -> FeatureConfig:
    """How a run describes its features."""
    return FeatureConfig(n_tokens=cfg.feature_tokens, seed=cfg.train.seed)


def activations(run: RunFolder, stream: StreamSource, cfg: RunConfig, reporter: Reporter) -> ActivationSource:
    """The stream itself, or its cache on disk where the text is read more than once."""
    if cfg.cache == "never" or (stream.corpus.streaming and cfg.cache_folder is None):
        return stream
    n_rows = min(cfg.train.tokens, stream.count_rows(seed=cfg.train.seed)) if not stream.corpus.streaming else cfg.train.tokens
    folder = cfg.cache_folder or run.cache
    size = 2 * n_rows * max(columns.stop for columns in stream.slices.values())
    if cfg.cache_folder is None:
        if n_rows == cfg.train.tokens:
            return stream
        if size > shutil.disk_usage(run.path).free // 2 and not folder.exists():
            reporter.say(
                f"activations ({size / 1e9:.1f} GB) are not kept on disk, which has little space: the model runs on each pass of the text"
            )
            return stream
    with reporter.stage("harvesting", n_rows) as tick:
        return build_cache(stream, folder, n_rows, seed=cfg.train.seed, progress=tick)


def selection_rows(stream: StreamSource, n_tokens: int = CALIBRATION_TOKENS) -> Iterator[Tensor]:
    """Activations of the selection documents, on which thresholds are set; of training documents where there are none."""
    left = n_tokens
    documents, _ = selection_documents(stream.corpus)
    guard = NonFiniteGuard(str(stream.points[0]))
    for batch in pack(documents, stream.lm.tokenizer, stream.pack):
        rows = guard(stream.harvest(batch)).to(stream.lm.device).float()
        yield rows
        left -= len(rows)
        if left <= 0:
            return


def provenance_of(stream: StreamSource, cfg: RunConfig, report: TrainReport, name: str = "sae") -> dict[str, Any]:
    """Where an SAE came from, and how its training ended; `stream` is that of its own hook points."""
    return {
        **stream.provenance,
        "hook_points": cfg.at.split(","),
        **({"target": cfg.target} if cfg.target else {}),
        "holdout": Path(cfg.text.holdout).name if cfg.text.holdout else "5 % of the documents, by hash of their number",
        "n_tokens": report.tokens,
        "seed": cfg.train.seed,
        **({"objective": to_dict(cfg.objective)} if cfg.objective.objective != "reconstruction" else {}),
        "training": {**report.facts[name], "steps": report.steps, "skipped_steps": report.skipped_steps},
    }
