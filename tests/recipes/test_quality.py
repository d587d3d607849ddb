"""Cross-entropy by kind, floors of noise, verdicts."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from saescope.recipes.bpe import train_tokenizer
from saescope.recipes.lm_model import build_model
from saescope.recipes.ngram import Bigram
from saescope.recipes.quality import KindRow, document_nats, measure, table


class Uniform:
    """A model that knows nothing."""

    def __init__(self, vocab_size):
        self.vocab_size = vocab_size

    def __call__(self, ids, use_cache):
        return SimpleNamespace(logits=torch.zeros(*ids.shape, self.vocab_size))


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["the cat and the hat "] * 5, 260)


def test_document_nats_are_those_of_one_pass_over_each_document():
    model, rows = build_model(50, 16, seed=1), [[0, 3, 4, 5], [0, *range(1, 16)], [0, 7]]
    model.lm_head.weight.data *= 50
    for ids, nats in zip(rows, document_nats(model, rows, 16), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        expected = -logits[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
        np.testing.assert_allclose(nats, expected.numpy(), atol=1e-4)


def test_long_documents_are_read_in_windows_and_every_token_is_a_target():
    model = build_model(50, 8, seed=1)
    model.lm_head.weight.data *= 50
    ids = [0, *range(1, 20)]
    (nats,) = document_nats(model, [ids], 8)
    assert len(nats) == 19
    (second,) = document_nats(model, [ids[8:17]], 8)
    np.testing.assert_allclose(nats[8:16], second, atol=1e-5)


def test_noise_is_measured_within_its_run(tokenizer):
    text = "0123456789abcdef" * 4
    bigram = Bigram(np.arange(260, dtype=np.uint16), 260)
    (row,) = measure(Uniform(260), tokenizer, [("hex", text)], bigram, context=256, floors=True)
    assert row.run_floor == pytest.approx(4 * math.log(2))
    assert row.run_ce == pytest.approx(math.log(260), rel=1e-6)
    assert (row.documents, row.tokens) == (1, 64)
    assert not row.good
    (row,) = measure(Uniform(260), tokenizer, [("hex", text)], bigram, context=256, floors=False)  # a folder of that name
    assert row.run_floor is None


def test_rows_are_by_kind_in_order(tokenizer):
    bigram = Bigram(np.arange(260, dtype=np.uint16), 260)
    rows = measure(Uniform(260), tokenizer, [("b", "the cat"), ("a", "hat"), ("b", "and")], bigram, context=256, floors=False)
    assert [(row.kind, row.documents) for row in rows] == [("b", 2), ("a", 1)]
    assert rows[0].ce_per_byte * 10 == pytest.approx(rows[0].ce * rows[0].tokens)


@pytest.mark.parametrize(
    ("row", "good"),
    [
        (KindRow("story", 1, 1, ce=1.8, ce_per_byte=1, bigram=2.0), True),
        (KindRow("story", 1, 1, ce=1.81, ce_per_byte=1, bigram=2.0), False),
        (KindRow("hex", 1, 1, ce=9, ce_per_byte=1, bigram=2.0, run_ce=2.81, run_floor=2.77), True),
        (KindRow("hex", 1, 1, ce=1, ce_per_byte=1, bigram=2.0, run_ce=2.83, run_floor=2.77), False),
    ],
)
def test_verdicts(row, good):
    assert row.good is good
    assert ("ok" if good else "MISSED") in table([row], verdicts=True)
    assert "ok" not in table([row], verdicts=False).replace("token", "")
