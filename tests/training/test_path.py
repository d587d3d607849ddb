"""Sparse steps where few pairs matter, dense ones where many do, and no flapping between."""

import pytest
import torch

from saescope.saes.registry import build
from saescope.toys.synthetic import SyntheticConfig, SyntheticTruth
from saescope.training.config import TrainConfig
from saescope.training.loop import train
from saescope.training.path import DENSE_ABOVE, SPARSE_BELOW, Path
from variants import normal


def relu_with_share(share: float):
    """A ReLU SAE of 100 latents, of which so many are active on every row."""
    sae = build("relu", 4, 100, {"l1": 1.0})
    with torch.no_grad():
        sae.W_enc.zero_()
        sae.b_enc.copy_(torch.where(torch.arange(100) < round(100 * share), 1.0, -1.0))
    return sae


@pytest.mark.parametrize(("before", "share", "after"), [(True, 0.05, True), (True, 0.08, True), (True, 0.10, False), (True, 1.0, False),
                                                        (False, 0.12, False), (False, 0.08, False), (False, 0.06, True)])  # fmt: skip
def test_the_path_follows_the_share_of_pairs_with_some_reluctance(before, share, after):
    path = Path()
    path.sparse = before
    path.choose(relu_with_share(share), normal(300, 4).float())
    assert path.share == pytest.approx(share)
    assert path.sparse is after


def test_the_crossover_leaves_room_for_hysteresis():
    assert SPARSE_BELOW < DENSE_ABOVE


@pytest.mark.parametrize(
    ("architecture", "options", "share"), [("topk", {"k": 3}, 0.03), ("batch_topk", {"k": 3}, 0.03), ("autoencoder", {}, 0.5)]
)
def test_the_share_is_that_of_the_pairs_that_the_loss_computes_with(architecture, options, share):
    path = Path()
    path.choose(build(architecture, 16, 100, options), normal(1000, 16).float())
    assert path.share == pytest.approx(share, abs=0.05 if architecture == "autoencoder" else 1e-6)


@pytest.mark.parametrize("architecture", ["topk", "batch_topk", "matryoshka", "relu", "gated", "jumprelu"])
@pytest.mark.filterwarnings("ignore:sae was to have an L0")
def test_200_sparse_steps_end_where_dense_ones_do(architecture, monkeypatch):
    """FVU on held-out rows within 1e-3 of the dense float32 reference's, whatever selects."""
    source = SyntheticTruth(SyntheticConfig(d=32))
    held_out = next(iter(source.batches(4096, seed=7))).rows.float()

    def fvu(sparse: bool, precision: str) -> float:
        monkeypatch.setattr(Path, "choose", lambda path, sae, x: setattr(path, "sparse", sparse))
        sae = build(architecture, 32, 160, {"k": 6} if "topk" in architecture or architecture == "matryoshka" else {"l0": 6.0})
        train(sae, source, TrainConfig(tokens=200 * 160, batch_tokens=160, precision=precision))
        error = held_out - sae(held_out)
        return (error.square().sum() / (held_out - held_out.mean(0)).square().sum()).item()

    dense = fvu(False, "fp32")
    assert dense < 0.7
    assert fvu(True, "fp32") == pytest.approx(dense, abs=1e-3)
    assert fvu(True, "bf16") == pytest.approx(dense, abs=1e-3)
