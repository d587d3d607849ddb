import numpy as np
import pytest

from saescope.features import windows
from saescope.features.examples import KINDS, StrataExamples, TopExamples
from saescope.features.windows import Windows, gathered, token_table


@pytest.fixture(autouse=True)
def _short_reach(monkeypatch):
    monkeypatch.setattr(windows, "REACH", 4)


def built(parts, part, pieces):
    chosen = [TopExamples(12), StrataExamples(12, 0)]
    for reducer in chosen:
        reducer.add(part)
    finder = Windows(gathered([reducer.result() for reducer in chosen]))
    for piece in pieces:
        finder.add(piece)
    row_index, tokens = token_table(pieces)
    max_act = np.abs(parts.dense(part)).max(0)
    width = tokens["ids"].shape[1]
    found = {name: tensor.numpy() for name, tensor in finder.result(max_act, row_index, width, 12).items()}
    return found, row_index, {name: tensor.numpy() for name, tensor in tokens.items()}, max_act


def test_each_window_is_the_dense_code_around_its_peak(parts):
    part = parts.make(0, n_rows=60, n_vocabulary=1000, signed=True)
    found, row_index, tokens, max_act = built(parts, part, parts.cut(part, 0))
    dense = parts.dense(part)
    width, n_seen = tokens["ids"].shape[1], 0
    for i in range(12):
        at = found["act_start"][i]
        for e in range(found["ex_start"][i], found["ex_start"][i + 1]):
            row, position = divmod(int(found["at"][e]), width)
            own = np.flatnonzero(part.rows == row_index[row])
            near = own[max(0, position - 4) : position + 5]
            expected = {int(part.positions[t]) - position: dense[t, i] for t in near if dense[t, i]}
            mine = slice(at, at + found["n_act"][e])
            at += found["n_act"][e]
            assert found["off"][mine].tolist() == sorted(expected)
            np.testing.assert_allclose(found["act"][mine] * max_act[i], [expected[o] for o in sorted(expected)], rtol=1e-3)
            assert found["peak"][e] == dense[own[position], i]
            n_seen += 1
        assert at == found["act_start"][i + 1]
    assert n_seen == len(found["at"]) > 200


def test_parts_and_their_order_do_not_show(parts):
    part = parts.make(0, n_rows=60)
    one, *_ = built(parts, part, [part])
    for seed in (0, 1):
        other, *_ = built(parts, part, parts.cut(part, seed))
        for name, column in one.items():
            np.testing.assert_array_equal(column, other[name], err_msg=name)


def test_the_token_table_is_the_text(parts):
    part = parts.make(0, n_rows=20)
    _, row_index, tokens, _ = built(parts, part, parts.cut(part, 0))
    assert tokens["ids"].dtype == np.uint16
    for r, row in enumerate(row_index):
        own = part.rows == row
        n = own.sum()
        assert tokens["ids"][r, :n].tolist() == part.tokens[own].tolist()
        assert tokens["doc"][r, :n].tolist() == part.docs[own].tolist()
        assert (tokens["doc"][r, n:] == 2**32 - 1).all()


def test_identical_windows_of_one_list_are_folded(parts):
    part = parts.make(0, n_rows=40, n_docs=1000)
    twice = {name: np.concatenate([getattr(part, name)] * 2) for name in vars(part) if name in part.__dataclass_fields__}
    n = len(part.rows)
    twice["rows"][n:] += 1000
    twice["docs"][n:] += 1000
    twin = type(part)(**twice)
    found, *_ = built(parts, twin, [twin])
    top = found["kind"] == KINDS.index("top")
    copies = found["copies"][top]
    assert (copies >= 2).mean() > 0.9  # every document stands there twice; a list of 20 may end between the two
    for i in range(11):
        own = slice(found["ex_start"][i], found["ex_start"][i + 1])
        assert found["copies"][own][found["kind"][own] == 0].sum() == 20
