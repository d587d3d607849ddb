"""SAELens' folders: `cfg.json` beside `sae_weights.safetensors`, read and written."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from saescope.disk import make_folder, sync, write_json, writing
from saescope.errors import ConfigError, CorruptArtifact
from saescope.interop.assemble import assemble
from saescope.interop.foreign import load_safetensors, read_table, source_facts
from saescope.interop.saelens_config import CONFIG, SCALER, SAELensConfig, parse_config
from saescope.models.hook_point import TRANSFORMER_LENS, HookPoint
from saescope.saes.base import SAE
from saescope.shapes import Tensor

WEIGHTS = "sae_weights.safetensors"
FILES = (CONFIG, WEIGHTS)
SCHEMA_VERSION = "6.0.0"
"""Of SAELens: the version whose schema `write` follows."""
_LENS = {kind: name for name, kind in TRANSFORMER_LENS.items()}
_SKIPS = {False: "transcoder", True: "skip_transcoder"}


def read(folder: Path | str) -> SAE:
    """The SAE of a folder that SAELens saved, as our class that is the same function; `assemble` says which.

    A factor for the input that is not folded in yet is folded as SAELens does (latents keep their units), where the folder has it.
    Raises: NotAnArtifact, CorruptArtifact, ConfigError for an architecture or a normalisation of the input that has no equal.
    """
    folder = Path(folder)
    cfg = parse_config(read_table(folder / CONFIG), folder / CONFIG)
    tensors = load_safetensors(folder / WEIGHTS, *cfg.shapes())
    if cfg.scaled:
        _fold_scale(tensors, _factor(folder), cfg)
    if cfg.by_norm:
        _fold_norms(tensors)
    return assemble(cfg.ours, _in_our_names(tensors, cfg, folder), cfg.options, tied=cfg.tied)


def read_provenance(folder: Path | str) -> dict[str, Any]:
    """Model, hook points, context and BOS policy as the config has them, and under `source` what was read.

    Raises: NotAnArtifact, CorruptArtifact, ConfigError.
    """
    folder = Path(folder)
    cfg = parse_config(read_table(folder / CONFIG), folder / CONFIG)
    trained_as, version = (cfg.metadata.get(name) for name in ("training_architecture", "sae_lens_version"))
    head = cfg.metadata.get("hook_head_index")
    facts = {"architecture": cfg.architecture, "trained_as": trained_as, "version": version, "hook_head_index": head}
    kept = {name: value for name, value in facts.items() if isinstance(value, str | int)}
    return cfg.provenance() | {"source": source_facts("saelens", folder / WEIGHTS, **kept)}


def write(sae: SAE, folder: Path | str, provenance: Mapping[str, Any] | None = None) -> None:
    """Save an SAE that takes raw activations as SAELens does: the same latents and the same x_hat there.

    ReLU becomes standard; BatchTopK and Matryoshka become jumprelu with their one threshold, as SAELens saves its own.
    Raises: ConfigError for what SAELens has no class for (crosscoders, TopK transcoders), OutputNotWritable, DiskFull.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    architecture, options = _their_architecture(sae)
    tensors = {name: value.detach().cpu().float() for name, value in sae.state_dict().items()}
    if "tau" in tensors:
        tensors["threshold"] = tensors.pop("tau").clamp_min(0).expand(sae.d_sae)
    if "theta" in tensors:
        tensors["threshold"] = tensors.pop("theta")
    if "W_skip" in tensors:
        tensors["W_skip"] = tensors["W_skip"].T
    config = {"architecture": architecture, "d_in": sae.d_in, "d_sae": sae.d_sae, **options}
    make_folder(folder)
    temporary = folder / f"tmp-{os.getpid()}-{WEIGHTS}"
    with writing(temporary):
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
        sync(temporary)
        os.replace(temporary, folder / WEIGHTS)
    write_json(folder / CONFIG, config | _their_facts(sae, provenance or {}))


def _their_architecture(sae: SAE) -> tuple[str, dict[str, Any]]:
    """Their architecture of one of ours, and the options it has beside widths."""
    if sae.joins:
        raise ConfigError("SAELens has no crosscoder, so this SAE cannot be saved in its format. Keep it as it is: --to saescope.")
    if sae.transcodes:
        activation = sae.cfg.activation
        if activation == "topk":
            raise ConfigError("SAELens has no TopK transcoder, so this SAE cannot be saved in its format. Keep it as it is: --to saescope.")
        return ("" if activation == "relu" else "jumprelu_") + _SKIPS[sae.cfg.skip], {"d_out": sae.d_out}
    if sae.architecture == "topk":
        return "topk", {"k": sae.cfg.k, "rescale_acts_by_decoder_norm": False}
    theirs = {"relu": "standard", "autoencoder": "standard", "gated": "gated", "jumprelu": "jumprelu"}
    return theirs.get(sae.architecture, "jumprelu"), {}


def _their_facts(sae: SAE, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of a `cfg.json`: how the input is treated, and of which model the SAE is."""
    points = [HookPoint.parse(name) for name in (*provenance.get("hook_points", ())[:1], *filter(None, [provenance.get("target")]))]
    names = [str(at) if at.layer is None else f"blocks.{at.layer}.{_LENS[at.kind]}" for at in points]
    metadata = {
        "sae_lens_version": SCHEMA_VERSION,
        "model_name": provenance.get("model"),
        "hook_name": names[0] if names else None,
        "hook_name_out": names[1] if len(names) > 1 else None,
        "context_size": provenance.get("context_length"),
        "prepend_bos": {"first": True, "none": False}.get(str(provenance.get("bos"))),
        "dataset_path": provenance.get("corpus"),
    }
    return {
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.tied,
        "normalize_activations": "none",
        "reshape_activations": "hook_z" if points and points[0].kind == "attn_z" else "none",
        "metadata": {name: value for name, value in metadata.items() if value is not None},
    }


def _factor(folder: Path) -> float:
    """The input scale that lies beside the weights. Raises: ConfigError where none does."""
    if not (folder / SCALER).is_file():
        raise ConfigError(
            f"{folder} says normalize_activations='expected_average_only_in', so its weights read activations times a factor that is "
            f"not in the folder ({SCALER} is missing). Fold it in SAELens (fold_activation_norm_scaling_factor) and save again."
        )
    factor = read_table(folder / SCALER).get("scaling_factor")
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 0 < factor < math.inf:
        raise CorruptArtifact(f"{folder / SCALER} says {str(factor)[:40]!r} for scaling_factor, which must be above 0. Copy it again.")
    return float(factor)


def _fold_scale(tensors: dict[str, Tensor], factor: float, cfg: SAELensConfig) -> None:
    """x_hat(x) = x_hat'(factor x) / factor, with latents in the units of the scaled input, as SAELens does it."""
    tensors["W_enc"] *= factor
    tensors["W_dec"] /= factor
    tensors["b_dec"] /= factor
    if cfg.by_norm and "topk_threshold" in tensors:
        tensors["topk_threshold"] /= factor  # it is in units of a latent times its decoder norm


def _fold_norms(tensors: dict[str, Tensor]) -> None:
    """Decoder rows of norm 1; what reads latent i grows by its norm, which is what the top k were chosen by."""
    norms_F = tensors["W_dec"].norm(dim=1).clamp_min(1e-8)
    tensors["W_dec"] /= norms_F[:, None]
    tensors["W_enc"] *= norms_F
    tensors["b_enc"] *= norms_F


def _in_our_names(tensors: dict[str, Tensor], cfg: SAELensConfig, folder: Path) -> dict[str, Tensor]:
    """Names, orientation and thresholds as our classes have them."""
    tensors = dict(tensors)
    scale = tensors.pop("scaling_factor", None)
    if scale is not None and not torch.allclose(scale, torch.ones_like(scale)):
        if not cfg.fine_tuned:
            raise ConfigError(
                f"{folder / WEIGHTS} has a scaling_factor per latent, but its config does not say finetuning_scaling_factor: whether it "
                "counts is not known. Set that field in cfg.json to true, or remove the tensor."
            )
        tensors["W_dec"] = tensors["W_dec"] * scale[:, None]
    if "jumprelu" in cfg.architecture:
        logarithm, theta = tensors.pop("log_threshold", None), tensors.pop("threshold", None)
        theta = logarithm.exp() if logarithm is not None else theta
        if theta is None:
            raise CorruptArtifact(f"{folder / WEIGHTS} has no threshold, which a jumprelu SAE needs. Copy the SAE again.")
        tensors["theta"] = theta.clamp_min(0)  # relu follows: a threshold below 0 is 0
    if "topk_threshold" in tensors:
        tensors["tau"] = tensors.pop("topk_threshold").clamp_min(0)
    if "W_skip" in tensors:
        tensors["W_skip"] = tensors["W_skip"].T
    return tensors
