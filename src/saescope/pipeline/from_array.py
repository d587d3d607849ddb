"""Training on activations that somebody saved: the same loop and the same folder, without a model."""

import shutil
from pathlib import Path

import torch

from saescope.activations.source import TensorSource
from saescope.config import to_dict
from saescope.errors import ConfigError
from saescope.models.loading import parse_device
from saescope.pipeline.config import FREE, ArrayConfig
from saescope.pipeline.metrics import Metrics
from saescope.pipeline.reporter import Reporter, Silent
from saescope.pipeline.stages import CALIBRATION_TOKENS
from saescope.pipeline.trackers import Trackers, require_trackers
from saescope.run_folder import RunFolder
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.saes.registry import build, class_and_config
from saescope.saes.storage import save
from saescope.training.loop import train
from saescope.training.threshold import calibrate_threshold


def train_on_array(
    cfg: ArrayConfig, out: Path | str, *, replace: bool = False, resume: bool = False, reporter: Reporter | None = None
) -> RunFolder:
    """Train an SAE on the array of a file, into `out`/sae. Raises: UnreadableText, ConfigError, NoTokens, and what `train` raises."""
    require_trackers(cfg.log)
    reporter = reporter or Silent()
    kind, _ = class_and_config(cfg.sae.sae)
    if kind.transcodes or kind.joins:
        raise ConfigError(
            f"--sae {cfg.sae.sae} needs the activations of two hook points or more, but --activations is an array of one. "
            "Train it on a model: saescope run MODEL --text T --at A,B (crosscoder), or --at A --target B (transcoder)."
        )
    source = TensorSource(cfg.activations, key=cfg.key)
    d_in = source.rows.shape[1]
    sae = build(cfg.sae.sae, d_in, cfg.sae.width(d_in), cfg.sae.options(), seed=cfg.train.seed).to(parse_device(cfg.device))
    stated = {**to_dict(cfg), "activations": cfg.activations.name, "activations_sha256": source.provenance["corpus_sha256"]}
    with RunFolder.open_or_create(out, stated, replace=replace, resume=resume, finished=("sae/manifest.json",), free=FREE) as folder:
        if folder.state == "done":
            return folder
        trackers = Trackers(cfg.log, folder.path, stated, reporter.say)
        with Metrics(folder.metrics, trackers) as metrics, reporter.stage("training", cfg.train.tokens) as tick:
            report = train(
                sae, source, cfg.train, record=metrics, checkpoints=folder.checkpoints, progress=lambda done: tick(done, **metrics.shown)
            )
        if isinstance(sae, BatchTopKSAE):
            calibrate_threshold(sae, _sample(source, sae.b_dec.device))
        training = {**report.facts["sae"], "steps": report.steps, "skipped_steps": report.skipped_steps}
        save(sae, folder.sae, {**source.provenance, "n_tokens": report.tokens, "seed": cfg.train.seed, "training": training})
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
        return folder


def _sample(source: TensorSource, device: torch.device):
    n = min(len(source.rows), CALIBRATION_TOKENS)
    return (batch.rows.to(device).float() for batch in source.batches(n, seed=0))
