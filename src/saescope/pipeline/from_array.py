"""Training on activations that somebody saved: the same loop and the same folder, without a model."""

import shutil
from pathlib import Path

import torch

from saescope.activations.source import TensorSource
from saescope.config import to_dict
from saescope.models.loading import parse_device
from saescope.pipeline.config import ArrayConfig
from saescope.pipeline.reporter import Reporter, Silent
from saescope.pipeline.stages import CALIBRATION_TOKENS, Metrics
from saescope.run_folder import RunFolder
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.saes.registry import build
from saescope.saes.storage import save
from saescope.training.loop import train
from saescope.training.threshold import calibrate_threshold


def train_on_array(
    cfg: ArrayConfig, out: Path | str, *, replace: bool = False, resume: bool = False, reporter: Reporter | None = None
) -> RunFolder:
    """Train an SAE on the array of a file, into `out`/sae. Raises: UnreadableText, ConfigError, NoTokens, and what `train` raises."""
    reporter = reporter or Silent()
    source = TensorSource(cfg.activations, key=cfg.key)
    d_in = source.rows.shape[1]
    sae = build(cfg.sae.sae, d_in, cfg.sae.width(d_in), cfg.sae.options(), seed=cfg.train.seed).to(parse_device(cfg.device))
    stated = {**to_dict(cfg), "activations": cfg.activations.name, "activations_sha256": source.provenance["corpus_sha256"]}
    with RunFolder.open_or_create(out, stated, replace=replace, resume=resume, finished=("sae/manifest.json",)) as folder:
        if folder.state == "done":
            return folder
        with reporter.stage("training", cfg.train.tokens) as tick, Metrics(folder.metrics) as metrics:
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
