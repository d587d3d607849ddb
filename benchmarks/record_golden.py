"""Numbers of other libraries, recorded: tiny SAEs in their own formats, with what their own code computes from them.

    python -m venv peers && peers/bin/pip install -r benchmarks/peers.txt
    peers/bin/python benchmarks/record_golden.py tests/golden/interop

Writes one folder per library: a folder per SAE as the library saves it, `encode.npz` with inputs and outputs of its encode and
decode, and `losses.npz` with weights, inputs, gradients and weights after one step of its trainers; `losses.json` has the loss
terms and options. Run by hand when a library changes; the tests read what it wrote and import neither library.
"""

import argparse
import json
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import torch

D, F, N = 6, 12, 16
D_OUT = 5
STEP = 0.01
"""Learning rate of the recorded steps, which are plain descent."""


class Record:
    """Arrays by name, written as one npz."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def add(self, name: str, tensor: torch.Tensor) -> None:
        self.arrays[name] = tensor.detach().cpu().numpy().copy()  # a step changes weights in place

    def add_all(self, prefix: str, tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            self.add(f"{prefix}/{name}", tensor)

    def write(self, path: Path) -> None:
        np.savez_compressed(path, **self.arrays)


def draw(seed: int, *shape: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def rows_of(seed: int, n: int = N, d: int = D) -> torch.Tensor:
    return draw(seed, n, d) + 0.3


def fill(module: torch.nn.Module, seed: int, *, unit_decoder: bool) -> None:
    """Weights that mean something: every parameter drawn, thresholds positive, the decoder's rows of norm 1 or not."""
    with torch.no_grad():
        for i, (name, p) in enumerate(sorted(module.named_parameters())):
            drawn = draw(seed + 31 * i, *p.shape)
            if name in ("W_dec", "decoder.weight"):
                rows = drawn if name == "W_dec" else drawn.T
                rows = unit(rows) * (1 if unit_decoder else 0.5 + draw(seed + 7, len(rows)).abs()[:, None])
                p.copy_(rows if name == "W_dec" else rows.T)
            elif name == "threshold":
                p.copy_(0.3 + 0.3 * drawn.abs())
            else:
                p.copy_((0.6 if name in ("W_enc", "encoder.weight") else 0.3) * drawn)


# --- SAELens ---------------------------------------------------------------------------------------------------------


def saelens_metadata():
    from sae_lens.saes.sae import SAEMetadata

    return SAEMetadata(
        model_name="gpt2-small", hook_name="blocks.3.hook_resid_post", context_size=64, prepend_bos=True, dataset_path="some/corpus"
    )  # fmt: skip


def saelens_inference(out: Path) -> None:
    """Every inference architecture, saved by the library, opened again by the library, run by the library."""
    from sae_lens import SAE
    from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig
    from sae_lens.saes.transcoder import (
        JumpReLUSkipTranscoder,
        JumpReLUSkipTranscoderConfig,
        JumpReLUTranscoder,
        JumpReLUTranscoderConfig,
        SkipTranscoder,
        SkipTranscoderConfig,
        Transcoder,
        TranscoderConfig,
    )

    of_transcoders = {"apply_b_dec_to_input": False, "d_out": D_OUT}
    cases = {
        "standard": (StandardSAE, StandardSAEConfig, {}, False),
        "standard_unit": (StandardSAE, StandardSAEConfig, {}, True),
        "standard_untied": (StandardSAE, StandardSAEConfig, {"apply_b_dec_to_input": False}, False),
        "gated": (GatedSAE, GatedSAEConfig, {}, False),
        "gated_untied": (GatedSAE, GatedSAEConfig, {"apply_b_dec_to_input": False}, True),
        "topk": (TopKSAE, TopKSAEConfig, {"k": 3}, True),
        "topk_free": (TopKSAE, TopKSAEConfig, {"k": 3}, False),
        "topk_rescaled": (TopKSAE, TopKSAEConfig, {"k": 3, "rescale_acts_by_decoder_norm": True}, False),
        "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig, {"apply_b_dec_to_input": False}, False),
        "jumprelu_tied": (JumpReLUSAE, JumpReLUSAEConfig, {}, True),
        "transcoder": (Transcoder, TranscoderConfig, of_transcoders, False),
        "skip_transcoder": (SkipTranscoder, SkipTranscoderConfig, of_transcoders, True),
        "jumprelu_transcoder": (JumpReLUTranscoder, JumpReLUTranscoderConfig, of_transcoders, False),
        "jumprelu_skip_transcoder": (JumpReLUSkipTranscoder, JumpReLUSkipTranscoderConfig, of_transcoders, True),
    }
    record = Record()
    for i, (name, (sae_class, cfg_class, options, unit_decoder)) in enumerate(cases.items()):
        sae = sae_class(cfg_class(d_in=D, d_sae=F, metadata=saelens_metadata(), **options))
        fill(sae, 1000 * i, unit_decoder=unit_decoder)
        if "transcoder" in name:
            sae.cfg.metadata.hook_name, sae.cfg.metadata.hook_name_out = "blocks.3.hook_resid_mid", "blocks.3.hook_mlp_out"
        sae.save_model(out / name)
        record_encode(record, name, SAE.load_from_disk(out / name), rows_of(i, 8))
    saelens_trained(out, record)
    record.write(out / "encode.npz")


def saelens_trained(out: Path, record: Record) -> None:
    """What training leaves: the inference SAE of a BatchTopK or Matryoshka, and checkpoints, which are not folded yet."""
    from sae_lens import SAE
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.matryoshka_batchtopk_sae import MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig

    matryoshka = {"k": 2, "matryoshka_widths": [3, 6, F]}
    cases = {
        "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {"k": 2.5}),
        "matryoshka": (MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig, matryoshka),
        "batchtopk_checkpoint": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {"k": 2}),
        "matryoshka_checkpoint": (MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig, matryoshka),
        "scaled_checkpoint": (StandardTrainingSAE, StandardTrainingSAEConfig, {"normalize_activations": "expected_average_only_in"}),
        "scaled_batchtopk_checkpoint": (
            BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {"k": 2, "normalize_activations": "expected_average_only_in"},
        ),
    }  # fmt: skip
    for i, (name, (sae_class, cfg_class, options)) in enumerate(cases.items()):
        sae = sae_class(cfg_class(d_in=D, d_sae=F, metadata=saelens_metadata(), **options))
        fill(sae, 500 + 1000 * i, unit_decoder=False)
        if hasattr(sae, "topk_threshold"):
            sae.topk_threshold.fill_(0.7)
        final = out / name
        if "checkpoint" in name:
            sae.save_model(out / name)
            final = out / f"{name}-final"
        if "scaled" in name:
            (out / name / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 0.4}))
            sae.fold_activation_norm_scaling_factor(0.4)
        sae.save_inference_model(final)
        record_encode(record, name, SAE.load_from_disk(final), rows_of(50 + i, 8))
        if final != out / name:
            shutil.rmtree(final)


def record_encode(record: Record, name: str, sae, x: torch.Tensor) -> None:
    with torch.no_grad():
        record.add_all(name, {"x": x, "latents": sae.encode(x), "x_hat": sae(x)})


def saelens_losses(out: Path) -> None:
    """Loss terms and gradients of the trainers, on raw inputs."""
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.gated_sae import GatedTrainingSAE, GatedTrainingSAEConfig
    from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
    from sae_lens.saes.matryoshka_batchtopk_sae import MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig
    from sae_lens.saes.sae import TrainStepInput
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    widths = {"k": 3, "matryoshka_widths": [3, 6, F]}
    jump = {"apply_b_dec_to_input": False, "jumprelu_bandwidth": 0.4, "l0_coefficient": 0.7}
    cases = {
        "standard_untied": (StandardTrainingSAE, StandardTrainingSAEConfig, {"l1_coefficient": 0.6, "apply_b_dec_to_input": False}, False),
        "standard": (StandardTrainingSAE, StandardTrainingSAEConfig, {"l1_coefficient": 0.6}, True),
        "gated": (GatedTrainingSAE, GatedTrainingSAEConfig, {"l1_coefficient": 0.6}, True),
        "topk": (TopKTrainingSAE, TopKTrainingSAEConfig, {"k": 3}, True),
        "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {"k": 3}, True),
        "matryoshka": (MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig, widths, True),
        "jumprelu_step": (JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig, jump, True),
        "jumprelu_step_ste": (JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig, jump | {"jumprelu_ste_to_input": True}, True),
        "jumprelu_tanh": (
            JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig,
            jump | {"jumprelu_sparsity_loss_mode": "tanh", "jumprelu_ste_to_input": True, "pre_act_loss_coefficient": 0.05}, False,
        ),
        "jumprelu_quadratic": (
            JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig, jump | {"jumprelu_sparsity_loss_mode": "quadratic", "target_l0": 3.0}, True,
        ),
    }  # fmt: skip
    record, facts = Record(), {}
    for i, (name, (sae_class, cfg_class, options, unit_decoder)) in enumerate(cases.items()):
        sae = sae_class(cfg_class(d_in=D, d_sae=F, **options))
        fill(sae, 200 + 1000 * i, unit_decoder=unit_decoder)
        dead = quiet_(sae, [2, 7, 9]) if name in ("topk", "batchtopk", "matryoshka", "jumprelu_tanh") else torch.zeros(F, dtype=torch.bool)
        x = rows_of(300 + i)
        record.add_all(f"{name}/before", dict(sae.named_parameters()))
        record.add_all(name, {"x": x, "dead": dead})
        given = TrainStepInput(
            sae_in=x, coefficients={"l1": options.get("l1_coefficient", 0), "l0": options.get("l0_coefficient", 0)},
            dead_neuron_mask=dead, n_training_steps=1, is_logging_step=False,
        )  # fmt: skip
        step = sae.training_forward_pass(given)
        step.loss.backward()
        record.add_all(f"{name}/grad", {key: p.grad for key, p in sae.named_parameters()})
        facts[name] = {"options": options, "terms": {key: value.item() for key, value in step.losses.items()}, "loss": step.loss.item()}
    record.write(out / "losses.npz")
    (out / "losses.json").write_text(json.dumps(facts, indent=1) + "\n")


def quiet_(module: torch.nn.Module, latents: list[int]) -> torch.Tensor:
    """Make latents fire weakly on every row, so that no top-k keeps them; returns them as a mask."""
    weights = dict(module.named_parameters())
    with torch.no_grad():
        encoder = weights["W_enc"].T if "W_enc" in weights else weights["encoder.weight"]
        bias = weights["b_enc"] if "b_enc" in weights else weights["encoder.bias"]
        encoder[latents] *= 0.02
        bias[latents] = 0.15
    mask = torch.zeros(F, dtype=torch.bool)
    mask[latents] = True
    return mask


# --- dictionary_learning -----------------------------------------------------------------------------------------------


def dictionary_trainers() -> dict[str, tuple[type, dict]]:
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer, StandardTrainerAprilUpdate
    from dictionary_learning.trainers.top_k import TopKTrainer

    l1 = {"l1_penalty": 0.6, "sparsity_warmup_steps": None}
    return {
        "standard": (StandardTrainer, l1),
        "april": (StandardTrainerAprilUpdate, l1),
        "gated": (GatedSAETrainer, l1),
        "topk": (TopKTrainer, {"k": 3}),
        "batch_topk": (BatchTopKTrainer, {"k": 3}),
        "matryoshka": (MatryoshkaBatchTopKTrainer, {"k": 3, "group_fractions": [0.25, 0.25, 0.5]}),
        "jumprelu": (JumpReluTrainer, {"bandwidth": 0.2, "target_l0": 3.0, "sparsity_penalty": 0.7, "sparsity_warmup_steps": None}),
    }


def dictionary_learning(out: Path) -> None:
    """Every trainer: its dictionary as `trainSAE` saves it, its encode, its loss terms, gradients, and one whole `update`."""
    from dictionary_learning.dictionary import AutoEncoderNew
    from dictionary_learning.utils import load_dictionary

    encoded, record, facts = Record(), Record(), {}
    for i, (name, (trainer_class, options)) in enumerate(dictionary_trainers().items()):
        trainer = trainer_class(
            steps=10_000, activation_dim=D, dict_size=F, layer=3, lm_name="EleutherAI/pythia-70m", seed=0, device="cpu",
            submodule_name="resid_post_layer_3", **options,
        )  # fmt: skip
        fill(trainer.ae, 600 + 1000 * i, unit_decoder=name != "april")
        if name in ("batch_topk", "matryoshka"):
            trainer.ae.threshold.fill_(0.6)
        save_dictionary(out / name, trainer.ae, trainer.config)
        saved, _ = load_dictionary(str(out / name), "cpu")
        record_encode(encoded, name, saved, rows_of(70 + i, 8))
        facts[name] = {"options": options} | dictionary_loss(name, trainer, record, rows_of(400 + i))
    new = AutoEncoderNew(D, F)
    fill(new, 9000, unit_decoder=False)
    config = {"dict_class": "AutoEncoderNew", "activation_dim": D, "dict_size": F, "layer": 3, "lm_name": "EleutherAI/pythia-70m"}
    save_dictionary(out / "april_new", new, config)
    record_encode(encoded, "april_new", load_dictionary(str(out / "april_new"), "cpu")[0], rows_of(99, 8))
    encoded.write(out / "encode.npz")
    record.write(out / "losses.npz")
    (out / "losses.json").write_text(json.dumps(facts, indent=1) + "\n")


def save_dictionary(folder: Path, ae: torch.nn.Module, config: dict) -> None:
    folder.mkdir(parents=True)
    buffer = {"d_submodule": D, "io": "out", "n_ctxs": 100, "ctx_len": 128, "refresh_batch_size": 8, "out_batch_size": N, "device": "cpu"}
    (folder / "config.json").write_text(json.dumps({"trainer": config, "buffer": buffer}, indent=1) + "\n")
    torch.save({key: value.cpu() for key, value in ae.state_dict().items()}, folder / "ae.pt")


def dictionary_loss(name: str, trainer, record: Record, x: torch.Tensor) -> dict:
    if name == "jumprelu":  # at the scale that its coefficients are for: E||x||^2 = 1
        x = x / x.square().sum(1).mean().sqrt()
    dead = torch.zeros(F, dtype=torch.bool)
    if name in ("topk", "batch_topk", "matryoshka"):
        dead = quiet_(trainer.ae, [2, 7, 9])
        trainer.num_tokens_since_fired[dead] = trainer.dead_feature_threshold
    record.add_all(f"{name}/before", dict(trainer.ae.named_parameters()))
    losses = trainer.loss(x.clone(), step=1, logging=True).losses
    if dead.any():  # their loss first takes those that fired from among the dead
        dead = trainer.num_tokens_since_fired >= trainer.dead_feature_threshold
    record.add_all(name, {"x": x, "dead": dead})
    loss = trainer.loss(x.clone(), step=1)
    loss.backward()
    record.add_all(f"{name}/grad", {key: p.grad for key, p in trainer.ae.named_parameters()})
    trainer.optimizer.zero_grad()
    for group in trainer.optimizer.param_groups:  # Adam with an eps far above any gradient is plain descent by lr / eps
        group["betas"], group["eps"], group["lr"] = (0.0, 0.999), 1e8, STEP * 1e8
    trainer.update(1, x.clone())
    record.add_all(f"{name}/after", dict(trainer.ae.named_parameters()))
    return {"terms": losses, "loss": loss.item()}


# --- Gemma Scope -------------------------------------------------------------------------------------------------------


def gemma_scope(out: Path) -> None:
    """A params.npz of that release's layout, read by SAELens' own loader for it."""
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    folder = out / "gemma-scope-2b-pt-res" / "layer_20" / "width_16k" / "average_l0_71"
    folder.mkdir(parents=True)
    arrays = {
        "W_dec": draw(11, F, D, scale=0.5), "W_enc": draw(12, D, F, scale=0.6), "b_dec": draw(13, D, scale=0.3),
        "b_enc": draw(14, F, scale=0.3), "threshold": 0.3 + 0.3 * draw(15, F).abs(),
    }  # fmt: skip
    np.savez(folder / "params.npz", **{name: value.numpy() for name, value in arrays.items()})
    with mock.patch.object(loaders, "hf_hub_download", return_value=str(folder / "params.npz")):
        _, state, _ = loaders.gemma_2_sae_huggingface_loader("google/gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71")
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=D, d_sae=F, apply_b_dec_to_input=False))
    sae.load_state_dict(state)
    record = Record()
    record_encode(record, "gemma_scope", sae, rows_of(80, 8))
    record.write(out / "encode.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    warnings.filterwarnings("ignore")
    for name, write in {"saelens": saelens_inference, "dictionary_learning": dictionary_learning, "gemma_scope": gemma_scope}.items():
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
        write(out / name)
    saelens_losses(out / "saelens")
    versions = {name: version(name) for name in ("sae-lens", "dictionary-learning", "torch")}
    (out / "versions.json").write_text(json.dumps({"recorded_with": versions, "by": "benchmarks/record_golden.py"}, indent=1) + "\n")


if __name__ == "__main__":
    main()
