import numpy as np
import pytest

from saescope.features import best
from saescope.features.examples import N_RANDOM, N_TOP, PER_STRATUM, RandomExamples, StrataExamples, TopExamples
from saescope.features.scale import exponent, stratum


@pytest.fixture(autouse=True)
def _little_room(monkeypatch):
    monkeypatch.setattr(best, "ROOM", 64)


@pytest.mark.parametrize("kind", [TopExamples, lambda F: RandomExamples(F, 3), lambda F: StrataExamples(F, 3)])
@pytest.mark.parametrize("seed", range(6))
def test_shards_and_their_order_do_not_show(parts, kind, seed):
    parts.same_in_any_order(lambda: kind(12), parts.make(seed, n_rows=60, scale=20.0, signed=seed % 2 == 1), seed)


def test_top_is_one_per_document_by_absolute_value(parts):
    part = parts.make(0, n_rows=200, n_docs=70, signed=True)
    dense = parts.dense(part)
    top = TopExamples(12)
    top.add(part)
    found = top.result()
    for i in range(12):
        strongest = {}
        for token in np.lexsort((part.place, -np.abs(dense[:, i]))):
            if dense[token, i] and int(part.docs[token]) not in strongest:
                strongest[int(part.docs[token])] = (part.rows[token], part.positions[token], dense[token, i])
        mine = found["feature"] == i
        rows = zip(found["row"][mine].tolist(), found["position"][mine].tolist(), found["peak"][mine].tolist(), strict=True)
        assert list(rows) == list(strongest.values())[:N_TOP]
        assert found["rank"][mine].tolist() == list(range(mine.sum()))


def test_random_ones_are_drawn_evenly_and_by_the_seed(parts):
    part = parts.make(0, n_rows=300)
    dense = parts.dense(part)

    def drawn(seed):
        reducer = RandomExamples(12, seed)
        reducer.add(part)
        found = reducer.result()
        return [(int(f), int(r), int(p)) for f, r, p in zip(found["feature"], found["row"], found["position"], strict=True)]

    active = {(i, int(part.rows[t]), int(part.positions[t])) for t, i in zip(*dense.nonzero(), strict=True)}
    assert set(drawn(0)) <= active
    assert len(set(drawn(0))) == 11 * N_RANDOM
    assert drawn(0) == drawn(0)
    assert len(set(drawn(0)) & set(drawn(1))) < 11 * N_RANDOM / 4
    rows = [row for seed in range(40) for _, row, _ in drawn(seed)]
    expected = np.mean([row for _, row, _ in active])
    assert abs(np.mean(rows) - expected) < 0.05 * expected


def test_strata_hold_two_of_each_range_that_has_them(parts):
    part = parts.make(0, n_rows=300, scale=12.0)
    dense = parts.dense(part)
    reducer = StrataExamples(12, 0)
    for piece in parts.cut(part, 0):
        reducer.add(piece)
    found = reducer.result()
    for i in range(11):
        f = dense[dense[:, i] != 0, i]
        e = np.full(len(f), exponent(f.max(keepdims=True))[0])
        there = np.bincount(stratum(f, e) + 1, minlength=16)[1:]
        mine = found["feature"] == i
        held = np.bincount(found["stratum"][mine], minlength=15)
        np.testing.assert_array_equal(held, np.minimum(there, PER_STRATUM))
        np.testing.assert_array_equal(stratum(found["peak"][mine], e[: mine.sum()]), found["stratum"][mine])


def test_a_feature_with_one_activation_is_a_normal_case(parts):
    part = parts.make(0)
    part.value[part.latent == 0] = 0
    token = np.flatnonzero(part.counted)[5]
    single = type(part)(**{name: getattr(part, name)[token : token + 1] for name in ("tokens", "docs", "rows", "positions", "counted")},
                        n_active=np.array([1]), latent=np.array([0]), value=np.array([0.7], np.float32))  # fmt: skip
    for reducer in (TopExamples(1), RandomExamples(1, 0), StrataExamples(1, 0)):
        reducer.add(single)
        assert reducer.result()["peak"].tolist() == pytest.approx([0.7])
