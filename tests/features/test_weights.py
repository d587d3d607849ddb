from types import SimpleNamespace

import numpy as np
import pytest
import torch

from saescope.draws import draws
from saescope.features import weights
from saescope.saes.topk import TopKConfig, TopKSAE


@pytest.fixture
def W() -> torch.Tensor:
    return torch.from_numpy(draws(0, "test W").standard_normal((40, 6)).astype(np.float32))


@pytest.fixture(params=[64, 2**24])
def _blocks(request, monkeypatch):
    monkeypatch.setattr(weights, "BLOCK_NUMBERS", request.param)


@pytest.mark.usefixtures("_blocks")
def test_neighbours_by_cosine(W):
    found = weights.neighbours(W, 5)
    unit = (W / W.norm(dim=1, keepdim=True)).numpy()
    cosine = unit @ unit.T - 9 * np.eye(40)
    for a in range(40):
        mine = found["a"] == a
        assert found["b"][mine].tolist() == np.argsort(-cosine[a])[:5].tolist()
        np.testing.assert_allclose(found["cos"][mine], np.sort(cosine[a])[::-1][:5], atol=1e-6)
    np.testing.assert_allclose(weights.pair_cosine(W, found["a"], found["b"]), found["cos"], atol=1e-6)


@pytest.mark.usefixtures("_blocks")
def test_directions_of_a_dictionary_that_names_no_weights(W):
    plain = SimpleNamespace(d_sae=40, decode=lambda latents: latents @ W + 3)
    np.testing.assert_allclose(weights.directions(plain).numpy(), W.numpy(), atol=1e-5)
    sae = TopKSAE(6, 40, TopKConfig(k=2))
    assert torch.equal(weights.directions(sae), sae.W_dec.detach())
    assert np.isnan(weights.encoder_cosine(plain, W)).all()
    np.testing.assert_allclose(weights.encoder_cosine(sae, sae.W_dec.detach()), np.ones(40), atol=1e-6)  # tied at the start


@pytest.mark.usefixtures("_blocks")
def test_logit_columns_are_the_extremes_of_the_effects(tiny_lm, W):
    from saescope.interventions.effects import logit_effects

    at, directions = "blocks.0.mlp_post", torch.from_numpy(draws(1, "test W").standard_normal((9, 32)).astype(np.float32))
    found = weights.logit_columns(tiny_lm, tiny_lm.resolve(at), directions)
    effects = logit_effects(tiny_lm, directions, at).numpy()
    for i in range(9):
        np.testing.assert_allclose(found["logit_top_val"][i], np.sort(effects[i])[::-1][:20], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(effects[i, found["logit_bottom"][i]], np.sort(effects[i])[:20], rtol=1e-4, atol=1e-6)
        assert found["logit_hist"][i].sum() == tiny_lm.d_vocab
        assert found["logit_lo"][i] == pytest.approx(effects[i].min(), rel=1e-4)
        assert found["logit_hi"][i] == pytest.approx(effects[i].max(), rel=1e-4)
