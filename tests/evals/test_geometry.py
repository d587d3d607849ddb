import pytest
import torch

from saescope.evals import geometry
from saescope.evals.geometry import effective_rank, max_decoder_cosines
from saescope.saes.registry import build


def test_max_decoder_cosine_leaves_itself_out():
    W = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert max_decoder_cosines(W).tolist() == pytest.approx([1, 1, 0, 0], abs=1e-6)


def test_blocks_equal_the_whole(normal, monkeypatch):
    W = normal(50, 6)
    whole = max_decoder_cosines(W)
    monkeypatch.setattr(geometry, "BLOCK_BUDGET", 50 * 7)
    assert torch.allclose(max_decoder_cosines(W), whole)
    monkeypatch.setattr(geometry, "PAIR_BUDGET", 10 * 50 * 6)
    part = max_decoder_cosines(W)
    measured = part.isfinite()
    assert measured.sum() == 10
    assert torch.allclose(part[measured], whole[measured])


def test_effective_rank():
    assert effective_rank(torch.eye(5)) == pytest.approx(5)
    assert effective_rank(torch.eye(5)[:3]) == pytest.approx(3)
    assert effective_rank(torch.ones(8, 4)) == pytest.approx(1, abs=1e-5)
    assert effective_rank(torch.zeros(3, 3)) is None


def test_geometry_of_a_tied_sae():
    sae = build("relu", 6, 20)
    metrics, columns = geometry.geometry(sae)
    assert metrics["geometry.enc_dec_cos"].value == pytest.approx(1, abs=1e-6)
    assert columns["decoder_norm"].tolist() == pytest.approx([1] * 20, abs=1e-6)
    assert 1 < metrics["geometry.effective_rank"].value <= 6


def test_dictionaries_without_matrices_are_skipped(fixed):
    metrics, columns = geometry.geometry(fixed(4))
    assert {metric.status for metric in metrics.values()} == {"skipped"}
    assert columns == {}
