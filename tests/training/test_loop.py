"""The one loop: what it minimises, how it resumes, how it ends."""

import os
import signal
import threading

import pytest
import torch
from safetensors.torch import load_file

from saescope.activations.source import Batch, TensorSource
from saescope.draws import draws
from saescope.errors import ConfigError, ProvenanceMismatch, TrainingDiverged, WidthMismatch
from saescope.saes.registry import build
from saescope.training.config import TrainConfig
from saescope.training.loop import Job, train
from variants import VARIANTS, data, job, make

D, F, K = 16, 48, 4
OPTIONS = {
    **{name: {"k": K} for name in ("topk", "batch_topk", "matryoshka")},
    **{name: {"l0": K} for name in ("relu", "gated", "jumprelu")},
    "autoencoder": {},
}
RESUMED = [*((name, {}) for name in VARIANTS), ("relu", {"l0": K}), ("gated", {"l0": K, "resample": "centred"})]


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape)).float()


@pytest.fixture(scope="module")
def rows():
    """Sparse combinations of 32 unit directions, off centre, far from unit scale."""
    directions = torch.nn.functional.normalize(normal(32, D, name="directions"), dim=1)
    on = torch.from_numpy(draws(0, "test", "on").random((6000, 32)) < 0.08)
    return 0.05 * ((normal(6000, 32).abs() + 0.5) * on @ directions + 0.3)


@pytest.fixture
def source(rows):
    return TensorSource(rows)


def cfg(**kwargs):
    return TrainConfig(**{"tokens": 40 * 256, "batch_tokens": 256, "lr": 3e-3, "seed": 1, "log_steps": 10, **kwargs})


def new(architecture="batch_topk", **kwargs):
    return build(architecture, D, F, OPTIONS[architecture], **{"seed": 1, **kwargs})


def fvu(sae, x):
    return ((x - sae(x)).square().sum() / (x - x.mean(0)).square().sum()).item()


def assert_equal(a, b):
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


@pytest.mark.parametrize("architecture", sorted(OPTIONS))
def test_every_architecture_learns_and_takes_raw_activations_afterwards(architecture, source, rows):
    sae, n_steps = new(architecture), 1000 if "l0" in OPTIONS[architecture] else 200
    records = []
    report = train(sae, source, cfg(tokens=n_steps * 256), record=records.append)
    assert report.sae is sae
    assert (report.steps, report.tokens) == (n_steps, n_steps * 256)
    assert fvu(sae, rows) < 0.35
    assert records[-1]["saes"]["sae"]["fvu"] < 0.5 * records[0]["saes"]["sae"]["fvu"] + 0.1
    assert [r["step"] for r in records] == list(range(10, n_steps + 1, 10))
    if architecture != "autoencoder":
        last = [record["saes"]["sae"]["l0"] for record in records[-10:]]  # of one batch each
        assert sum(last) / len(last) == pytest.approx(K, rel=0.05)
    assert (sae.W_dec.norm(dim=1) - 1).abs().max() < 1e-6


def test_a_larger_penalty_is_sparser(source, rows):
    l0 = []
    for coefficient in (0.1, 3.0):
        sae = build("relu", D, F, {"l1": coefficient}, seed=1)
        train(sae, source, cfg(tokens=200 * 256))
        l0.append((sae.encode(rows) > 0).sum(1).float().mean().item())
    assert l0[1] < 0.6 * l0[0]


def test_inputs_four_times_larger_give_the_same_run_bitwise(rows):
    a, b = new(), new()
    train(a, TensorSource(rows), cfg())
    train(b, TensorSource(rows * 4), cfg())
    assert torch.equal(a.W_dec, b.W_dec)
    assert torch.equal(a.b_dec * 4, b.b_dec)


def test_one_beside_another_is_one_alone(source):
    alone = new("topk")
    train(alone, source, cfg())
    beside = {"a": new("topk"), "b": build("relu", D, F, {"l1": 0.5}, seed=2), "c": Job(new(), cfg=cfg(lr=1e-3))}
    report = train(beside, source, cfg())
    assert_equal(alone, beside["a"])
    assert set(report.saes) == set(report.facts) == {"a", "b", "c"}


@pytest.mark.filterwarnings("ignore:.*was to have an L0")  # not in 40 steps
@pytest.mark.parametrize(("name", "options"), RESUMED, ids=lambda value: value if isinstance(value, str) else "-".join(value))
@pytest.mark.parametrize("stop_after", [1, 13, 39])
def test_a_stopped_run_goes_on_bit_for_bit(name, options, stop_after, tmp_path):
    """Through warm-up, AuxK (latents count as dead soon), resampling (due after 5, 10, 15, 20 steps), the L0 controller and decay."""

    def new():
        return make(name, **options)

    whole, source = new(), data(new())
    train(job(whole), source, cfg(checkpoint_steps=1000, dead_tokens=512))

    class Stopped(Exception): ...

    def stop(tokens):
        if tokens == (stop_after + 1) * 256:
            raise Stopped

    again = cfg(checkpoint_steps=stop_after, dead_tokens=512)
    with pytest.raises(Stopped):
        train(job(new()), source, again, checkpoints=tmp_path, progress=stop)
    resumed = new()
    steps = []
    train(job(resumed), source, again, checkpoints=tmp_path, progress=steps.append)
    assert steps[0] == (stop_after + 1) * 256
    assert_equal(whole, resumed)


def test_two_checkpoints_are_kept_and_a_corrupt_newest_is_skipped(source, tmp_path):
    train(new(), source, cfg(checkpoint_steps=10), checkpoints=tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000000020", "step-000000030"]
    (weights,) = (tmp_path / "step-000000030").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    steps = []
    with pytest.warns(UserWarning, match="step-000000030"):
        train(new(), source, cfg(checkpoint_steps=10), checkpoints=tmp_path, progress=steps.append)
    assert steps[0] == 21 * 256


def test_a_checkpoint_of_another_run_is_refused(source, tmp_path):
    train(new(), source, cfg(checkpoint_steps=10), checkpoints=tmp_path)
    with pytest.raises(ProvenanceMismatch, match="saes, train differ"):
        train(new(), source, cfg(checkpoint_steps=10, lr=1e-3), checkpoints=tmp_path)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_finishes_the_step_checkpoints_and_ends(number, error, source, tmp_path):
    def interrupt(tokens):
        if tokens == 17 * 256:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(error) as raised:
        train(new(), source, cfg(), checkpoints=tmp_path, progress=interrupt)
    assert (tmp_path / "step-000000017" / "manifest.json").exists()
    assert signal.getsignal(number) is before
    if error is SystemExit:
        assert raised.value.code == 143
    else:
        assert "step-000000017: the same command continues" in str(raised.value)


def test_training_works_outside_the_main_thread(source):
    reports = []
    thread = threading.Thread(target=lambda: reports.append(train(new(), source, cfg(tokens=2 * 256))))
    thread.start()
    thread.join()
    assert reports[0].steps == 2


class Spoiled(TensorSource):
    """A source with NaN in some batches of the stream."""

    def __init__(self, rows, bad):
        super().__init__(rows)
        self.bad = bad

    def batches(self, n_tokens, *, seed, start=0):
        for i in range(n_tokens // 256):
            rows = self.rows[i * 256 % 5000 :][:256].clone()
            if i in self.bad:
                rows[0, 0] = torch.nan
            yield Batch(rows)


def small_ring(monkeypatch):
    """Batches leave the pool as they came: a spoiled one spoils one step."""
    from saescope.activations.shuffle import PoolPlan

    monkeypatch.setattr(PoolPlan, "fitting", classmethod(lambda cls, **k: cls(n_tokens=k["n_tokens"], batch_tokens=256, rows=256, seed=1)))


def test_a_step_without_a_finite_loss_is_skipped_three_in_a_row_end_the_run(rows, monkeypatch, tmp_path):
    small_ring(monkeypatch)
    sae = new()
    report = train(sae, Spoiled(rows, {5, 9}), cfg())
    assert report.skipped_steps == 2
    assert all(p.isfinite().all() for p in sae.parameters())
    with pytest.raises(TrainingDiverged, match=r"last 3 steps \(tokens 2,048 to 2,816\).*step-000000009.*Lower --lr"):
        train(new(), Spoiled(rows, {8, 9, 10}), cfg(checkpoint_steps=3), checkpoints=tmp_path)


def test_a_learning_rate_far_too_large_never_saves_broken_weights(source, tmp_path):
    with pytest.raises(TrainingDiverged, match="Lower --lr"):
        train(new("relu"), source, cfg(lr=1e30, checkpoint_steps=5), checkpoints=tmp_path)
    for path in tmp_path.rglob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values())


def test_what_does_not_fit_is_refused_before_training(source):
    with pytest.raises(WidthMismatch, match="reads d_in=5, but x is 16 wide"):
        train(build("topk", 5, F, {"k": K}), source, cfg())
    with pytest.raises(ConfigError, match="the job names y, but the source has x"):
        train(Job(new(), read=("y",)), source, cfg())
    with pytest.raises(ConfigError, match="no SAE"):
        train({}, source, cfg())


def test_constant_activations_train_without_nan():
    sae = new()
    report = train(sae, TensorSource(torch.ones(2000, D)), cfg(tokens=5 * 256))
    assert report.steps == 5
    assert all(p.isfinite().all() for p in sae.parameters())


def test_an_sae_that_is_not_fresh_goes_on_from_its_weights(source, rows):
    sae = new("topk")
    train(sae, source, cfg(tokens=200 * 256))
    before = fvu(sae, rows)
    train(Job(sae, fresh=False), source, cfg(tokens=2 * 256, lr=1e-9, warmup=0))
    assert fvu(sae, rows) == pytest.approx(before, rel=1e-3)


class Two(TensorSource):
    """The same rows at two hook points, the second ten times larger."""

    def __init__(self, rows):
        super().__init__(torch.cat([rows, 10 * rows], dim=1))
        self.slices = {"a": slice(0, D), "b": slice(D, 2 * D)}


def test_a_job_reads_its_own_columns_at_their_own_scale(rows):
    sae = new()
    train({"b": Job(sae, read=("b",))}, Two(rows), cfg(tokens=200 * 256))
    assert fvu(sae, 10 * rows) < 0.35


def test_several_points_and_another_target_need_architectures_of_their_own(rows):
    with pytest.raises(ConfigError, match="reads one hook point, but was given 2"):
        train(new(), Two(rows), cfg())
    with pytest.raises(ConfigError, match="reconstructs what it reads"):
        train(Job(new(), read=("a",), target="b"), Two(rows), cfg())


def test_a_jobs_own_config_follows_the_budget_of_the_run(source):
    own = TrainConfig(lr=1e-3, tokens=10 * 256, batch_tokens=256)
    records = []
    train({"a": Job(new(), cfg=own)}, source, cfg(), record=records.append)
    rates = [record["saes"]["a"]["lr"] for record in records]
    assert len(rates) == 4
    assert all(rate >= 0 for rate in rates)
    assert rates[0] == pytest.approx(max(rates))
    assert records[-1]["saes"]["a"]["dead_after_tokens"] == 40 * 256 // 20


def test_a_stop_in_the_last_step_leaves_a_run_that_finishes(source, tmp_path):
    def interrupt(tokens):
        if tokens == 40 * 256:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        train(new(), source, cfg(), checkpoints=tmp_path, progress=interrupt)
    report = train(new(), source, cfg(), checkpoints=tmp_path)
    assert report.steps == 40
    assert report.facts["sae"]["fvu"] > 0


def test_a_run_that_ends_without_a_finite_loss_has_diverged(rows, monkeypatch):
    small_ring(monkeypatch)
    with pytest.raises(TrainingDiverged, match="last 1 steps"):
        train(new(), Spoiled(rows, {39}), cfg())


def test_other_rows_of_the_same_shape_are_not_continued(rows, tmp_path):
    train(new(), TensorSource(rows), cfg(checkpoint_steps=10), checkpoints=tmp_path)
    with pytest.raises(ProvenanceMismatch, match="source differ"):
        train(new(), TensorSource(rows.flip(0)), cfg(checkpoint_steps=10), checkpoints=tmp_path)


def test_intervals_may_change_when_a_run_is_continued(source, tmp_path):
    train(new(), source, cfg(checkpoint_steps=10), checkpoints=tmp_path)
    steps = []
    train(new(), source, cfg(checkpoint_steps=7, log_steps=3), checkpoints=tmp_path, progress=steps.append)
    assert steps[0] == 31 * 256
