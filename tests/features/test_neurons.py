import numpy as np
import pytest
import torch

from saescope.activations.encode import Chunk, Code
from saescope.draws import draws
from saescope.features.neurons import NeuronCorrelation

F, D = 9, 6


@pytest.fixture
def W_dec() -> torch.Tensor:
    return torch.from_numpy(draws(0, "test W").standard_normal((F, D)).astype(np.float32))


def chunk_of(rows: np.ndarray) -> Chunk:
    x = torch.from_numpy(np.stack([draws(0, "test x", int(row)).standard_normal(D) for row in rows]).astype(np.float32))
    latents = (torch.cat([x, x[:, :3] + 1], 1) - 0.3).relu()
    latents[:, 8] = 0
    row = torch.from_numpy(rows)
    return Chunk(row % 4, row, row, 1 + row % 3, row % 7 > 0, x, x, x, Code.of(latents))


def test_pearson_with_the_neurons_of_largest_weight(W_dec):
    chunk = chunk_of(np.arange(300))
    reducer = NeuronCorrelation(W_dec, 0, 1.0)
    reducer.add(chunk)
    found = reducer.result()
    latents = torch.zeros(300, F)
    latents[chunk.code.token, chunk.code.latent] = chunk.code.value
    counted = chunk.counted.numpy()
    for i in range(F - 1):
        order = W_dec[i].abs().argsort(descending=True)[:3]
        assert found["neuron_id"][i].tolist() == order.tolist()
        assert found["neuron_weight"][i].tolist() == W_dec[i, order].tolist()
        for j, n in enumerate(order):
            expected = np.corrcoef(latents[counted, i].double(), chunk.x[counted, n].double())[0, 1]
            assert found["neuron_corr"][i, j] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(found["neuron_corr"][8]).all()


@pytest.mark.parametrize("seed", range(4))
def test_chunks_shards_and_their_order_do_not_show(W_dec, seed):
    rows = draws(seed, "test rows").permutation(200)
    whole, left, right = (NeuronCorrelation(W_dec, 0, 0.5) for _ in range(3))
    whole.add(chunk_of(rows))
    for piece in np.array_split(rows[:150], 7):
        left.add(chunk_of(piece))
    right.add(chunk_of(rows[150:]))
    right.merge(left)
    assert 60 < whole.n[0] < 110
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(array, right.arrays()[name])
