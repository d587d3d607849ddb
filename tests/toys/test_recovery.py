"""Every architecture finds known directions: most of them, where a dictionary of random directions finds none."""

import pytest
import torch

from saescope.evals.truth import Recovery, recovery
from saescope.saes.registry import ARCHITECTURES, build
from saescope.toys.synthetic import SyntheticConfig, SyntheticTruth
from saescope.training.config import TrainConfig
from saescope.training.loop import Job, train

pytestmark = pytest.mark.slow
F = 128

# (architecture, options, learning rate, least recall). Twice as many latents as directions and twice the L0: it needs room.
CASES = [
    ("topk", {"k": 4}, None, 0.95),  # the defaults
    ("batch_topk", {"k": 4}, 5e-3, 0.6),
    ("matryoshka", {"k": 4, "widths": (64, F)}, 5e-3, 0.5),  # a prefix of fewer latents than there are directions must mix them
    ("relu", {"l1": 2.0}, 5e-3, 0.9),
    ("relu", {"l1": 2.0, "decoder": "free"}, 1e-2, 0.9),
    ("gated", {"l0": 3.0}, 5e-3, 0.9),
    ("jumprelu", {"l0": 3.0}, 5e-3, 0.8),
    ("transcoder", {"k": 4}, 5e-3, 0.6),
    ("skip_transcoder", {"k": 4}, 5e-3, 0.8),
    ("crosscoder", {"k": 4, "widths": (16, 16)}, 5e-3, 0.6),
]


def scored(architecture: str, options, lr) -> Recovery:
    """Recovery after 256k tokens of `small_64` (of twice its width for transcoders, which read one half and write the other)."""
    transcodes = "transcoder" in architecture
    cfg = SyntheticConfig(d=64 if transcodes else 32)
    truth = SyntheticTruth(cfg, points=("a", "b") if "coder" in architecture and architecture != "autoencoder" else ("x",))
    sae = build(architecture, 32, F, options, d_out=32)
    steps, batch_tokens = (1000, 256) if lr else (800, 512)
    job = Job(sae, read=("a",), target="b") if transcodes else Job(sae)
    train(job, truth, TrainConfig(tokens=steps * batch_tokens, batch_tokens=batch_tokens, lr=lr))
    x, codes = truth.sample(4096, seed=1)
    if not transcodes:
        return recovery(sae, truth.directions, x, codes)
    wanted = truth.directions[:, 32:]
    if sae.cfg.skip:  # the skip says part of each direction, so latents are to write the rest
        wanted = wanted - truth.directions[:, :32] @ sae.W_skip
    return recovery(sae, wanted, x[:, :32], codes, target=x[:, 32:])


@pytest.mark.parametrize(("architecture", "options", "lr", "least"), CASES, ids=[f"{name} {options}" for name, options, _, _ in CASES])
def test_directions_are_recovered(architecture, options, lr, least):
    found = scored(architecture, options, lr)
    assert found.random_dictionary.recall < 0.05
    assert found.sae.recall >= max(least, found.random_dictionary.recall + 0.5)
    assert found.sae.mcc > found.random_dictionary.mcc + 0.3
    assert found.sae.f1 > found.random_dictionary.f1 + 0.2
    assert found.sae.ev > 0.8 > found.pca.ev
    if architecture != "skip_transcoder":  # the directions it is compared with are not what the rows are made of
        assert found.oracle.f1 > found.sae.f1


def test_a_plain_autoencoder_reconstructs_best_and_recovers_nothing():
    """Why sparsity: what it is compared with."""
    found = scored("autoencoder", {}, 5e-3)
    assert found.sae.ev > 0.95
    assert found.sae.recall < 0.2


def test_no_architecture_is_left_out():
    assert {name for name, *_ in CASES} | {"autoencoder"} == set(ARCHITECTURES)


def test_what_a_noisy_biased_source_hides_is_found_too():
    truth = SyntheticTruth(SyntheticConfig(noise=0.05, bias=3.0))
    sae = build("topk", 32, F, {"k": 4})
    train(sae, truth, TrainConfig(tokens=800 * 512, batch_tokens=512))
    found = recovery(sae, truth.directions, *truth.sample(4096, seed=1))
    assert found.sae.recall > 0.9
    assert (sae.b_dec - truth.bias).norm() < 0.5 * torch.tensor(3.0)
