"""Bugs of other libraries that concern the loop, the scale and the start, as tests of ours.

Those of one class or function stand with it: `tests/saes`, `tests/golden`, `test_parts.py`, `tests/activations`.
"""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from saescope.activations.scale import estimate_scales
from saescope.activations.source import TensorSource
from saescope.saes.registry import build
from saescope.training.config import TrainConfig
from saescope.training.loop import Job, train
from saescope.training.objective import Reconstruction
from saescope.training.trainee import Trainee
from variants import VARIANTS, data, job, make, normal


def cfg(steps=3, batch_tokens=256, **kwargs):
    return TrainConfig(tokens=steps * batch_tokens, batch_tokens=batch_tokens, **{"lr": 3e-3, "seed": 1, **kwargs})


class Watched(Reconstruction):
    """Reconstruction that keeps what it was given, on the path asked for; None: on the one that the loop chose."""

    def __init__(self, sparse=None):
        self.sparse, self.rows, self.dead = sparse, [], []

    def __call__(self, given):
        self.rows.append(given.batch.rows)
        self.dead.append(given.state.dead.clone())
        return given.sae.loss(given.x, given.target, given.state if self.sparse is None else replace(given.state, sparse=self.sparse))


def numbered(n, d=16):
    """Rows that tell their number: column 0, of unit size with the others."""
    x = normal(n, d).float()
    x[:, 0] = torch.arange(n) / n
    return x


@pytest.mark.parametrize("batch_tokens", [256, 1000])
def test_training_reads_each_token_once_from_token_0(batch_tokens):
    """SAELens: the estimate of norms eats the first 4.1M tokens."""
    rows, objective = numbered(3000), Watched()
    source = TensorSource(rows)
    n = 2048 // batch_tokens * batch_tokens
    train(build("topk", 16, 24, {"k": 3}), source, cfg(n // batch_tokens, batch_tokens), objective=objective)
    stream = torch.cat([batch.rows for batch in source.batches(n, seed=1)])
    assert Counter(torch.cat(objective.rows)[:, 0].tolist()) == Counter(stream[:, 0].tolist())
    assert all(len(rows) == batch_tokens for rows in objective.rows)


def test_a_batch_larger_than_the_pool_would_be_still_trains():
    """SAELens: a pool smaller than a batch stalls."""
    sae = build("topk", 16, 24, {"k": 3})
    report = train(sae, TensorSource(numbered(3000)), cfg(1, 5000))
    assert (report.steps, report.tokens) == (1, 5000)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_sparse_path_and_the_dense_one_train_the_same_sae(name):
    """SAELens: the sparse backward crashes, or trains something else."""
    saes = []
    for sparse in (False, True):
        sae = make(name)
        train(job(sae), data(sae), cfg(4, dead_tokens=300), objective=Watched(sparse))
        saes.append(sae)
    for key, value in saes[0].state_dict().items():
        off = ~torch.isclose(saes[1].state_dict()[key], value, rtol=1e-3, atol=1e-4)
        assert off.double().mean() < 0.01, key  # a pair at its threshold falls either way by a rounding, and jumps


@pytest.mark.parametrize(("name", "options"), [("batch_topk", {}), ("gated", {"l0": 3.0}), ("crosscoder batch_topk", {})])
@pytest.mark.filterwarnings("ignore:sae was to have an L0")  # 20 steps are few
def test_what_is_counted_survives_a_stop(name, options, tmp_path):
    """Dead counters, controller, running means and scales: the resumed run reports what the whole one does."""

    class Stopped(Exception): ...

    def stop(tokens):
        if tokens == 11 * 256:
            raise Stopped

    asked = cfg(20, checkpoint_steps=10, dead_tokens=600)
    source = data(make(name))
    whole = train(job(make(name, **options)), source, asked)
    with pytest.raises(Stopped):
        train(job(make(name, **options)), source, asked, checkpoints=tmp_path, progress=stop)
    objective = Watched()
    resumed = train(job(make(name, **options)), source, asked, checkpoints=tmp_path, objective=objective)
    assert len(objective.dead) == 10
    assert resumed.facts == whole.facts


@pytest.mark.parametrize("batch_tokens", [128, 512])
def test_a_latent_dies_after_so_many_tokens_whatever_the_batch(batch_tokens):
    """Counted in batches (BatchTopK), in steps (SAELens), in epochs (overcomplete)."""
    sae, objective = build("topk", 16, 24, {"k": 3, "alpha": 0.0}), Watched()
    with torch.no_grad():
        sae.b_enc[5] = -1e3
    train(
        Job(sae, fresh=False), TensorSource(numbered(3000)), cfg(2048 // batch_tokens, batch_tokens, dead_tokens=1024), objective=objective
    )
    dead_at = next(step for step, dead in enumerate(objective.dead) if dead[5]) * batch_tokens
    assert dead_at == 1024
    assert not any(dead[5] for dead in objective.dead[: 1024 // batch_tokens])


@pytest.mark.parametrize("name", [name for name in VARIANTS if make(name).tied])
def test_a_far_outlier_moves_neither_the_scale_nor_the_first_b_dec(name):
    """llamascopium: the "geometric median" is the mean; SAELens, dictionary_learning: tokens of outlying norm set the scale."""
    rows = normal(2000, 16).float() + 3
    starts = []
    for outlier in (False, True):
        rows[7] = 1e6 if outlier else rows[8]
        trainee = Trainee(Job(make(name)), {"x": slice(0, 16)}, cfg())
        scales, sample = estimate_scales(TensorSource(rows), seed=1, n_tokens=2000)
        trainee.start(scales, sample)
        starts.append((scales["x"].value, trainee.sae.b_dec / scales["x"].value))
        assert trainee.columns.n_outliers == outlier
    assert starts[0][0] == pytest.approx(starts[1][0], rel=0.01)
    assert (starts[0][1] - starts[1][1]).norm() < 1
    assert (starts[0][1] - 3).norm() < 1


@pytest.mark.parametrize("name", [name for name in VARIANTS if make(name).tied])
def test_a_start_on_a_point_of_the_sample_is_finite(name):
    """Weiszfeld's weights divide by the distance to each point, which may be 0."""
    sae = make(name)
    source = TensorSource(torch.ones(600, data(sae).cfg.d))
    source.slices = data(sae).slices
    report = train(job(sae), source, cfg(2))
    assert all(p.isfinite().all() for p in sae.parameters())
    assert report.skipped_steps == 0


def test_a_threshold_moves_at_the_learning_rate_however_small_it_is():
    """SAELens: thresholds kept in bf16, or as logarithms, stall."""
    for start in (0.001, 0.1, 3.0):
        sae = build("jumprelu", 16, 24, {"theta": start, "l0": 3})
        trainee = Trainee(Job(sae), {"x": slice(0, 16)}, cfg(lr=1e-3))
        for group in trainee.optimizer.param_groups:
            group["lr"] = trainee.lr
        for _ in range(200):
            for p in sae.parameters():
                p.grad = torch.zeros_like(p)
            sae.theta.grad.fill_(-1e-3)
            trainee.optimizer.step()
            sae.constrain_()
        assert sae.theta.dtype == torch.float32
        assert (sae.theta - start).mean().item() == pytest.approx(0.2, rel=0.05)


def test_one_process_without_a_group_trains_and_checkpoints(tmp_path):
    """openai needs torchrun; dictionary_learning's backup reads a factor that is not defined without scaling."""
    train(build("topk", 16, 24, {"k": 3}), TensorSource(numbered(3000)), cfg(4, checkpoint_steps=2), checkpoints=tmp_path)
    assert not torch.distributed.is_initialized()
    assert (tmp_path / "step-000000002" / "manifest.json").exists()
