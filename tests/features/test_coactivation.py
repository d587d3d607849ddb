import numpy as np
import pytest

from saescope.features import coactivation, spill
from saescope.features.coactivation import Coactivation


@pytest.mark.parametrize("dense_features", [0, 4096])
def test_phi_of_the_on_off_indicators(parts, tmp_path, monkeypatch, dense_features):
    monkeypatch.setattr(coactivation, "DENSE_FEATURES", dense_features)
    monkeypatch.setattr(spill, "BLOCK", 40)
    part = parts.make(0, n_rows=100)
    part.value[part.latent == 1] = 1
    on = (parts.dense(part) != 0)[part.counted]
    together = Coactivation(12, 0, 1.0, tmp_path)
    for piece in parts.cut(part, 0):
        other = Coactivation(12, 0, 1.0, tmp_path)
        other.add(piece)
        together.merge(other)
    found = together.result()
    assert together.n_tokens == part.counted.sum()
    phi = np.corrcoef(on[:, :11].T)
    both = on.T.astype(int) @ on.astype(int)
    for a in range(11):
        mine = found["a"] == a
        expected = [b for b in np.lexsort((np.arange(11), -phi[a])) if b != a and phi[a, b] > 0 and both[a, b] >= 2]
        assert found["b"][mine].tolist() == expected
        np.testing.assert_allclose(found["corr"][mine], phi[a, expected], atol=1e-6)
        assert found["n_both"][mine].tolist() == both[a, expected].tolist()
    assert 11 not in found["a"]


def test_a_share_of_tokens_chosen_by_hash(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(coactivation, "DENSE_FEATURES", 0)
    part = parts.make(0, n_rows=300)
    counts = []
    for seed in (0, 0, 1):
        together = Coactivation(12, seed, 0.3, tmp_path)
        for piece in parts.cut(part, len(counts)):
            together.add(piece)
        counts.append((together.n_tokens, together.n_on.tolist()))
    assert counts[0] == counts[1] != counts[2]
    assert abs(counts[0][0] / part.counted.sum() - 0.3) < 0.05


def test_tokens_on_which_nearly_everything_fires_are_left_out(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(coactivation, "MOST_ACTIVE", 2)
    part = parts.make(0)
    together = Coactivation(12, 0, 1.0, tmp_path)
    together.add(part)
    assert together.n_tokens == (part.counted & (part.n_active <= 2)).sum()
