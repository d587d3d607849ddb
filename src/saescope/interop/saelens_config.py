"""The `cfg.json` of SAELens, of every version, as one table of what matters to the function of an SAE."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saescope.errors import ConfigError, CorruptArtifact, did_you_mean
from saescope.interop.foreign import Shapes, hook_point_name, text, whole

CONFIG = "cfg.json"
SCALER = "activation_scaler.json"
"""Beside the config of a checkpoint of unfinished training: the input scale that is not yet folded into the weights."""
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "standard": ("relu", {}),
    "gated": ("gated", {}),
    "topk": ("topk", {}),
    "jumprelu": ("jumprelu", {}),
    "batchtopk": ("batch_topk", {}),
    "matryoshka_batchtopk": ("matryoshka", {}),
    "transcoder": ("transcoder", {"activation": "relu"}),
    "skip_transcoder": ("transcoder", {"activation": "relu", "skip": True}),
    "jumprelu_transcoder": ("transcoder", {"activation": "jumprelu"}),
    "jumprelu_skip_transcoder": ("transcoder", {"activation": "jumprelu", "skip": True}),
}
"""Our architecture and options by theirs. The two BatchTopK are of training checkpoints; finished, they are saved as jumprelu."""
_OLD_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}


@dataclass(frozen=True)
class SAELensConfig:
    """What a `cfg.json` says of the function that the weights beside it are."""

    architecture: str
    """Their name of it."""
    d_in: int
    d_sae: int
    d_out: int
    tied: bool
    """Whether the encoder reads x - b_dec (`apply_b_dec_to_input`)."""
    scaled: bool
    """Whether the weights read activations times a factor that is not folded in (`expected_average_only_in`)."""
    fine_tuned: bool
    """Whether latents are multiplied by a factor each before the decoder (`finetuning_scaling_factor`)."""
    by_norm: bool
    """Whether the top k are chosen by pre-activation times decoder norm (`rescale_acts_by_decoder_norm`)."""
    options: dict[str, Any]
    """Of our class."""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def ours(self) -> str:
        """Our name of the architecture."""
        return ARCHITECTURES[self.architecture][0]

    def shapes(self) -> tuple[Shapes, Shapes]:
        """The tensors that the weights must hold, and those that they may."""
        encoder: dict[str, tuple[int, ...]] = dict.fromkeys(("b_gate", "b_mag", "r_mag"), (self.d_sae,))
        if self.architecture != "gated":
            encoder = {"b_enc": (self.d_sae,)}
        needed = {"W_enc": (self.d_in, self.d_sae), "W_dec": (self.d_sae, self.d_out), "b_dec": (self.d_out,)} | encoder
        optional: dict[str, tuple[int, ...]] = {"scaling_factor": (self.d_sae,)}
        if "jumprelu" in self.architecture:
            optional |= {"threshold": (self.d_sae,), "log_threshold": (self.d_sae,)}
        if "batchtopk" in self.architecture:
            needed["topk_threshold"] = ()
        if "skip" in self.architecture:
            needed["W_skip"] = (self.d_out, self.d_in)
        return needed, optional

    def provenance(self) -> dict[str, Any]:
        """Model, hook points, context and BOS policy in our words, as far as the config has them."""
        said, head = self.metadata, self.metadata.get("hook_head_index")
        place = hook_point_name(said.get("hook_name")) if head is None else None
        target = hook_point_name(said.get("hook_name_out"))
        context, bos = said.get("context_size"), said.get("prepend_bos")
        facts = {
            "model": text(said.get("model_name")),
            "hook_points": [place] if place else None,
            "target": target if self.ours == "transcoder" else None,
            "corpus": text(said.get("dataset_path")),
            "context_length": context if isinstance(context, int) and context > 0 else None,
            "bos": {True: "first", False: "none"}.get(bos) if isinstance(bos, bool) else None,
        }
        return {name: value for name, value in facts.items() if value is not None}


def parse_config(raw: Mapping[str, Any], path: Path) -> SAELensConfig:
    """The config in both schemas: fields at the top (before 6.0), or those of the model under `metadata`.

    Raises: CorruptArtifact for widths that are none, ConfigError for what our classes have no equal of.
    """
    stated = {_OLD_NAMES.get(name, name): value for name, value in raw.items()}
    nested = stated.get("metadata")
    metadata = {**stated, **(nested if isinstance(nested, Mapping) else {})}
    architecture, k = _architecture(stated, path)
    widths = {"d_in": whole(stated, "d_in", path), "d_sae": whole(stated, "d_sae", path)}
    transcodes = "transcoder" in architecture
    tied = stated.get("apply_b_dec_to_input", not transcodes)
    if not isinstance(tied, bool) or (tied and transcodes):
        raise CorruptArtifact(f"{path} says {str(tied)[:40]!r} for apply_b_dec_to_input, which cannot be. Copy it again, or correct it.")
    options = dict(ARCHITECTURES[architecture][1])
    if "topk" in architecture:
        options["k"] = k
    if architecture.startswith("matryoshka"):
        options["widths"] = _widths(stated, widths["d_sae"], path)
    return SAELensConfig(
        architecture=architecture,
        d_out=whole(stated, "d_out", path) if transcodes else widths["d_in"],
        tied=tied,
        scaled=_scaled(stated.get("normalize_activations"), path),
        fine_tuned=stated.get("finetuning_scaling_factor") is True,
        by_norm=stated.get("rescale_acts_by_decoder_norm") is True,
        options=options,
        metadata=metadata,
        **widths,
    )


def _architecture(stated: Mapping[str, Any], path: Path) -> tuple[str, int | None]:
    """Their architecture, and k where it has one."""
    architecture, activation = str(stated.get("architecture", "standard")), stated.get("activation_fn", "relu")
    arguments = stated.get("activation_fn_kwargs")
    if activation == "topk" and isinstance(arguments, Mapping):  # before 6.0 topk was an activation of "standard"
        return "topk", whole(arguments, "k", path)
    if architecture not in ARCHITECTURES:
        raise ConfigError(
            f"{path} is of architecture {architecture[:60]!r}, which saescope has no equal of. It reads: "
            f"{', '.join(ARCHITECTURES)}.{did_you_mean(architecture[:60], ARCHITECTURES)}"
        )
    if activation not in ("relu", "topk"):
        raise ConfigError(f"{path} has the activation {str(activation)[:60]!r}, which saescope has no equal of. It reads: relu, topk.")
    if architecture == "topk":
        return architecture, whole(stated, "k", path)
    if "topk" in architecture:  # k may be a fraction there: an average over tokens
        k = stated.get("k")
        return architecture, max(1, round(k)) if isinstance(k, int | float) and 0 < k < 2**31 else whole(stated, "k", path)
    return architecture, None


def _widths(stated: Mapping[str, Any], d_sae: int, path: Path) -> tuple[int, ...]:
    widths = stated.get("matryoshka_widths")
    if not isinstance(widths, list) or not widths or not all(isinstance(width, int) for width in widths):
        raise CorruptArtifact(f"{path} says {str(widths)[:60]!r} for matryoshka_widths, which must be whole numbers. Copy it again.")
    return tuple(widths) if widths[-1] == d_sae else (*widths, d_sae)


def _scaled(normalize: Any, path: Path) -> bool:
    """Whether a factor must be folded in. Raises: ConfigError for transforms of the input that no weights can stand for."""
    if normalize in (None, False, "none"):
        return False
    if normalize in (True, "expected_average_only_in"):
        return True
    why = {
        "layer_norm": "it centres and scales each token by itself, which no weights can stand for",
        "constant_norm_rescale": "it scales each token by its own norm, which no weights can stand for",
        "covariance_whitening": "the whitening is not folded into these weights yet; SAELens folds it when training ends",
    }.get(str(normalize), "saescope does not know it")
    raise ConfigError(
        f"{path} says normalize_activations={str(normalize)[:60]!r}: {why}. 'none' and 'expected_average_only_in' can be read."
    )
