"""The bigram model against the formula by hand."""

import numpy as np
import pytest

from saescope.recipes.ngram import Bigram


def test_by_hand():
    # pairs of 0 1 0 1 0 2: (0,1) twice, (1,0) twice, (0,2) once: n1 = 1, n2 = 2, D = 1/5
    model = Bigram(np.array([0, 1, 0, 1, 0, 2], np.uint16), 3)
    assert model.discount == pytest.approx(1 / 5)
    # predecessors: 0 has {1}, 1 has {0}, 2 has {0}: (1 + 1) / (3 + 3) each
    base = 1 / 3
    expected = {
        (0, 1): 1.8 / 3 + 0.2 * 2 / 3 * base,
        (0, 2): 0.8 / 3 + 0.2 * 2 / 3 * base,
        (0, 0): 0.2 * 2 / 3 * base,
        (1, 0): 1.8 / 2 + 0.2 * 1 / 2 * base,
        (2, 1): base,  # 2 has no successor
    }
    before, target = np.array(list(expected)).T
    np.testing.assert_allclose(np.exp(-model.nats(before, target)), list(expected.values()), rtol=1e-12)


def test_is_a_distribution_after_every_token():
    tokens = np.random.Generator(np.random.Philox(key=1)).integers(0, 20, 500).astype(np.uint16)
    model = Bigram(tokens, 25)
    for before in range(25):
        assert np.exp(-model.nats(np.full(25, before), np.arange(25))).sum() == pytest.approx(1, abs=1e-12)


def test_a_text_of_certain_successors_costs_almost_nothing():
    tokens = np.tile(np.arange(5, dtype=np.uint16), 200)
    assert Bigram(tokens, 5).nats(tokens[:-1], tokens[1:]).mean() < 0.01
