from types import SimpleNamespace

import numpy as np
import pytest
import torch

from saescope.activations.encode import Chunk, Code
from saescope.draws import draws
from saescope.features.examples import N_NEAR_MISSES
from saescope.features.near_miss import NearMisses
from saescope.features.part import sampled_rows

F, D = 7, 5


@pytest.fixture
def sae():
    W = torch.from_numpy(draws(0, "test W").standard_normal((D, F)).astype(np.float32))
    return SimpleNamespace(d_in=D, d_sae=F, pre_acts=lambda x: x @ W)


def chunk_of(sae, rows: np.ndarray, seed: int = 0) -> Chunk:
    """Rows of 8 tokens; a latent is on where its pre-activation is above 1. The same row always has the same tokens."""
    row, position = np.repeat(rows, 8), np.tile(np.arange(8), len(rows))
    x = torch.from_numpy(np.concatenate([draws(seed, "test x", int(r)).standard_normal((8, D)) for r in rows]).astype(np.float32))
    pre = sae.pre_acts(x)
    places = (torch.from_numpy(a) for a in (row % 50, row % 5, row, position, position > 0))
    return Chunk(*places, x, x, x, Code.of(pre * (pre > 1)))


def test_the_silent_tokens_closest_to_firing(sae):
    chunk = chunk_of(sae, np.arange(60))
    misses = NearMisses(sae, 0, 0.5)
    misses.add(chunk)
    found = misses.result()
    pre, rows = sae.pre_acts(chunk.x), chunk.rows.numpy()
    sampled = sampled_rows(rows, 0, 0.5)
    assert 0.2 < sampled.mean() < 0.8
    for i in range(F):
        best: dict[int, tuple[float, int, int]] = {}
        for t in np.flatnonzero(sampled & chunk.counted.numpy()):
            value = float(pre[t, i])
            if value <= 1 and value > best.get(int(chunk.doc_ids[t]), (-np.inf,))[0]:
                best[int(chunk.doc_ids[t])] = (value, int(rows[t]), int(chunk.positions[t]))
        expected = sorted(best.values(), reverse=True)[:N_NEAR_MISSES]
        mine = found["feature"] == i
        got = zip(found["peak"][mine].tolist(), found["row"][mine].tolist(), found["position"][mine].tolist(), strict=True)
        assert list(got) == expected


@pytest.mark.parametrize("seed", range(5))
def test_chunks_shards_and_their_order_do_not_show(sae, seed):
    rows = draws(seed, "test rows").permutation(60)
    whole, left, right = (NearMisses(sae, 0, 0.5) for _ in range(3))
    whole.add(chunk_of(sae, rows))
    for piece in np.array_split(rows[:40], 3):
        right.add(chunk_of(sae, piece))
    left.add(chunk_of(sae, rows[40:]))
    left.merge(right)
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(array, left.arrays()[name])


def test_a_dictionary_without_pre_activations_has_none(sae):
    misses = NearMisses(SimpleNamespace(d_sae=F), 0, 1.0)
    misses.add(chunk_of(sae, np.arange(3)))
    assert len(misses.result()["feature"]) == 0


def test_a_share_of_rows_chosen_by_hash():
    rows = np.arange(20_000)
    assert sampled_rows(rows, 0, 0.0).sum() == 0
    assert sampled_rows(rows, 0, 1.0).all()
    assert abs(sampled_rows(rows, 0, 0.1).mean() - 0.1) < 0.01
    both = sampled_rows(rows, 0, 0.1) & sampled_rows(rows, 1, 0.1)
    assert abs(both.mean() - 0.01) < 0.003
