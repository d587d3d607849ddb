"""Which module of a Hugging Face model is which hook point: a table by family, and a guess from the structure for the others.

A map is only a claim. `identity_check.py` tests it on the model itself before any of its points is offered.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from torch import nn

from saescope import errors
from saescope.models.hook_point import HookPoint


@dataclass(frozen=True, kw_only=True)
class ModuleMap:
    """Module paths of one family. Where a family has no such place, None.

    `attn_out` and `mlp_out` are the modules whose *output* is added to the residual stream; `attn_z`, `mlp_post` and `resid_mid`
    are the modules whose *input* is that hook point. Paths of kinds are relative to a block, the others to the model.
    """

    blocks: str
    attn_out: str | None = None
    attn_z: str | None = None
    mlp_out: str | None = None
    mlp_post: str | None = None
    resid_mid: str | None = None
    final_norm: str | None = None

    @classmethod
    def of(cls, given: "ModuleMap | Mapping[str, str | None]") -> "ModuleMap":
        """The map that a user gave as a dict. Raises: ConfigError for unknown keys, or without "blocks"."""
        if isinstance(given, ModuleMap):
            return given
        known = [field.name for field in fields(cls)]
        for key in given:
            if key not in known:
                near = errors.did_you_mean(key, known)
                raise errors.ConfigError(f"module_map has the key {key!r}, which is not one of {', '.join(known)}.{near} {HOW_TO_MAP}")
        if not given.get("blocks"):
            raise errors.ConfigError(f'module_map needs "blocks", the path of the list of blocks. {HOW_TO_MAP}')
        return cls(**given)  # type: ignore[arg-type]  # "blocks" was just seen to be there


HOW_TO_MAP = (
    'Say where things are: module_map={"blocks": "transformer.h", "attn_out": "attn", "attn_z": "attn.c_proj", "mlp_out": "mlp", '
    '"mlp_post": "mlp.c_proj", "resid_mid": "ln_2", "final_norm": "transformer.ln_f"}: the outputs of attn_out and mlp_out are added '
    "to the stream, the inputs of attn_z, mlp_post and resid_mid are those points. Leave out what the model does not have."
)


@dataclass(frozen=True)
class Site:
    """Where a hook point is in a model: the input or the output of one module."""

    module: nn.Module
    side: Literal["input", "output"]
    path: str


# --- the table ---------------------------------------------------------------------------------------------------------------------

_GPT2 = ModuleMap(
    blocks="transformer.h",
    attn_out="attn",
    attn_z="attn.c_proj",
    mlp_out="mlp",
    mlp_post="mlp.c_proj",
    resid_mid="ln_2",
    final_norm="transformer.ln_f",
)
_GPT_NEO = ModuleMap(**(vars(_GPT2) | {"attn_z": "attn.attention.out_proj"}))
_LLAMA = ModuleMap(
    blocks="model.layers",
    attn_out="self_attn",
    attn_z="self_attn.o_proj",
    mlp_out="mlp",
    mlp_post="mlp.down_proj",
    resid_mid="post_attention_layernorm",
    final_norm="model.norm",
)
# Gemma 2 normalises what attention and MLP write: its `mlp` module's output is not what is added to the stream.
_GEMMA2 = ModuleMap(
    **(
        vars(_LLAMA)
        | {
            "attn_out": "post_attention_layernorm",
            "mlp_out": "post_feedforward_layernorm",
            "resid_mid": "pre_feedforward_layernorm",
        }
    )
)


def _gpt_neox(config: Any) -> ModuleMap:
    # A parallel block (Pythia) adds attention and MLP at once: there is no stream between them.
    return ModuleMap(
        blocks="gpt_neox.layers",
        attn_out="attention",
        attn_z="attention.dense",
        mlp_out="mlp",
        mlp_post="mlp.dense_4h_to_h",
        resid_mid=None if config.use_parallel_residual else "post_attention_layernorm",
        final_norm="gpt_neox.final_layer_norm",
    )


TABLE: dict[str, ModuleMap | Callable[[Any], ModuleMap]] = {
    "gpt2": _GPT2,
    "gpt_neo": _GPT_NEO,
    "gpt_neox": _gpt_neox,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA2,
}
"""Module map by `config.model_type`."""


def module_map_of(hf: nn.Module) -> ModuleMap:
    """The table's map of the model's family, else a guess from its structure. Raises: UnknownModel if there is nothing to guess from."""
    config = getattr(hf, "config", None)
    row = TABLE.get(getattr(config, "model_type", ""))
    if row is None:
        return probe(hf)
    return row(config) if callable(row) else row


# --- the structural probe -----------------------------------------------------------------------------------------------------------

_ATTENTION = ("attn", "attention")
_MLP = ("mlp", "ffn", "feed_forward", "feedforward", "moe")
_NORM = ("norm", "ln_", "ln1", "ln2")


def probe(hf: nn.Module) -> ModuleMap:
    """A guess: the longest list of identical blocks; in a block the attention, the MLP, their last projections, and the second norm.

    Raises: UnknownModel if no list of blocks stands out.
    """
    path, blocks = _longest_list(hf)
    block = blocks[0]
    attention, mlp = _child(block, _ATTENTION), _child(block, _MLP)
    norms = [name for name, child in block.named_children() if _is_norm(name, child)]
    return ModuleMap(
        blocks=path,
        attn_out=attention,
        attn_z=_last_projection(block, attention),
        mlp_out=mlp,
        mlp_post=_last_projection(block, mlp),
        resid_mid=norms[1] if len(norms) > 1 else None,
        final_norm=_norm_after(hf, path),
    )


def _longest_list(hf: nn.Module) -> tuple[str, nn.ModuleList]:
    lists: list[tuple[str, nn.ModuleList]] = []
    for path, module in hf.named_modules():
        # A list inside a block (experts, heads) is no list of blocks.
        nested = any(path.startswith(f"{outer}.") for outer, _ in lists)
        if isinstance(module, nn.ModuleList) and len(module) > 0 and not nested and len({type(block) for block in module}) == 1:
            lists.append((path, module))
    if not lists:
        raise errors.UnknownModel(f"no list of identical blocks was found in {type(hf).__name__}. {HOW_TO_MAP}")
    return max(lists, key=lambda found: len(found[1]))


def _child(block: nn.Module, words: tuple[str, ...]) -> str | None:
    for name, child in block.named_children():
        if not _is_norm(name, child) and not isinstance(child, nn.Dropout) and any(word in name.lower() for word in words):
            return name
    return None


def _last_projection(block: nn.Module, parent: str | None) -> str | None:
    """Path of the last linear map in `parent` that writes vectors as wide as the stream."""
    if parent is None:
        return None
    d_model = _width_of_norm(block)
    paths = [path for path, module in block.get_submodule(parent).named_modules() if d_model and _d_out(module) == d_model]
    return f"{parent}.{paths[-1]}".rstrip(".") if paths else None


def _width_of_norm(block: nn.Module) -> int | None:
    for name, child in block.named_children():
        shape = getattr(child, "normalized_shape", None) or getattr(getattr(child, "weight", None), "shape", None)
        if _is_norm(name, child) and shape:
            return shape[-1]
    return None


def _d_out(module: nn.Module) -> int | None:
    if isinstance(module, nn.Linear):
        return module.out_features
    # transformers' Conv1D is a Linear with the weight the other way round.
    return getattr(module, "nf", None)


def _is_norm(name: str, module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() or any(word in name.lower() for word in _NORM)


def _norm_after(hf: nn.Module, blocks_path: str) -> str | None:
    """The last norm beside the list of blocks."""
    parent, _, name = blocks_path.rpartition(".")
    found = None
    for child_name, child in hf.get_submodule(parent).named_children():
        if child_name != name and _is_norm(child_name, child):
            found = f"{parent}.{child_name}".strip(".")
    return found


# --- from a map to modules -----------------------------------------------------------------------------------------------------------


def sites(hf: nn.Module, names: ModuleMap) -> dict[HookPoint, Site]:
    """The module of every hook point that the map names, in the order of the forward pass.

    Raises: UnknownModel if the path of the blocks leads nowhere.
    """
    path = find(hf, names.blocks)
    blocks = hf.get_submodule(path) if path is not None else None
    if not isinstance(blocks, nn.ModuleList | nn.Sequential):
        raise errors.UnknownModel(f"{type(hf).__name__} has no list of blocks at {names.blocks!r}. {HOW_TO_MAP}")
    found = {at: site for layer, block in enumerate(blocks) for at, site in _block_sites(names, layer, block, f"{path}.{layer}")}
    return dict(sorted(found.items(), key=lambda item: item[0]))


def _block_sites(names: ModuleMap, layer: int, block: nn.Module, path: str) -> Iterator[tuple[HookPoint, Site]]:
    yield HookPoint(layer, "resid_pre"), Site(block, "input", path)
    yield HookPoint(layer, "resid_post"), Site(block, "output", path)
    for kind in ("attn_z", "attn_out", "resid_mid", "mlp_post", "mlp_out"):
        relative = getattr(names, kind)
        module = submodule(block, relative) if relative else None
        if module is not None:
            yield HookPoint(layer, kind), Site(module, "output" if kind.endswith("_out") else "input", f"{path}.{relative}")


def find(hf: nn.Module, path: str) -> str | None:
    """The path itself, or the only longer path that ends with it: wrappers (PEFT, vision-language models) put a prefix before it."""
    if submodule(hf, path) is not None:
        return path
    longer = [name for name, _ in hf.named_modules() if name.endswith(f".{path}")]
    return longer[0] if len(longer) == 1 else None


def submodule(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None
