"""Top texts against brute force: however the text is cut, with ties, documents in several chunks, and tokens that do not count."""

import numpy as np
import pytest
import torch

from saescope.activations.encode import Chunk, Code
from saescope.draws import draws
from saescope.evals import top_texts
from saescope.evals.top_texts import REACH, ReadTokens, TopTexts

N, F, D, K = 700, 7, 5, 6


@pytest.fixture(scope="module")
def columns():
    """Few distinct values, so that many are equal; one dead latent, one negative neuron, one latent in fewer than K documents."""
    rng = draws(0, "test top texts")
    latents = rng.integers(1, 9, (N, F)) * (rng.random((N, F)) < 0.3)
    latents[:, 0], latents[40:, 1] = 0, 0
    x = rng.integers(-9, 9, (N, D))
    x[:, 0] = -1
    docs = np.sort(rng.integers(0, 40, N))
    return {
        "latents": latents.astype(np.float32),
        "x": x.astype(np.float32),
        "docs": docs,
        "tokens": rng.integers(0, 30, N),
        "counted": rng.random(N) > 0.1,
    }


def chunks(columns, cuts):
    for start, stop in zip([0, *cuts], [*cuts, N], strict=True):
        part = {name: torch.from_numpy(column[start:stop]) for name, column in columns.items()}
        zero = torch.zeros(stop - start, dtype=torch.long)
        x = part["x"]
        yield Chunk(
            tokens=part["tokens"],
            doc_ids=part["docs"],
            rows=zero,
            positions=zero,
            counted=part["counted"],
            x=x,
            target=x,
            x_hat=x,
            code=Code.of(part["latents"]),
        )


def brute_force(columns):
    """Of each unit the K best (score, document, place): the largest score, then the lowest document, then the first place."""
    values = np.concatenate([columns["latents"], columns["x"]], 1)
    for unit in range(F + D):
        best = {}
        for place in np.flatnonzero(columns["counted"] & (values[:, unit] > 0)):
            doc, value = columns["docs"][place], values[place, unit]
            if doc not in best or value > best[doc][0]:
                best[doc] = (value, place)
        yield sorted(((value, doc, place) for doc, (value, place) in best.items()), key=lambda entry: (-entry[0], entry[1]))[:K]


@pytest.mark.parametrize("cuts", [(), (350,), (1, 2, 50, 51, 52, 300, 699), tuple(range(10, N, 10))])
@pytest.mark.parametrize("room", [2**17, 3])
def test_top_texts_are_those_of_brute_force(columns, cuts, room, monkeypatch):
    monkeypatch.setattr(top_texts, "ROOM", room)
    tops = TopTexts(F, D, K)
    for chunk in chunks(columns, cuts):
        tops.add(chunk)
    got = tops.result()
    for unit, wanted in enumerate(brute_force(columns)):
        assert got.n[unit] == len(wanted)
        assert got.places[unit, : len(wanted)].tolist() == [place for _, _, place in wanted]
        assert got.scores[unit, : len(wanted)].tolist() == [value for value, _, _ in wanted]
        assert (got.places[unit, len(wanted) :] == -1).all()
    assert got.n[0] == got.n[F] == 0
    assert 0 < got.n[1] < K


def test_merged_halves_are_the_whole(columns):
    whole, first, second = (TopTexts(F, D, K) for _ in range(3))
    for chunk in chunks(columns, (333,)):
        whole.add(chunk)
    for tops, chunk in zip((first, second), chunks(columns, (333,)), strict=True):
        tops.add(chunk)
    first.merge(second)
    for name in ("places", "scores", "n"):
        np.testing.assert_array_equal(getattr(first.result(), name), getattr(whole.result(), name))


def test_the_reading_keeps_tokens_and_the_watched_activations(columns):
    read = ReadTokens(latent=3, neuron=2)
    for chunk in chunks(columns, (100, 450)):
        read.add(chunk)
    got = read.result()
    np.testing.assert_array_equal(got.tokens, columns["tokens"])
    np.testing.assert_array_equal(got.acts[:, 0], columns["latents"][:, 3])
    np.testing.assert_array_equal(got.acts[:, 1], columns["x"][:, 2])
    assert got.labels is None
    assert got.n_documents == len(np.unique(columns["docs"][columns["counted"]]))


def test_a_text_stays_in_its_document(columns):
    read = ReadTokens()
    for chunk in chunks(columns, ()):
        read.add(chunk)
    reading = read.result()
    places = np.array([0, 5, 345, N - 1])
    wide, inside = reading.around(places)
    for place, row, own in zip(places, wide, inside, strict=True):
        near = [p for p in range(max(0, place - REACH), min(N, place + REACH + 1)) if reading.docs[p] == reading.docs[place]]
        assert row[own].tolist() == near
