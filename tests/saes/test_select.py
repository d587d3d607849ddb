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
    assert torch.equal(pairs.token, pairs.token.sort().values)
    found = torch.zeros_like(pre_acts).index_put_((pairs.token, pairs.latent), values, accumulate=True)
    torch.testing.assert_close(found, torch.where(marked(pre_acts, bar), pre_acts, 0), rtol=1e-5, atol=1e-5)
    assert len(values) == marked(pre_acts, bar).sum()


def chosen(scores, bar: Bar, *, x=None, W=None, slack=None):
    """`choose` without a bias, and its pairs marked on the matrix; without x and W the scores are exact."""
    n, d_sae = scores.shape
    floor = bar.floor if isinstance(bar.floor, torch.Tensor) else torch.full((d_sae,), bar.floor)
    x, W = torch.zeros(n, 1) if x is None else x, torch.zeros(d_sae, 1) if W is None else W
    found = kernels(CPU, torch.float32).choose(scores.clone(), x, W, torch.zeros(d_sae), floor, bar.per_token, slack)
    marks = torch.zeros(n, d_sae, dtype=torch.bool)
    marks[found.row, found.latent] = True
    assert marks.sum() == len(found.row)
    return found, marks


@backends
@pytest.mark.parametrize("bar", [Bar(1.5, 8), Bar(-1e9, 8), Bar(2.0)])
def test_scores_that_are_off_by_less_than_the_slack_leave_nothing_out(backend, bar):
    x, W = normal(300, 24).float(), normal(704, 24, name="W").float() / 24**0.5
    exact, error = x @ W.T, 0.2 * torch.rand(300, generator=torch.Generator().manual_seed(0))
    off = exact + error[:, None] * (2 * torch.rand(300, 704, generator=torch.Generator().manual_seed(1)) - 1)
    with using(backend):
        found, marks = chosen(off.bfloat16(), bar, x=x, W=W, slack=error)
    assert found.certain
    assert torch.equal(marks, marked(exact, bar))
    torch.testing.assert_close(found.value, exact[found.row, found.latent])


@backends
def test_a_score_that_is_off_by_more_is_noticed(backend):
    x, W = normal(300, 24).float(), normal(704, 24, name="W").float() / 24**0.5
    off = (x @ W.T).bfloat16()
    off[17, 5] += 100.0
    with using(backend):
        assert not chosen(off, Bar(1.5, 8), x=x, W=W, slack=torch.full((300,), 0.01))[0].certain


@backends
def test_a_batch_that_bf16_cannot_be_trusted_with_is_done_in_float32(backend, monkeypatch):
    monkeypatch.setattr("saescope.saes.select.SAFETY", 1e-3)  # what is allowed for is far too little
    x, e = normal(200, 48).float(), encoder(48, 700)
    with using(backend):
        found, exact = (select(x, e, Bar(per_token=5), precision) for precision in ("bf16", "fp32"))
    assert torch.equal(found[0].latent, exact[0].latent)
    assert torch.equal(found[1], exact[1])


@backends
def test_rows_far_longer_than_the_others_are_allowed_errors_of_their_own_size(backend):
    x, e = normal(500, 48).float(), encoder(48, 704)
    x[3] *= 300  # between the rows of the sample
    with using(backend):
        pairs, values = select(x, e, Bar(per_token=5), "bf16")
    kept = marked((x - e.centre) @ e.W_enc + e.bias, Bar(per_token=5))
    assert kept[pairs.token, pairs.latent].all()
    assert len(values) == kept.sum()


@backends
def test_ties_rows_without_candidates_and_crowded_rows(backend):
    scores = torch.zeros(4, 256)
    scores[1, 7], scores[2], scores[3] = 5.0, 1.0, torch.arange(256) / 256
    with using(backend):
        assert torch.equal(chosen(scores, Bar(0.5))[1], scores > 0.5)
        ties = chosen(scores, Bar(0.5, 3))[1]
    assert ties.sum(1).tolist() == [0, 1, 3, 3]  # of equal ones as many as fit


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
    assert set(zip(rough.token.tolist(), rough.latent.tolist(), strict=True)) == set(
        zip(exact.token.tolist(), exact.latent.tolist(), strict=True)
    )
