from collections import Counter

import numpy as np
import pytest

from saescope.features import spill, tokens_fired
from saescope.features.tokens_fired import UNIT, TokensFired


@pytest.mark.parametrize("block", [1, 17, 2**22])
def test_equals_counting_the_dense_code(parts, tmp_path, monkeypatch, block):
    monkeypatch.setattr(spill, "BLOCK", block)
    monkeypatch.setattr(tokens_fired, "N_TOKENS", 4)
    part = parts.make(0, n_rows=80)
    dense = parts.dense(part)
    fired, other = TokensFired(12, 9, tmp_path), TokensFired(12, 9, tmp_path)
    for j, piece in enumerate(parts.cut(part, 0)):
        (fired if j % 2 else other).add(piece)
    fired.merge(other)
    table, columns = fired.result()
    assert (np.diff(table["feature"]) >= 0).all()
    for i in range(11):
        on = dense[:, i] != 0
        counts = Counter(part.tokens[on].tolist())
        expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:4]
        mine = table["feature"] == i
        assert list(zip(table["token"][mine].tolist(), table["n"][mine].tolist(), strict=True)) == expected
        for token, total in zip(table["token"][mine], table["sum_act"][mine], strict=True):
            true = dense[on & (part.tokens == token), i].astype(np.float64).sum()
            assert total == pytest.approx(true, abs=UNIT * counts[int(token)])
        p = np.array(list(counts.values())) / on.sum()
        assert columns["token_entropy"][i] == pytest.approx(-(p * np.log2(p)).sum())
        assert columns["top_token_share"][i] == pytest.approx(p.max())
    assert np.isnan(columns["token_entropy"][11])
    assert np.isnan(columns["top_token_share"][11])


def test_shards_and_their_order_do_not_show(parts, tmp_path):
    part = parts.make(1, n_rows=60)
    results = []
    for pieces in ([part], parts.cut(part, 0), parts.cut(part, 1, pieces=7)):
        fired = TokensFired(12, 9, tmp_path)
        for piece in pieces:
            fired.add(piece)
        table, columns = fired.result()
        results.append({**table, **columns})
    for other in results[1:]:
        for name, column in results[0].items():
            np.testing.assert_array_equal(column, other[name])


def test_nothing_fired(tmp_path):
    table, columns = TokensFired(3, 5, tmp_path).result()
    assert all(len(column) == 0 for column in table.values())
    assert np.isnan(columns["token_entropy"]).all()
