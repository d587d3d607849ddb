"""The stages of the main job. Each leaves one artifact in the run folder and does nothing where it stands already."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

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
from saescope.pipeline.reporter import Parts, Reporter
from saescope.pipeline.subject import Subject, check_model
from saescope.run_folder import RunFolder
from saescope.saes.base import SAE
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.saes.registry import build
from saescope.saes.storage import load, read_provenance, sae_sha256, save
from saescope.shapes import Tensor
from saescope.training.checkpoint import newest_step
from saescope.training.loop import TrainReport, train
from saescope.training.threshold import calibrate_threshold

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
    stream = StreamSource(subject.lm, subject.at, subject.corpus, subject.pack)
    source = _source(run, stream, cfg, reporter)
    sae = build(
        cfg.sae.sae, subject.lm.width(subject.at), cfg.sae.width(subject.lm.width(subject.at)), cfg.sae.options(), seed=cfg.train.seed
    )
    sae = sae.to(subject.lm.device)
    done = newest_step(run.checkpoints) * cfg.train.batch_tokens
    with reporter.stage("training", cfg.train.tokens, done) as tick, Metrics(run.metrics) as metrics:
        report = train(
            sae, source, cfg.train, record=metrics, checkpoints=run.checkpoints, progress=lambda done: tick(done, **metrics.shown)
        )
    if isinstance(sae, BatchTopKSAE):
        calibrate_threshold(sae, _selection(stream))
    save(sae, run.sae, _provenance(stream, cfg, report))
    return sae


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


def _source(run: RunFolder, stream: StreamSource, cfg: RunConfig, reporter: Reporter) -> ActivationSource:
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


def _selection(stream: StreamSource) -> Iterator[Tensor]:
    """Activations of the selection documents, on which thresholds are set; of training documents where there are none."""
    left = CALIBRATION_TOKENS
    documents, _ = selection_documents(stream.corpus)
    guard = NonFiniteGuard(str(stream.points[0]))
    for batch in pack(documents, stream.lm.tokenizer, stream.pack):
        rows = guard(stream.harvest(batch)).to(stream.lm.device).float()
        yield rows
        left -= len(rows)
        if left <= 0:
            return


def _provenance(stream: StreamSource, cfg: RunConfig, report: TrainReport) -> dict[str, Any]:
    """Where the SAE came from, and how its training ended."""
    return {
        **stream.provenance,
        "holdout": Path(cfg.text.holdout).name if cfg.text.holdout else "5 % of the documents, by hash of their number",
        "n_tokens": report.tokens,
        "seed": cfg.train.seed,
        "training": {**report.facts["sae"], "steps": report.steps, "skipped_steps": report.skipped_steps},
    }


class Metrics:
    """Appends records to metrics.jsonl. The first one of a resumed run takes the place of those of its step and later."""

    def __init__(self, path: Path):
        self.path = path
        self.shown: dict[str, Any] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> "Metrics":
        return self

    def __call__(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            kept = [line for line in self._lines() if json.loads(line)["step"] < record["step"]]
            self._file = self.path.open("w", encoding="utf-8")
            self._file.writelines(line + "\n" for line in kept)
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        facts = record["saes"]["sae"]
        self.shown = {"fvu": facts["fvu"], "L0": facts["l0"], "dead": f"{100 * facts['dead']:.1f} %"}

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        return [line for line in lines[:-1] if line]  # what follows the last newline was cut by a kill
