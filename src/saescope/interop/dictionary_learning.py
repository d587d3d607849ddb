"""dictionary_learning's folders: `ae.pt` beside `config.json`, read. This is the only place where a `.pt` file is opened."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from saescope.errors import ConfigError, CorruptArtifact, NotAnArtifact, did_you_mean
from saescope.interop.assemble import assemble
from saescope.interop.foreign import Shapes, check_finite, check_shapes, read_table, source_facts, text, whole
from saescope.saes.base import SAE
from saescope.shapes import Tensor

CONFIG, WEIGHTS = "config.json", "ae.pt"
FILES = (CONFIG, WEIGHTS)
CLASSES = {
    "AutoEncoder": ("relu", True),
    "AutoEncoderNew": ("relu", False),
    "GatedAutoEncoder": ("gated", True),
    "AutoEncoderTopK": ("topk", True),
    "BatchTopKSAE": ("batch_topk", True),
    "MatryoshkaBatchTopKSAE": ("matryoshka", True),
    "JumpReluAutoEncoder": ("jumprelu", False),
}
"""Our architecture by their class, and whether b_dec is subtracted before the encoder."""
_NAMES = {
    "bias": "b_dec", "decoder_bias": "b_dec", "decoder.bias": "b_dec", "encoder.bias": "b_enc", "gate_bias": "b_gate", "mag_bias": "b_mag",
}  # fmt: skip
_INDEX_BYTES = 2**22
"""Largest table of tensors in a `.pt` file; that of an SAE has some kilobytes."""
_PLACE = re.compile(r"(resid_post|resid_pre|resid_mid|mlp_out|attn_out|mlp_post)_layer_(\d+)")


def read(folder: Path | str) -> SAE:
    """The SAE of a folder that `trainSAE` saved, as our class that is the same function; `assemble` says which.

    An `AutoEncoder` gets unit decoder rows, as that library's own `from_pretrained` gives it.
    Raises: NotAnArtifact for a pickle that holds more than tensors (nothing in it is run), CorruptArtifact, ConfigError.
    """
    folder = Path(folder)
    trainer = _trainer(folder)
    kind = str(trainer["dict_class"])
    d_in, d_sae = (whole(trainer, name, folder / CONFIG) for name in ("activation_dim", "dict_size"))
    state = _load(folder / WEIGHTS)
    groups = state["group_sizes"].numel() if "group_sizes" in state else 0
    check_shapes({name: tuple(value.shape) for name, value in state.items()}, _shapes(kind, d_in, d_sae, groups), {}, folder / WEIGHTS)
    options = _options(kind, state, folder)
    weights = {name: value.float() for name, value in _in_our_names(state).items()}
    check_finite(weights, folder / WEIGHTS)
    if kind == "AutoEncoder":
        _unit_rows(weights)
    architecture, tied = CLASSES[kind]
    return assemble(architecture, weights, options, tied=tied)


def read_provenance(folder: Path | str) -> dict[str, Any]:
    """Model, hook point and context as the config has them, and under `source` what was read. Raises: as `read`."""
    folder = Path(folder)
    trainer, buffer = _trainer(folder), read_table(folder / CONFIG).get("buffer")
    place = _PLACE.fullmatch(text(trainer.get("submodule_name")) or "")
    context = buffer.get("ctx_len") if isinstance(buffer, Mapping) else None
    facts = {
        "model": text(trainer.get("lm_name")),
        "hook_points": [f"blocks.{int(place[2])}.{place[1]}"] if place else None,
        "context_length": context if isinstance(context, int) and context > 0 else None,
        "source": source_facts(
            "dictionary_learning", folder / WEIGHTS, architecture=trainer["dict_class"], trainer=text(trainer.get("trainer_class")),
            submodule=text(trainer.get("submodule_name")), layer=trainer["layer"] if isinstance(trainer.get("layer"), int) else None,
        ),
    }  # fmt: skip
    return {name: value for name, value in facts.items() if value is not None}


def _trainer(folder: Path) -> dict[str, Any]:
    """The `trainer` table of the config. Raises: CorruptArtifact, ConfigError for a class that has no equal."""
    trainer = read_table(folder / CONFIG).get("trainer")
    if not isinstance(trainer, dict):
        raise CorruptArtifact(f"{folder / CONFIG} has no table 'trainer', where dictionary_learning keeps the widths. Copy it again.")
    if (kind := str(trainer.get("dict_class"))) not in CLASSES:
        raise ConfigError(
            f"{folder / CONFIG} is of the class {kind[:60]!r}, which saescope has no equal of. It reads: {', '.join(CLASSES)}."
            f"{did_you_mean(kind, CLASSES)}"
        )
    return trainer


def _load(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pt` file, by torch's reader that makes tensors and refuses everything else.

    The file stays where it is (mmap), so that nothing is allocated before shapes are checked.
    Raises: NotAnArtifact, CorruptArtifact.
    """
    _check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a hostile file makes of the reader
        if type(error).__name__ != "UnpicklingError":
            raise CorruptArtifact(f"{path} is not a readable .pt file ({str(error).splitlines()[0][:200]}). Copy it again.") from error
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise NotAnArtifact(
            f"{path} is a pickle that holds more than tensors{what}, and could run code when it is opened; nothing in it was run. Save "
            "its state_dict, of tensors only, where you trust it."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()):
        raise CorruptArtifact(f"{path} holds no table of tensors by name. Save the dictionary's state_dict there.")
    for name, value in state.items():
        held = 0 if value.layout != torch.strided else value.untyped_storage().nbytes()
        if value.numel() * value.element_size() > min(held, path.stat().st_size):
            raise CorruptArtifact(f"{path} states {name[:60]} of shape {list(value.shape)}, more than the file holds. Copy it again.")
    return state


def _check_archive(path: Path) -> None:
    """Raises: CorruptArtifact unless the file is the archive that torch writes, its parts no larger than the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CorruptArtifact(
            f"{path} is not a .pt file as torch writes them since 1.6 ({str(error)[:100]}). Copy it again, or save it with a newer torch."
        ) from error
    size = path.stat().st_size
    index = max((part.file_size for part in parts if part.filename.endswith("data.pkl")), default=0)
    packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if packed or index > _INDEX_BYTES or sum(part.file_size for part in parts) > size:
        raise CorruptArtifact(f"{path} states parts larger than itself ({size:,} bytes), so it is not opened. Copy it again.")


def _shapes(kind: str, d_in: int, d_sae: int, groups: int) -> Shapes:
    """The tensors that a dictionary of this class has; linear layers keep theirs as (out, in)."""
    layers: dict[str, tuple[int, ...]] = {"encoder.weight": (d_sae, d_in), "decoder.weight": (d_in, d_sae)}
    free: dict[str, tuple[int, ...]] = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_in), "b_enc": (d_sae,), "b_dec": (d_in,)}
    chosen: dict[str, tuple[int, ...]] = {"k": (), "threshold": ()}
    return {
        "AutoEncoder": layers | {"encoder.bias": (d_sae,), "bias": (d_in,)},
        "AutoEncoderNew": layers | {"encoder.bias": (d_sae,), "decoder.bias": (d_in,)},
        "GatedAutoEncoder": layers | {"decoder_bias": (d_in,), "r_mag": (d_sae,), "gate_bias": (d_sae,), "mag_bias": (d_sae,)},
        "AutoEncoderTopK": layers | {"encoder.bias": (d_sae,), "b_dec": (d_in,)} | chosen,
        "BatchTopKSAE": layers | {"encoder.bias": (d_sae,), "b_dec": (d_in,)} | chosen,
        "MatryoshkaBatchTopKSAE": free | chosen | {"group_sizes": (groups,)},
        "JumpReluAutoEncoder": free | {"threshold": (d_sae,)},
    }[kind]


def _options(kind: str, state: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
    """Options of our class, from the buffers that theirs keep them in."""
    if "k" not in state:
        return {}
    options: dict[str, Any] = {"k": whole({"k": state["k"].item()}, "k", folder / WEIGHTS)}
    if kind == "MatryoshkaBatchTopKSAE":
        sizes = [whole({"group_sizes": size}, "group_sizes", folder / WEIGHTS) for size in state["group_sizes"].tolist()]
        options["widths"] = tuple(sum(sizes[: i + 1]) for i in range(len(sizes)))
    return options


def _unit_rows(weights: dict[str, Tensor]) -> None:
    """Decoder rows of norm 1, and what reads latent i larger by the norm that it had."""
    norms_F = weights["W_dec"].norm(dim=1)
    norms_F = torch.where(norms_F > 0, norms_F, 1)
    weights |= {"W_enc": weights["W_enc"] * norms_F, "b_enc": weights["b_enc"] * norms_F, "W_dec": weights["W_dec"] / norms_F[:, None]}


def _in_our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names and orientation as our classes have them; a threshold that was never set (-1) is 0, as relu makes it."""
    ours = {_NAMES.get(name, name): value for name, value in state.items() if name not in ("k", "group_sizes", "threshold")}
    for layer, name in (("encoder.weight", "W_enc"), ("decoder.weight", "W_dec")):
        if layer in ours:
            ours[name] = ours.pop(layer).T
    if "threshold" in state:
        threshold = state["threshold"].clamp_min(0)
        ours["tau" if threshold.ndim == 0 else "theta"] = threshold
    return ours
