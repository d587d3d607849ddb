"""Training through the model: KL by hand, in chunks, with gradients for the SAE alone; whole sequences; exact resume."""

import contextlib
from dataclasses import replace

import pytest
import torch

import tiny
import tiny_run
from saescope.activations.shuffle import PoolPlan
from saescope.activations.source import TensorSource
from saescope.activations.stream import StreamSource
from saescope.data import Corpus, PackConfig
from saescope.draws import draws
from saescope.errors import ConfigError
from saescope.models.hook_point import HookPoint
from saescope.saes.base import TrainState
from saescope.saes.losses import mse
from saescope.saes.registry import ARCHITECTURES, build
from saescope.training.columns import Columns
from saescope.training.config import TrainConfig
from saescope.training.end_to_end import EndToEnd, frozen, later_points, put, relative_error
from saescope.training.last_tokens import LastTokens
from saescope.training.loop import train
from saescope.training.objective import Given
from saescope.training.readout import Readout, mean_kl
from saescope.training.sequences import whole_sequences

AT, D, F = "blocks.0.resid_post", 16, 48
PLAIN = [name for name, (kind, _) in ARCHITECTURES.items() if not kind.transcodes and not kind.joins]


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape)).float()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus.open(tiny_run.write_stories(tmp_path_factory.mktemp("text") / "stories.txt"))


@pytest.fixture(scope="module")
def lm():
    return tiny.tiny_lm()


@pytest.fixture
def source(lm, corpus):
    return StreamSource(lm, AT, corpus, PackConfig(context=24, packing="documents", bos=True, batch_sequences=8))


def plan(**changes):
    return PoolPlan(**{"n_tokens": 20 * 64, "batch_tokens": 64, "rows": 64, "seed": 0} | changes)


def cfg(**changes):
    return TrainConfig(**{"tokens": 20 * 64, "batch_tokens": 64, "lr": 2e-3, "seed": 0, "log_steps": 5} | changes)


def new(architecture="topk", **options):
    return build(architecture, D, F, ({"k": 4} if architecture == "topk" else {}) | options, seed=1)


def given_of(objective, source, sae, batch=None, x=None):
    batch = next(objective.batches(source, plan(), 0)) if batch is None else batch
    columns = Columns(sae, (), None, source.slices)
    x = columns.x(batch.rows) if x is None else x
    return Given(sae, x, x, TrainState(0, 0, 1.0, torch.zeros(F, dtype=torch.bool)), batch, columns)


def assert_equal(a, b):
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


class Exact(torch.nn.Module):
    """An SAE whose x_hat is scale * x."""

    d_out, W_dec = D, torch.eye(D)

    def __init__(self, scale=1.0):
        super().__init__()
        self.b_dec, self.d_in = torch.zeros(D), D
        self.scale = torch.nn.Parameter(torch.tensor(scale))
        self.transcodes = self.joins = False

    def pre_acts(self, x):
        return x

    training_latents = pre_acts

    def reconstruct(self, x, latents):
        return self.scale * latents

    def loss(self, x, target, state):
        return {"mse": mse(target - self.scale * x), "sparsity": 0 * self.scale}


# --- the loss ---------------------------------------------------------------------------------------------------------------------


def test_an_exact_reconstruction_costs_nothing(lm, source):
    objective = EndToEnd(lm=lm, downstream=1.0, downstream_at=["blocks.1.resid_mid", "blocks.1.resid_post"])
    terms = objective(given := given_of(objective, source, Exact()))
    assert given.state.observed["kl"] == 0
    assert given.state.observed["downstream"] == 0
    assert terms["end_to_end"].item() == 0


def test_kl_is_of_the_clean_model_by_hand():
    clean, other = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log(), torch.tensor([[0.5, 0.5], [0.5, 0.5]]).log()
    by_hand = (0.8 * torch.tensor(0.8 / 0.5).log() + 0.2 * torch.tensor(0.2 / 0.5).log()) / 2
    kl = mean_kl(clean, other, lambda h: h, 1)
    assert kl.item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert mean_kl(other, clean, lambda h: h, 1).item() != pytest.approx(by_hand.item(), rel=1e-2)


def test_the_loss_is_that_of_two_whole_runs(lm, source):
    """Against logits of whole passes, one clean and one with x_hat put in by hand."""
    objective, sae = EndToEnd(lm=lm, downstream=0.5, downstream_at=["blocks.1.resid_post"]), new()
    given = given_of(objective, source, sae)
    terms = objective(given)
    text = given.batch.text
    with torch.no_grad():
        x_hat = sae.reconstruct(given.x, sae.training_latents(sae.pre_acts(given.x)))
        clean = lm.run(text.tokens, mask=text.mask, read=["blocks.1.resid_post"])
        edited = lm.run(text.tokens, mask=text.mask, read=["blocks.1.resid_post"], edit=[put(HookPoint.parse(AT), x_hat, text.counted)])
    log_p, log_q = (run.logits[text.counted].log_softmax(-1) for run in (clean, edited))
    kl = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    h, h_put = (run["blocks.1.resid_post"][text.counted] for run in (clean, edited))
    downstream = (h_put - h).square().mean() / h.square().mean()
    assert kl > 0.01
    assert given.state.observed["kl"].item() == pytest.approx(kl.item(), rel=1e-4)
    assert given.state.observed["downstream"].item() == pytest.approx(downstream.item(), rel=1e-4)
    assert terms["end_to_end"].item() == pytest.approx(D * (kl + 0.5 * downstream).item(), rel=1e-4)


def test_in_chunks_it_is_the_same_value_and_gradient():
    h_clean, weight = normal(37, 8), normal(8, 50, name="w")
    results = []
    for chunk in (1, 5, 37, 100):
        h = normal(37, 8, name="h").requires_grad_()
        kl = mean_kl(h_clean, h, lambda h: h @ weight, chunk)
        (3 * kl).backward()
        results.append((kl.item(), h.grad))
    h = normal(37, 8, name="h").requires_grad_()
    log_p, log_q = (h_clean @ weight).log_softmax(-1), (h @ weight).log_softmax(-1)
    dense = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    (3 * dense).backward()
    for value, gradient in results:
        assert value == pytest.approx(dense.item(), rel=1e-5)
        torch.testing.assert_close(gradient, h.grad, rtol=1e-4, atol=1e-6)


def test_logits_of_a_whole_chunk_are_the_most_that_exists(lm, source, monkeypatch):
    seen = []
    objective = EndToEnd(lm=lm)
    unembedded = objective.readout._unembedded
    monkeypatch.setattr(objective.readout, "_unembedded", lambda h: seen.append(len(h)) or unembedded(h))
    monkeypatch.setattr("saescope.training.readout.LOGITS_CPU", 10 * lm.d_vocab)
    objective(given_of(objective, source, new()))
    assert max(seen) == 10
    assert sum(seen) >= 2 * 64


@pytest.mark.parametrize("architecture", PLAIN)
def test_the_gradient_is_that_of_autograd_through_it_all(architecture, lm, source):
    """The model's part is differentiated first, alone: equal to one graph of everything, for every architecture."""
    objective, sae = EndToEnd(lm=lm, mse=0.5), new(architecture)
    if hasattr(sae, "tau"):
        sae.tau.fill_(0.1)
    given = given_of(objective, source, sae)
    terms = objective(given)
    torch.stack(list(terms.values())).sum().backward()
    ours = {name: p.grad.clone() for name, p in sae.named_parameters() if p.grad is not None}
    sae.zero_grad()
    text = given.batch.text
    state = replace(given.state, observed={})
    own = sae.loss(given.x, given.target, state)
    x_hat = sae.reconstruct(given.x, sae.training_latents(sae.pre_acts(given.x)))
    run = lm.run(text.tokens, mask=text.mask, edit=[put(HookPoint.parse(AT), x_hat, text.counted)])
    log_p = lm.run(text.tokens, mask=text.mask).logits[text.counted].log_softmax(-1)
    kl = (log_p.exp() * (log_p - run.logits[text.counted].log_softmax(-1))).sum(-1).mean()
    (D * kl + 0.5 * own.pop("mse") + sum(own.values())).backward()
    for name, p in sae.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(ours[name], p.grad, rtol=1e-3, atol=1e-4 * float(p.grad.abs().max() + 1e-6))
    assert ours["W_dec"].abs().max() > 0
    assert given.state.observed["squared_error"].item() == pytest.approx(mse(given.target - x_hat.detach()).item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["skip_transcoder", "crosscoder"])
def test_x_hat_stands_where_it_is_written(kind, lm, corpus):
    """A transcoder's at its target, a crosscoder's at every hook point; a step lowers the loss."""
    points = ["blocks.0.resid_mid", "blocks.0.mlp_out"] if kind == "skip_transcoder" else ["blocks.0.resid_pre", "blocks.0.resid_post"]
    source = StreamSource(lm, points, corpus, PackConfig(context=24, batch_sequences=8))
    written = source.points[1:] if kind == "skip_transcoder" else source.points
    options = {"k": 4} if kind == "skip_transcoder" else {"k": 4, "widths": [D, D]}
    sae = build(kind, D if kind == "skip_transcoder" else 2 * D, F, options, d_out=D if kind == "skip_transcoder" else None, seed=1)
    objective = EndToEnd(lm=lm)
    batch = next(objective.batches(source, plan(), 0))
    columns = Columns(
        sae, source.points[:1] if kind == "skip_transcoder" else (), source.points[1] if sae.transcodes else None, source.slices
    )
    x = columns.x(batch.rows)
    given = Given(sae, x, columns.wanted(batch.rows, x), TrainState(0, 0, 1.0, torch.zeros(F, dtype=torch.bool)), batch, columns)
    loss = objective(given)["end_to_end"]
    loss.backward()
    with torch.no_grad():
        x_hat = sae.reconstruct(x, sae.training_latents(sae.pre_acts(x)))
        edits = [put(at, part, batch.text.counted) for at, part in zip(written, x_hat.split(D, dim=1), strict=True)]
        log_p, log_q = (
            lm.run(batch.text.tokens, mask=batch.text.mask, edit=edit).logits[batch.text.counted].log_softmax(-1) for edit in ([], edits)
        )
    assert loss.item() == pytest.approx(sae.d_out * (log_p.exp() * (log_p - log_q)).sum(-1).mean().item(), rel=1e-4)
    if kind == "skip_transcoder":
        assert sae.W_skip.grad.abs().max() > 0
    assert sae.W_dec.grad.abs().max() > 0


def test_the_model_takes_no_gradient_and_is_left_as_it_was(corpus):
    own = tiny.tiny_lm()
    trained = next(own.hf.parameters()).requires_grad_(True)
    source = StreamSource(own, AT, corpus, PackConfig(context=24, batch_sequences=8))
    objective, sae = EndToEnd(lm=own), new()
    torch.stack(list(objective(given_of(objective, source, sae)).values())).sum().backward()
    assert sae.W_dec.grad.abs().max() > 0
    assert all(p.grad is None for p in own.hf.parameters())
    assert [p for p in own.hf.parameters() if p.requires_grad] == [trained]
    with contextlib.suppress(ZeroDivisionError), frozen(own):
        assert not trained.requires_grad
        _ = 1 / 0
    assert trained.requires_grad


def test_special_positions_keep_x(lm, source):
    objective = EndToEnd(lm=lm)
    text = next(objective.batches(source, plan(), 0)).text
    away = put(HookPoint.parse(AT), torch.full((int(text.counted.sum()), D), 7.0), text.counted)
    clean, edited = (lm.run(text.tokens, mask=text.mask, read=[AT], edit=edit)[AT] for edit in ([], [away]))
    assert torch.equal(clean[~text.counted], edited[~text.counted])
    assert torch.allclose(edited[text.counted], torch.tensor(7.0))


def test_only_downstream_terms_stop_the_pass_early(lm, corpus, monkeypatch):
    source = StreamSource(lm, "blocks.0.attn_out", corpus, PackConfig(context=24, batch_sequences=8))
    stops = []
    run = lm.run
    monkeypatch.setattr(lm, "run", lambda *a, **k: stops.append(k["stop_at"]) or run(*a, **k))
    objective = EndToEnd(lm=lm, kl=0, downstream=1.0, downstream_at=["blocks.0.mlp_out", "blocks.1.resid_mid"])
    given = given_of(objective, source, new())
    terms = objective(given)
    assert [str(at) for at in stops] == ["blocks.1.resid_mid"] * 2
    assert set(given.state.observed) >= {"downstream"}
    assert "kl" not in given.state.observed
    assert terms["end_to_end"].item() > 0


def test_a_relative_error():
    assert relative_error(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 3.0]])).item() == pytest.approx(1 / 25)


def test_balanced_the_models_gradient_is_as_large_as_that_of_the_squared_error(lm, source):
    sae = new("relu", l1=0.0)
    norms = []
    for objective in (EndToEnd(lm=lm, balance=True), EndToEnd(lm=lm, balance=True, kl=7.0)):
        given = given_of(objective, source, sae)
        for name in ("end_to_end", "mse"):
            sae.zero_grad()
            terms = objective(given) if name == "end_to_end" else sae.loss(given.x, given.target, given.state)
            terms[name].backward()
            norms.append(sae.W_dec.grad.norm().item())
    assert norms == pytest.approx([norms[1]] * 4, rel=1e-4)


# --- what it reads ----------------------------------------------------------------------------------------------------------------


def test_steps_are_whole_sequences_in_stream_order(source):
    batches = [batch for _, batch in zip(range(30), source.token_batches(seed=0), strict=False)]
    steps = [text for _, text in zip(range(40), whole_sequences(batches, 64), strict=False)]
    rows = [row for text in steps for row in text.rows.tolist()]
    assert rows == [row for batch in batches for row in batch.rows.tolist()][: len(rows)]
    read = [int(text.counted.sum()) for text in steps]
    for step in range(len(steps)):
        assert 0 <= sum(read[: step + 1]) - (step + 1) * 64 < 24
    whole = {int(row): batch.tokens[b][batch.mask[b]] for batch in batches for b, row in enumerate(batch.rows)}
    for text in steps:
        for b, row in enumerate(text.rows.tolist()):
            assert torch.equal(text.tokens[b][text.mask[b]], whole[row])
            assert not text.counted[b][~text.mask[b]].any()
    later = next(whole_sequences(batches, 64, first_step=7))
    assert torch.equal(later.tokens, steps[7].tokens)
    assert torch.equal(later.counted, steps[7].counted)


def test_rows_are_those_of_the_counted_tokens(lm, source):
    batch = next(EndToEnd(lm=lm).batches(source, plan(), 0))
    x = lm.run(batch.text.tokens, mask=batch.text.mask, read=[AT])[AT][batch.text.counted]
    assert torch.equal(batch.rows, x)


def test_steps_before_the_cursor_are_not_run(lm, source, monkeypatch):
    calls = []
    run = lm.run
    monkeypatch.setattr(lm, "run", lambda *a, **k: calls.append(1) or run(*a, **k))
    assert len(list(EndToEnd(lm=lm, kl=0, downstream=1.0, downstream_at=["blocks.1.resid_post"]).batches(source, plan(), 17))) == 3
    assert len(calls) == 3


def test_an_activation_that_is_not_finite_does_not_count(lm, source):
    objective = EndToEnd(lm=lm)
    text = next(objective.batches(source, plan(), 0)).text
    run = lm.run

    class Spoiled:
        def __getattr__(self, name):
            return getattr(lm, name)

        def run(self, *a, **k):
            found = run(*a, **k)
            found.acts[HookPoint.parse(AT)][0, 2] = torch.nan
            return found

    object.__setattr__(objective, "lm", Spoiled())
    from saescope.activations.source import NonFiniteGuard

    batch = objective._clean(source, text, NonFiniteGuard("x"))
    assert len(batch.rows) == int(text.counted.sum()) - 1
    assert torch.equal(
        batch.text.counted.nonzero(), text.counted.index_put((torch.tensor(0), torch.tensor(2)), torch.tensor(False)).nonzero()
    )
    assert batch.rows.isfinite().all()


# --- training ---------------------------------------------------------------------------------------------------------------------


def kl_of(lm, source, sae):
    objective = EndToEnd(lm=lm)
    given = given_of(objective, source, sae, next(objective.batches(source, plan(batch_tokens=1500, n_tokens=1500), 0)))
    objective(given)
    return given.state.observed["kl"].item()


def test_training_lowers_the_kl(lm, source):
    start, trained = new(), new()
    train(start, source, cfg(tokens=64, lr=1e-9))
    records = []
    report = train(trained, source, cfg(tokens=40 * 64, lr=1e-2), objective=EndToEnd(lm=lm), record=records.append)
    assert report.steps == 40
    assert kl_of(lm, source, trained) < 0.6 * kl_of(lm, source, start)
    facts = records[-1]["saes"]["sae"]
    assert facts["kl"] > 0
    assert facts["fvu"] > 0
    assert facts["end_to_end"] == pytest.approx(D * facts["kl"], rel=1e-5)


def test_kl_at_the_end_beats_squared_error_alone(lm, source):
    alone, finished = new(), new()
    settings = cfg(tokens=50 * 64, lr=5e-3)
    train(alone, source, settings)
    train(finished, source, settings, objective=LastTokens(EndToEnd(lm=lm, balance=True), share=0.4))
    assert kl_of(lm, source, finished) < 0.95 * kl_of(lm, source, alone)


@pytest.mark.parametrize(("share", "stop_after"), [(1.0, 7), (0.5, 3), (0.5, 13)])
def test_a_stopped_run_goes_on_bit_for_bit(share, stop_after, lm, source, tmp_path):
    objective = LastTokens(EndToEnd(lm=lm, mse=1.0, balance=True), share=share)
    whole = new()
    train(whole, source, cfg(), objective=objective)

    class Stopped(Exception): ...

    def stop(tokens):
        if tokens == (stop_after + 1) * 64:
            raise Stopped

    with pytest.raises(Stopped):
        train(new(), source, cfg(checkpoint_steps=stop_after), objective=objective, checkpoints=tmp_path, progress=stop)
    resumed, steps = new(), []
    train(resumed, source, cfg(checkpoint_steps=stop_after), objective=objective, checkpoints=tmp_path, progress=steps.append)
    assert steps[0] == (stop_after + 1) * 64
    assert_equal(whole, resumed)


def test_the_last_tokens_follow_on_the_first(lm, source):
    seen = list(LastTokens(EndToEnd(lm=lm), share=0.25).batches(source, plan(), 0))
    assert [batch.text is None for batch in seen] == [True] * 15 + [False] * 5
    all_rows = torch.cat([batch.rows for batch in source.batches(20 * 64, seed=0)])
    first = torch.cat([batch.rows for batch in seen[:15]])
    assert sorted(first.sum(1).tolist()) == sorted(all_rows[: 15 * 64].sum(1).tolist())
    last = torch.cat([batch.rows for batch in seen[15:]]).to(torch.bfloat16)
    begin = next(n for n in range(24) if torch.equal(last[:32], all_rows[15 * 64 + n :][:32]))
    assert begin < 24


def test_two_saes_on_one_pass_are_each_alone(lm, source):
    alone, beside = new(), {"a": new(), "b": new("relu", l1=1.0)}
    train(alone, source, cfg(), objective=EndToEnd(lm=lm))
    train(beside, source, cfg(), objective=EndToEnd(lm=lm))
    assert_equal(alone, beside["a"])


# --- models that do more than unembed ---------------------------------------------------------------------------------------------


def test_soft_capped_logits_are_in_the_chunks(corpus):
    capped = tiny.tiny_lm("gemma2", final_logit_softcapping=2.0)
    readout = Readout(capped)
    assert readout.at is not None
    tokens = torch.arange(12)[None]
    run = capped.run(tokens, read=[readout.at])
    assert torch.equal(readout.logits(run.acts[readout.at]), run.logits)
    assert run.logits.abs().max() < 2


def test_whole_logits_where_the_model_does_something_of_its_own(corpus, monkeypatch):
    own = tiny.tiny_lm()
    forward = own.hf.forward

    def twice(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits = 2 * output.logits
        return output

    monkeypatch.setattr(own.hf, "forward", twice)
    source = StreamSource(own, AT, corpus, PackConfig(context=24, batch_sequences=8))
    objective, sae = EndToEnd(lm=own), new()
    assert objective.readout.at is None
    given = given_of(objective, source, sae)
    objective(given)["end_to_end"].backward()
    assert given.state.observed["kl"] > 0
    assert sae.W_dec.grad.abs().max() > 0


# --- refusals ---------------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused(lm, source, corpus):
    with pytest.raises(ConfigError, match="kl=-1 weighs"):
        EndToEnd(lm=lm, kl=-1)
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        EndToEnd(lm=lm, kl=0)
    with pytest.raises(ConfigError, match="downstream=2 was given with 0 hook points"):
        EndToEnd(lm=lm, downstream=2.0)
    with pytest.raises(ConfigError, match=r"last=1\.5 is a share"):
        LastTokens(EndToEnd(lm=lm), share=1.5)
    with pytest.raises(ConfigError, match="TensorSource holds activations only"):
        next(EndToEnd(lm=lm).batches(TensorSource(normal(100, D)), plan(), 0))
    with pytest.raises(ConfigError, match="TensorSource holds activations only"):
        next(LastTokens(EndToEnd(lm=lm)).batches(TensorSource(normal(2000, D)), plan(), 0))
    with pytest.raises(ConfigError, match="another instance of a model"):
        next(EndToEnd(lm=tiny.tiny_lm()).batches(source, plan(), 0))
    with pytest.raises(ConfigError, match="a step of 16 tokens cannot hold a sequence of up to 24"):
        next(EndToEnd(lm=lm).batches(source, plan(batch_tokens=16), 0))
    before = EndToEnd(lm=lm, kl=0, downstream=1.0, downstream_at=["blocks.0.resid_pre", "blocks.1.resid_post"])
    given = given_of(before, source, new())
    with pytest.raises(ConfigError, match=r"blocks\.0\.resid_pre does not depend on what stands at blocks\.0\.resid_post"):
        before(given)


def test_points_behind(lm):
    assert [str(at) for at in later_points(lm, lm.resolve("blocks.0.mlp_post"))] == ["blocks.0.resid_post", "blocks.1.resid_post"]
    assert [str(at) for at in later_points(lm, lm.resolve("blocks.0.resid_post"))] == ["blocks.1.resid_post"]
    with pytest.raises(ConfigError, match="no residual stream of a block lies behind"):
        later_points(lm, lm.resolve("blocks.1.resid_post"))
