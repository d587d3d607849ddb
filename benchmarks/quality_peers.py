"""The peers of benchmarks/quality.py, each trained by its own trainer; run by it with the interpreter that has them (peers.txt).

Settings are the libraries' documented ones ("documented"), and the same with our lr, batch and schedule ("matched"). Warm-ups that
are documented in steps of a long run are taken as the same share of this one.

    SAELens              docs/training_saes.md: batch 4,096, inputs scaled to norm sqrt(d), lr decay over the last fifth, L1 warm-up over
                         the first 20th; lr 3e-4 is the runner's default (the tutorial's 5e-5 is for 123M tokens). JumpReLU is the
                         tanh variant with the numbers given there; Matryoshka widths F/4, F/2, F.
    dictionary_learning  each trainer's own default lr, Adam and coefficients; batch 2,048, unit mean square norm and decay over the last
                         fifth as in dictionary_learning_demo, whose 500M tokens (SAE Bench) the warm-ups of 1,000 and 2,000 steps
                         are shares of; Matryoshka groups as there.
    sparsify             TopK alone, for equal_quality.py: the defaults of its config.
"""

import contextlib
import os
import sys
import tempfile
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import torch
from quality_common import (
    D_SAE,
    Batches,
    Job,
    Rows,
    Trained,
    coefficient_for,
    estimate,
    parser,
    run_jobs,
    threshold_for,
)

LONG_RUN_STEPS = 500_000_000 // 2048
"""Of dictionary_learning_demo's SAE Bench runs."""
SAELENS_FIRST = {"relu": 5.0, "gated": 5.0, "jumprelu": 5.0}
"""Documented coefficients, tried first; the wanted L0 decides the next ones."""
DICTIONARY_LEARNING_FIRST = {"relu": 0.1, "relu_april": 0.1, "gated": 0.1}


def train_saelens(job: Job, rows: Rows, results: list[dict[str, Any]], steps: int | None = None) -> Trained:
    """A training by `SAETrainer.fit`, then the inference SAE that the library saves and loads."""
    from sae_lens import SAE
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    ours, matched = rows.ours, job.setting == "matched"
    batch = ours["batch_tokens"] if matched else 4096
    n_steps = steps or len(rows.train) // batch
    coefficient = coefficient_for(job, SAELENS_FIRST[job.sae], results) if job.sae in SAELENS_FIRST else None
    lr = ours["lr"][job.sae] if matched else 3e-4
    cfg = SAETrainerConfig(
        total_training_samples=n_steps * batch,
        train_batch_size_samples=batch,
        lr=lr,
        lr_end=lr / 10,  # unused by the constant schedule, but demanded
        lr_warm_up_steps=int(ours["warmup"] * n_steps) if matched else 0,
        lr_decay_steps=int(ours["decay"] * n_steps) if matched else n_steps // 5,
        n_batches_for_norm_estimate=20,
        **({"dead_feature_window": max(1, int(ours["dead"] * n_steps))} if matched else {}),
    )
    torch.manual_seed(job.seed)
    sae = saelens_sae(job, rows.train.shape[1], n_steps, coefficient, int((ours["sparsity_warmup"] if matched else 0.05) * n_steps))
    batches = Batches(rows.train, batch, job.seed)
    trainer = SAETrainer(cfg, sae, iter(batches))
    trainer.fit()
    with tempfile.TemporaryDirectory() as folder:
        sae.save_inference_model(folder)
        sae = SAE.load_from_disk(folder)
    facts = {"lr": lr, "batch_tokens": batch, "coefficient": coefficient, "tokens_per_s": round(batches.tokens_per_s(n_steps))}
    if job.sae in ("batch_topk", "matryoshka"):
        facts["own_threshold"], sae.threshold.data[:] = sae.threshold[0].item(), 0.0
        sae.threshold.data[:] = threshold_for(sae.encode, rows.train, job.l0)
    return Trained(sae.encode, sae.decode, facts)


def saelens_sae(job: Job, d_in: int, n_steps: int, coefficient: float | None, sparsity_warmup: int) -> Any:
    """The fresh SAE of an architecture."""
    import sae_lens

    common = {"d_in": d_in, "d_sae": D_SAE, "normalize_activations": "expected_average_only_in"}
    l1 = {"l1_coefficient": coefficient, "l1_warm_up_steps": sparsity_warmup}
    tanh = {
        "jumprelu_sparsity_loss_mode": "tanh", "l0_coefficient": coefficient, "jumprelu_tanh_scale": 4.0, "jumprelu_bandwidth": 2.0,
        "jumprelu_init_threshold": 0.1, "pre_act_loss_coefficient": 3e-6, "l0_warm_up_steps": n_steps,
    }  # fmt: skip
    name, options = {
        "relu": ("Standard", l1),
        "gated": ("Gated", l1),
        "jumprelu": ("JumpReLU", tanh),
        "topk": ("TopK", {"k": job.l0}),
        "batch_topk": ("BatchTopK", {"k": job.l0}),
        "matryoshka": ("MatryoshkaBatchTopK", {"k": job.l0, "matryoshka_widths": [D_SAE // 4, D_SAE // 2, D_SAE]}),
    }[job.sae]
    config = getattr(sae_lens, f"{name}TrainingSAEConfig")(**common, **options)
    return getattr(sae_lens, f"{name}TrainingSAE")(config)


def train_dictionary_learning(job: Job, rows: Rows, results: list[dict[str, Any]], steps: int | None = None) -> Trained:
    """A training by `trainSAE` on normalised activations, which it undoes at the end."""
    from dictionary_learning.training import trainSAE

    ours, matched = rows.ours, job.setting == "matched"
    batch = ours["batch_tokens"] if matched else 2048
    n_steps = steps or len(rows.train) // batch
    coefficient = None
    if job.sae in DICTIONARY_LEARNING_FIRST:
        coefficient = coefficient_for(job, DICTIONARY_LEARNING_FIRST[job.sae], results)
    trainer_class, options = dictionary_learning_trainer(job, n_steps, coefficient)
    if job.sae in ("relu", "relu_april", "gated", "jumprelu"):
        options["sparsity_warmup_steps"] = int((ours["sparsity_warmup"] if matched else 2000 / LONG_RUN_STEPS) * n_steps)
    trainers = []

    def kept(**config: Any) -> Any:
        torch.manual_seed(job.seed)  # not every trainer does it
        trainer = trainer_class(**config)
        if matched and hasattr(trainer, "dead_feature_threshold"):
            trainer.dead_feature_threshold = int(ours["dead"] * n_steps * batch)
        trainers.append(trainer)
        return trainer

    config = {
        "trainer": kept, "steps": n_steps, "activation_dim": rows.train.shape[1], "dict_size": D_SAE, "layer": 3, "lm_name": "stories3M",
        "device": "cpu", "seed": job.seed, "decay_start": int((1 - ours["decay"]) * n_steps) if matched else int(0.8 * n_steps),
        "warmup_steps": int((ours["warmup"] if matched else 1000 / LONG_RUN_STEPS) * n_steps), **options,
    }  # fmt: skip
    if matched:
        config["lr"] = ours["lr"][job.sae]
    batches = Batches(rows.train, batch, job.seed)
    with contextlib.redirect_stdout(sys.stderr):
        trainSAE(batches, [config], steps=n_steps, normalize_activations=True, device="cpu")
    (trainer,) = trainers
    sae = trainer.ae
    facts = {"lr": trainer.lr, "batch_tokens": batch, "coefficient": coefficient, "tokens_per_s": round(batches.tokens_per_s(n_steps))}
    if job.sae in ("batch_topk", "matryoshka"):
        facts["own_threshold"] = float(sae.threshold)
        sae.threshold = torch.zeros(())
        sae.threshold = torch.tensor(threshold_for(sae.encode, rows.train, job.l0))
    return Trained(sae.encode, sae.decode, facts)


def dictionary_learning_trainer(job: Job, n_steps: int, coefficient: float | None) -> tuple[type, dict[str, Any]]:
    """Trainer and its own options."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer, StandardTrainerAprilUpdate
    from dictionary_learning.trainers.top_k import TopKTrainer

    chosen = {"k": job.l0, "threshold_start_step": int(1000 / LONG_RUN_STEPS * n_steps)}
    groups = {"group_fractions": [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2 + 1 / 32]}
    return {
        "relu": (StandardTrainer, {"l1_penalty": coefficient}),
        "relu_april": (StandardTrainerAprilUpdate, {"l1_penalty": coefficient}),
        "gated": (GatedSAETrainer, {"l1_penalty": coefficient}),
        "jumprelu": (JumpReluTrainer, {"target_l0": job.l0}),
        "topk": (TopKTrainer, chosen),
        "batch_topk": (BatchTopKTrainer, chosen),
        "matryoshka": (MatryoshkaBatchTopKTrainer, {**chosen, **groups}),
    }[job.sae]


def train_sparsify(job: Job, rows: Rows, results: list[dict[str, Any]], steps: int | None = None) -> Trained:
    """The steps of its `Trainer.fit`, which needs a language model, with its defaults (signSGD, schedule-free), on 4,096 tokens each.

    Its own batches are of 32 sequences, which would be fewer steps.
    """
    from schedulefree import ScheduleFreeWrapper
    from sparsify.config import SparseCoderConfig
    from sparsify.sign_sgd import SignSGD
    from sparsify.sparse_coder import SparseCoder

    batch = 4096
    n_steps = steps or len(rows.train) // batch
    torch.manual_seed(job.seed)
    sae = SparseCoder(rows.train.shape[1], SparseCoderConfig(num_latents=D_SAE, k=job.l0))
    lr = 5e-3 / (D_SAE / 2**14) ** 0.5
    optimizer = ScheduleFreeWrapper(SignSGD(sae.parameters(), lr=lr), momentum=0.95)
    optimizer.train()
    batches = Batches(rows.train, batch, job.seed)
    for step, x in enumerate(batches):
        if step == 0:
            sae.encoder.bias.data, sae.b_dec.data = -x.mean(0) @ sae.encoder.weight.data.T, x.mean(0)
        if step == n_steps:
            break
        sae.set_decoder_norm_to_unit_norm()
        sae(x).fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
    optimizer.eval()

    def encode(x: torch.Tensor) -> torch.Tensor:
        top = sae.encode(x)
        return torch.zeros(len(x), D_SAE).scatter_(1, top.top_indices, top.top_acts)

    facts = {"lr": lr, "batch_tokens": batch, "coefficient": None, "tokens_per_s": round(batches.tokens_per_s(n_steps))}
    return Trained(encode, lambda latents: latents @ sae.W_dec + sae.b_dec, facts)


TRAINERS = {"saelens": train_saelens, "dictionary_learning": train_dictionary_learning, "sparsify": train_sparsify}
KNOWN = {
    "saelens": (*SAELENS_FIRST, "topk", "batch_topk", "matryoshka"),
    "dictionary_learning": (*DICTIONARY_LEARNING_FIRST, "jumprelu", "topk", "batch_topk", "matryoshka"),
    "sparsify": ("topk",),
}


def main() -> None:
    args = parser(__doc__ or "").parse_args()
    asked = args.sae
    for library in args.library:
        args.sae = [sae for sae in asked if sae in KNOWN[library]]
        (estimate if args.estimate else run_jobs)(args, library, TRAINERS[library])


if __name__ == "__main__":
    main()
