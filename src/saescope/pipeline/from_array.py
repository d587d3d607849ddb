"""Training on activations that somebody saved: the same loop and the same folder, without a model."""

from pathlib import Path

import torch

from saescope.activations.source import TensorSource
from saescope.config import to_dict
from saescope.files import sha256_of
from saescope.models.loading import parse_device
from saescope.pipeline.config import SAEConfig
from saescope.pipeline.reporter import Reporter, Silent
from saescope.pipeline.stages import CALIBRATION_TOKENS, Metrics
from saescope.run_folder import RunFolder
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.saes.registry import build
from saescope.saes.storage import save
from saescope.training.checkpoint import newest_step
from saescope.training.config import TrainConfig
from saescope.training.loop import train
from saescope.training.threshold import calibrate_threshold


def train_on_array(
    activations: Path, out: Path | str, sae_cfg: SAEConfig, cfg: TrainConfig, *, key: str | None = None, device: str = "auto",
    replace: bool = False, resume: bool = False, reporter: Reporter | None = None,
) -> RunFolder:  # fmt: skip
    """Train an SAE on the array of a file, into `out`/sae. Raises: UnreadableText, ConfigError, NoTokens, and what `train` raises."""
    reporter = reporter or Silent()
    source = TensorSource(activations, key=key)
    d_in = source.rows.shape[1]
    sae = build(sae_cfg.sae, d_in, sae_cfg.width(d_in), sae_cfg.options(), seed=cfg.seed).to(parse_device(device))
    source.provenance["corpus_sha256"] = sha256_of(activations)
    config = {"activations": activations.name, "key": key, "sae": to_dict(sae_cfg), "train": to_dict(cfg), "sha256": source.provenance["corpus_sha256"]}
    with RunFolder.open_or_create(out, config, replace=replace, resume=resume, finished=("sae/manifest.json",)) as folder:
        if folder.state == "done":
            return folder
        with reporter.stage("training", cfg.tokens) as tick, Metrics(folder.metrics, newest_step(folder.checkpoints)) as metrics:
            report = train(sae, source, cfg, record=metrics, checkpoints=folder.checkpoints, progress=lambda done: tick(done, **metrics.shown))
        if isinstance(sae, BatchTopKSAE):
            calibrate_threshold(sae, _sample(source, sae.b_dec.device))
        training = {**report.facts["sae"], "steps": report.steps, "skipped_steps": report.skipped_steps}
        save(sae, folder.sae, {**source.provenance, "n_tokens": report.tokens, "seed": cfg.seed, "training": training})
        return folder


def _sample(source: TensorSource, device: torch.device):
    n = min(len(source.rows), CALIBRATION_TOKENS)
    return (batch.rows.to(device).float() for batch in source.batches(n, seed=0))
