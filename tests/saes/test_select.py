"""Which pairs are kept: every backend and precision finds those that the plain rule marks on the whole matrix."""

import pytest
import torch

from saescope.errors import ConfigError
from saescope.saes.kernels import compiled, kernels, using
from saescope.saes.registry import build
from saescope.saes.select import Bar, Encoder, select
from variants import VARIANTS, make, normal, state, target_of, total

backends = pytest.mark.parametrize("backend", ["torch", "compiled"])
precisions = pytest.mark.parametrize("precision", ["fp32", "bf16"])
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_compiler(request):
    if "backend" in request.fixturenames and request.getfixturevalue("backend") == "compiled" and compiled.load() is None:
        pytest.skip("there is no C compiler here")


def marked(pre_acts, bar: Bar):
    """The rule itself, on the whole matrix."""
    kept = pre_acts > bar.floor
    if bar.per_token is not None and bar.per_token < pre_acts.shape[1]:
        kept &= pre_acts >= pre_acts.topk(bar.per_token, dim=1).values[:, -1:]
    if bar.in_all is not None and bar.in_all < kept.sum():
        kept &= pre_acts >= pre_acts[kept].topk(bar.in_all).values[-1]
    return kept


def encoder(d_in: int, d_sae: int) -> Encoder:
    W = normal(d_sae, d_in, name="W").float()
    return Encoder((W / W.norm(dim=1, keepdim=True)).T, 0.1 * normal(d_sae, name="b").float(), 0.1 * normal(d_in, name="c").float())


@backends
@precisions
@pytest.mark.parametrize("d_sae", [5, 64, 700, 2048])
@pytest.mark.parametrize("rule", ["per_token", "all", "floor", "floors", "both", "in_all", "none"])
def test_the_pairs_are_those_of_the_rule(backend, precision, d_sae, rule):
    x, e = normal(1100, 48).float(), encoder(48, d_sae)  # more than two chunks of rows
    bar = {
        "per_token": Bar(per_token=3),
        "all": Bar(floor=-1e9, per_token=d_sae),
        "floor": Bar(floor=1.0),
        "floors": Bar(floor=1 + 0.3 * normal(d_sae, name="floor").float()),
        "both": Bar(floor=1.5, per_token=4),
        "in_all": Bar(floor=0.5, in_all=2000),
        "none": Bar(floor=1e9),
    }[rule]
    pre_acts = (x - e.centre) @ e.W_enc + e.bias
    with using(backend):
        pairs, values = select(x, e, bar, precision)
    token, latent = marked(pre_acts, bar).nonzero(as_tuple=True)
    assert torch.equal(pairs.token, token)
    assert torch.equal(pairs.latent, latent)
    torch.testing.assert_close(values, pre_acts[token, latent], rtol=1e-5, atol=1e-5)


@backends
def test_scores_that_may_be_off_leave_nothing_out(backend):
    """Whatever the scores are off by, up to the error that is stated."""
    exact, k, error = normal(300, 700).float(), 8, 0.2
    off = exact + error * (2 * torch.rand(300, 700, generator=torch.Generator().manual_seed(0)) - 1)
    with using(backend):
        row, latent = kernels(CPU, torch.float32).candidates(off, torch.full((700,), 1.5), k, error)
    found = torch.zeros(300, 700, dtype=torch.bool)
    found[row, latent] = True
    assert found[marked(exact, Bar(1.5, k))].all()
    assert found.sum() < 4 * 300 * k  # and few others


@backends
def test_ties_rows_without_candidates_and_crowded_rows(backend):
    scores = torch.zeros(4, 256)
    scores[1, 7], scores[2], scores[3] = 5.0, 1.0, torch.arange(256) / 256
    with using(backend):
        row, latent = kernels(CPU, torch.float32).candidates(scores, torch.full((256,), 0.5), None, 0.0)
    assert torch.equal(torch.stack([row, latent]), torch.stack((scores >= 0.5).nonzero(as_tuple=True)))


@backends
@pytest.mark.parametrize("n", [0, 1, 5000])
def test_row_products(backend, n):
    a, b = normal(40, 33).float(), normal(70, 33, name="b").float()
    token, latent = torch.arange(n) * 40 // max(n, 1), torch.arange(n) * 7 % 70
    with using(backend):
        found = kernels(CPU, torch.float32).row_products(a, b, token, latent)
    torch.testing.assert_close(found, (a[token] * b[latent]).sum(1))


@pytest.mark.parametrize("name", VARIANTS)
@backends
@precisions
def test_losses_and_gradients_in_float32_are_the_dense_ones(name, backend, precision):
    found = []
    for sparse in (False, True):
        sae = make(name, 64, 256)
        x = normal(700, sae.d_in).float()
        with using(backend):
            terms = sae.loss(
                x, x if not sae.transcodes else target_of(sae, 700).float(), state(sae, (3, 9), sparse=sparse, precision=precision)
            )
            total(terms).backward()
        grads = {key: p.grad for key, p in sae.named_parameters() if p.grad is not None}
        found.append({"loss": torch.stack(list(terms.values())).detach(), **grads})
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()) + 1e-12, msg=key)


def test_a_compiler_that_fails_is_said_once_and_pytorch_takes_over(monkeypatch, tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho no such flag >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(UserWarning, match="could not be built.*no such flag"):
        assert compiled.load() is None
    assert [path.name for path in (tmp_path / "saescope").iterdir()] == []


def test_without_a_compiler_nothing_is_said(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    assert compiled.load() is None


def test_the_library_is_built_once(monkeypatch, tmp_path):
    if compiled.load() is None:
        pytest.skip("there is no C compiler here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiled.load() is not None
    (built,) = (tmp_path / "saescope").iterdir()
    stamp = built.stat().st_mtime_ns
    assert compiled.load() is not None
    assert built.stat().st_mtime_ns == stamp


def test_an_unknown_backend_is_refused():
    with using("fast"), pytest.raises(ConfigError, match="SAESCOPE_KERNELS=fast was set"):  # type: ignore[arg-type]
        kernels(CPU, torch.float32)


def test_float64_and_other_devices_take_pytorch():
    assert kernels(CPU, torch.float64).name == "torch"
    assert kernels(torch.device("meta"), torch.float32).name == "torch"


@backends
def test_bf16_misses_nothing_on_trained_weights(backend):
    """The k largest of each row, on weights that have learnt: all of them are found."""
    from saescope.toys.synthetic import SyntheticConfig, SyntheticTruth
    from saescope.training.config import TrainConfig
    from saescope.training.loop import train

    source = SyntheticTruth(SyntheticConfig(d=64))
    sae = build("topk", 64, 512, {"k": 8})
    train(sae, source, TrainConfig(tokens=100 * 512, batch_tokens=512))
    x = next(iter(source.batches(4096, seed=5))).rows.float()[:4096]
    with using(backend):
        rough, exact = (select(x, sae.encoder, sae.bar, precision)[0] for precision in ("bf16", "fp32"))
    assert torch.equal(rough.token, exact.token)
    assert torch.equal(rough.latent, exact.latent)
