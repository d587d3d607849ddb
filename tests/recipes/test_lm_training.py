"""The loop: its gradient is the plain one, resumed equals uninterrupted, the order covers the text."""

import os
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from saescope.errors import ConfigError, NoTokens, ProvenanceMismatch, TrainingDiverged
from saescope.recipes.fused_loss import unembedded_cross_entropy
from saescope.recipes.lm_model import build_model
from saescope.recipes.lm_training import LMTrainConfig, LMTrainee, cross_entropy, train_language_model
from saescope.recipes.token_stream import Order, TokenStream

V, CONTEXT = 60, 16


def stream(n=2000, sources=((0, 1.0),), seed=1):
    """Ids that count upwards in steps of 1 or 2: easy to learn."""
    steps = np.random.Generator(np.random.Philox(key=seed)).integers(1, 3, n)
    starts = np.array([int(share * n) for _, share in [(0, 0.0), *sources[:-1]]])
    names = tuple(f"source {i}" for i in range(len(sources)))
    return TokenStream((np.cumsum(steps) % V).astype(np.uint16), starts, np.arange(len(sources)), names)


def config(**changes):
    return LMTrainConfig(**({"tokens": 40 * 8 * CONTEXT, "context": CONTEXT, "batch_tokens": 8 * CONTEXT, "lr": 1e-2} | changes))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_loss_and_gradients_are_those_of_plain_cross_entropy():
    model, rows = build_model(V, CONTEXT, seed=0), torch.arange(0, 3 * 17).view(3, 17) % V
    model.lm_head.weight.data *= 20
    cross_entropy(model, rows).backward()
    fused = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    plain = F.cross_entropy(model(rows[:, :-1]).logits.flatten(0, 1), rows[:, 1:].flatten())
    plain.backward()
    assert cross_entropy(model, rows).item() == pytest.approx(plain.item(), abs=1e-6)
    for ours, p in zip(fused, model.parameters(), strict=True):
        torch.testing.assert_close(ours, p.grad, atol=1e-6, rtol=1e-4)


def test_many_chunks_are_one_and_bfloat16_is_close():
    g = torch.Generator().manual_seed(0)
    h, W = torch.randn(1300, 8, generator=g, requires_grad=True), torch.randn(V, 8, generator=g, requires_grad=True)
    targets = torch.arange(1300) % V
    loss = unembedded_cross_entropy(h, W, targets)
    (3 * loss).backward()
    expected = torch.autograd.grad(3 * F.cross_entropy(h @ W.T, targets), (h, W))
    torch.testing.assert_close((h.grad, W.grad), expected, atol=1e-6, rtol=1e-4)
    assert unembedded_cross_entropy(h, W, targets, True).item() == pytest.approx(loss.item(), abs=0.02)


def test_learns():
    model, record = build_model(V, CONTEXT, seed=0), []
    train_language_model(model, stream(), config(tokens=100 * 8 * CONTEXT), stamp={}, record=record.append)
    assert len(record) == 100
    assert record[0]["loss"] == pytest.approx(np.log(V), abs=0.1)
    assert record[-1]["loss"] < 1.2  # ln 2 is the floor


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, number):
    whole, halves, cfg = build_model(V, CONTEXT, seed=0), build_model(V, CONTEXT, seed=0), config()
    train_language_model(whole, stream(), cfg, stamp={"a": 1})

    def interrupt(record):
        if record["step"] == 17:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        train_language_model(halves, stream(), cfg, stamp={"a": 1}, checkpoints=tmp_path, record=interrupt)
    again, steps = build_model(V, CONTEXT, seed=9), []
    train_language_model(again, stream(), cfg, stamp={"a": 1}, checkpoints=tmp_path, record=lambda r: steps.append(r["step"]))
    assert steps == list(range(18, 41))
    assert torch.equal(weights(again), weights(whole))
    with pytest.raises(ProvenanceMismatch):
        train_language_model(again, stream(), cfg, stamp={"a": 2}, checkpoints=tmp_path)


def test_the_seed_alone_decides(tmp_path):
    models = [build_model(V, CONTEXT, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert not torch.equal(weights(models[0]), weights(models[2]))


def test_divergence_is_an_error():
    model = build_model(V, CONTEXT, seed=0)
    model.lm_head.weight.data[3] = torch.inf
    with pytest.raises(TrainingDiverged, match="--lr"):
        train_language_model(model, stream(), config(), stamp={})


def test_decay_is_of_matrices_alone():
    trainee = LMTrainee(build_model(V, CONTEXT, seed=0), config())
    decayed = [name for name, p in trainee.names.items() if any(p is q for q in trainee.optimizer.param_groups[0]["params"])]
    assert sorted(name.rpartition("0.")[2] for name in decayed) == [
        "attention.dense.weight",
        "attention.query_key_value.weight",
        "mlp.dense_4h_to_h.weight",
        "mlp.dense_h_to_4h.weight",
    ]


def test_learning_rate_rises_and_falls_to_nothing():
    cfg = config(tokens=100 * 8 * CONTEXT, warmup=0.1)
    rates = [cfg.lr_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == rates[9] == rates[10] == 1e-2
    assert rates[99] == pytest.approx(1e-2 / 90)


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"context": 1}, {"batch_tokens": 8}, {"lr": -1.0}, {"lr": float("nan")}])
def test_refuses_impossible_settings(wrong):
    with pytest.raises(ConfigError, match="--"):
        config(**wrong)


def test_an_epoch_reads_every_sequence_once_and_epochs_differ():
    order = Order(stream(), CONTEXT, seed=0)
    batches = order.batches(31)
    epochs = [sorted(map(tuple, torch.cat([next(batches) for _ in range(4)]).tolist())) for _ in range(2)]
    assert len(order.rows) == 124
    assert epochs[0] == epochs[1]
    assert epochs[0] == sorted(tuple(stream().tokens[r * 16 : r * 16 + 17].tolist()) for r in range(124))
    first, second = next(order.batches(124)), next(order.batches(124, first=1))
    assert not torch.equal(first, second)


def test_batches_from_the_middle_are_the_same_batches():
    order = Order(stream(), CONTEXT, seed=0)
    from_start = order.batches(50)
    for _ in range(5):
        next(from_start)
    assert torch.equal(next(from_start), next(order.batches(50, first=5)))


def test_small_sources_are_repeated_up_to_half_an_equal_share():
    order = Order(stream(1601, sources=((0, 0.05), (1, 1.0))), CONTEXT, seed=0)
    assert order.repeats == {0: 5, 1: 1}  # 5 of 100 sequences; half an equal share are 25
    assert len(order.rows) == 95 + 25


def test_too_little_text_for_one_sequence():
    with pytest.raises(NoTokens, match="--context"):
        Order(stream(16), CONTEXT, seed=0)
