"""One contestant of benchmarks/training.py: a library's own trainer, whose batches come when the benchmark says so.

    python training_worker.py saescope topk '{"d_in": 768, "d_sae": 12288, "batch": 4096, "k": 32}'

A step lasts from when the trainer gets a batch until it asks for the next, so all that it does in between counts (contest.py).
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import torch
from contest import paced, quietly

Tensor = torch.Tensor
STEPS = 1000
"""Of the run whose first steps are timed: schedules are those of such a run."""
BATCHES = 4
ACTIVE = 24
"""Directions in each row of the data, of as many as there are latents."""
WANTED_L0 = 64
"""Of penalised architectures: after twice as many at the start, all that is timed lies below 100."""
facts: dict[str, Any] = {}


def data(shape: dict[str, int]) -> list[Tensor]:
    """Batches of sparse sums of random directions with some noise, at unit mean square."""
    draws = torch.Generator().manual_seed(0)
    basis = torch.randn(shape["d_sae"], shape["d_in"], generator=draws)
    basis /= basis.norm(dim=1, keepdim=True)
    x = 0.3 * torch.randn(BATCHES * shape["batch"], shape["d_in"], generator=draws) / shape["d_in"] ** 0.5
    for _ in range(ACTIVE):
        x += basis[torch.randint(0, len(basis), (len(x),), generator=draws)] * 2 * torch.rand(len(x), 1, generator=draws)
    x *= (shape["d_in"] / x.square().sum(1).mean()) ** 0.5
    return list(x.split(shape["batch"]))


def gemm(arch: str, shape: dict[str, int], batches: Iterator[Tensor]) -> None:
    """The encoder's matrix product alone."""
    W = torch.randn(shape["d_in"], shape["d_sae"])
    for x in batches:
        x @ W


def saescope(arch: str, shape: dict[str, int], batches: Iterator[Tensor]) -> None:
    from saescope import TensorSource, TrainConfig, train
    from saescope.activations.source import StepBatch
    from saescope.saes.registry import build
    from saescope.training.objective import Reconstruction

    class Paced(Reconstruction):
        def batches(self, source, plan, first_step):
            return (StepBatch(rows) for rows in batches)

    options = {"k": shape["k"]} if arch in ("topk", "batch_topk", "matryoshka") else {"l0": float(WANTED_L0)}
    cfg = TrainConfig(
        tokens=STEPS * shape["batch"], batch_tokens=shape["batch"], log_steps=1, precision=os.environ.get("PRECISION", "auto")
    )  # fmt: skip
    sae = build(arch, shape["d_in"], shape["d_sae"], options)

    def record(line: dict[str, Any]) -> None:
        found = line["saes"]["sae"]
        facts.update({name: round(found[name], 4) for name in ("l0", "pairs", "window", "dead") if name in found}, sparse=found["sparse"])

    train(sae, TensorSource(torch.cat(data(shape))), cfg, objective=Paced(), record=record)


def saelens(arch: str, shape: dict[str, int], batches: Iterator[Tensor]) -> None:
    import sae_lens
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    name, options = {
        "relu": ("Standard", {"l1_coefficient": 5.0}),
        "gated": ("Gated", {"l1_coefficient": 5.0}),
        "jumprelu": ("JumpReLU", {"l0_coefficient": 5.0}),
        "topk": ("TopK", {"k": shape["k"]}),
        "batch_topk": ("BatchTopK", {"k": shape["k"]}),
        "matryoshka": ("MatryoshkaBatchTopK", {"k": shape["k"], "matryoshka_widths": _widths(shape["d_sae"])}),
    }[arch]
    config = getattr(sae_lens, f"{name}TrainingSAEConfig")(d_in=shape["d_in"], d_sae=shape["d_sae"], **options)
    cfg = SAETrainerConfig(
        total_training_samples=STEPS * shape["batch"], train_batch_size_samples=shape["batch"], lr=3e-4, lr_end=3e-5,
        autocast=os.environ.get("PRECISION") == "bf16",
    )  # fmt: skip
    SAETrainer(cfg, getattr(sae_lens, f"{name}TrainingSAE")(config), batches).fit()


def dictionary_learning(arch: str, shape: dict[str, int], batches: Iterator[Tensor]) -> None:
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer
    from dictionary_learning.training import trainSAE

    widths = _widths(shape["d_sae"])
    shares = [(b - a) / shape["d_sae"] for a, b in zip([0, *widths], widths, strict=False)]
    trainer, options = {
        "relu": (StandardTrainer, {}),
        "gated": (GatedSAETrainer, {}),
        "jumprelu": (JumpReluTrainer, {"target_l0": WANTED_L0}),
        "topk": (TopKTrainer, {"k": shape["k"]}),
        "batch_topk": (BatchTopKTrainer, {"k": shape["k"]}),
        "matryoshka": (MatryoshkaBatchTopKTrainer, {"k": shape["k"], "group_fractions": shares}),
    }[arch]
    if arch in ("relu", "gated", "jumprelu"):
        options["sparsity_warmup_steps"] = 50
    config = {
        "trainer": trainer, "steps": STEPS, "activation_dim": shape["d_in"], "dict_size": shape["d_sae"], "layer": 0, "lm_name": "none",
        "device": "cpu", "seed": 0, "warmup_steps": 100, **options,
    }  # fmt: skip
    trainSAE(batches, [config], steps=STEPS, device="cpu")


def sparsify(arch: str, shape: dict[str, int], batches: Iterator[Tensor]) -> None:
    """The steps of its `Trainer.fit`, which needs a language model: its defaults, without the logging."""
    from schedulefree import ScheduleFreeWrapper
    from sparsify.config import SparseCoderConfig
    from sparsify.sign_sgd import SignSGD
    from sparsify.sparse_coder import SparseCoder

    sae = SparseCoder(shape["d_in"], SparseCoderConfig(num_latents=shape["d_sae"], k=shape["k"], activation=arch))
    optimizer = ScheduleFreeWrapper(SignSGD(sae.parameters(), lr=5e-3 / (shape["d_sae"] / 2**14) ** 0.5), momentum=0.95)
    optimizer.train()
    fired = torch.zeros(shape["d_sae"], dtype=torch.bool)
    for x in batches:
        sae.set_decoder_norm_to_unit_norm()
        out = sae(x)
        fired[out.latent_indices.flatten()] = True
        out.fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()


def _widths(d_sae: int) -> list[int]:
    return [d_sae // 2**m for m in (4, 3, 2, 1, 0)]


CONTESTANTS: dict[str, Callable[[str, dict[str, int], Iterator[Tensor]], None]] = {
    "gemm": gemm, "saescope": saescope, "saelens": saelens, "dictionary_learning": dictionary_learning, "sparsify": sparsify,
}  # fmt: skip

if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.set_flush_denormal(True)  # as our loop does: Adam moments of silent latents would slow the others down
    library, arch, shape = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    quietly(lambda: CONTESTANTS[library](arch, shape, paced(data(shape), facts)))
