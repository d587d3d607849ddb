import numpy as np
import pytest

from saescope.draws import draws
from saescope.features import best
from saescope.features.best import Best


def entries(seed: int, n: int = 600) -> dict[str, np.ndarray]:
    """Entries with many equal scores, several of a document in a group, distinct places."""
    rng = draws(seed, "test best")
    place = rng.permutation(n).astype(np.int64)
    return {
        "group": rng.integers(0, 7, n),
        "score": rng.integers(0, 40, n).astype(np.float64),
        "doc": (place // 9).astype(np.int32),
        "place": place,
        "peak": rng.random(n).astype(np.float32),
    }


def by_hand(table: dict[str, np.ndarray], k: int, one_per_document: bool) -> list[tuple]:
    kept: list[tuple] = []
    for group in range(7):
        mine = [i for i in range(len(table["group"])) if table["group"][i] == group]
        mine.sort(key=lambda i: (-table["score"][i], table["place"][i]))
        docs: set[int] = set()
        chosen = []
        for i in mine:
            if not one_per_document or int(table["doc"][i]) not in docs:
                docs.add(int(table["doc"][i]))
                chosen.append(i)
        kept += [(group, table["score"][i], int(table["place"][i]), rank) for rank, i in enumerate(chosen[:k])]
    return kept


@pytest.mark.parametrize("one_per_document", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_keeps_what_sorting_everything_keeps(seed, one_per_document, monkeypatch):
    monkeypatch.setattr(best, "ROOM", 50)
    table = entries(seed)
    reducer = Best(7, 4, one_per_document=one_per_document)
    for piece in np.array_split(draws(seed, "test deal").permutation(600), 5):
        reducer.add(*(table[name][piece] for name in best.FIELDS))
    found = reducer.result()
    rows = zip(found["group"].tolist(), found["score"].tolist(), found["place"].tolist(), found["rank"].tolist(), strict=True)
    assert list(rows) == by_hand(table, 4, one_per_document)


def test_the_bar_drops_what_cannot_come_back():
    reducer = Best(1, 2)
    ones = np.ones(3, np.int64)
    reducer.add(0 * ones, np.array([3.0, 1.0, 2.0]), ones, np.arange(3), np.zeros(3))
    reducer.settle()
    assert reducer.bar.tolist() == [2.0]
    reducer.add(0 * ones, np.array([1.9, 0.0, -5.0]), ones, np.arange(3), np.zeros(3))
    assert not reducer._waiting


def test_regrouping_into_unions_keeps_their_best():
    table = entries(3)
    fine, coarse = Best(7, 3), Best(7, 3)
    fine.add(*(table[name] for name in best.FIELDS))
    fine.settle()
    fine.regroup(np.where(fine.group == 6, -1, fine.group // 2))
    table["group"] = table["group"] // 2
    keep = table["group"] < 3
    coarse.add(*(table[name][keep] for name in best.FIELDS))
    for name, column in coarse.result().items():
        np.testing.assert_array_equal(fine.result()[name], column, err_msg=name)
