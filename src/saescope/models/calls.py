"""How a Hugging Face model is called: which options its forward takes, and what it must be told about pads and the past."""

import inspect
from typing import Any

from torch import nn

from saescope import errors
from saescope.shapes import Bool, Int, Tensor

OPTIONS = frozenset({"attention_mask", "position_ids", "use_cache", "past_key_values"})


def options_of(hf: nn.Module) -> frozenset[str]:
    """Which of OPTIONS the model's forward takes."""
    parameters = inspect.signature(hf.forward).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return OPTIONS
    return OPTIONS & {p.name for p in parameters}


def real_columns(tokens: Int[Tensor, "batch new"], mask: Bool[Tensor, "batch pos"] | None, past: int = 0) -> Bool[Tensor, "batch pos"]:
    """True on tokens, False on pads, over the past and this call. Raises: ConfigError for a mask of another shape."""
    shape = (tokens.shape[0], past + tokens.shape[1])
    if mask is None:
        return tokens.new_ones(shape).bool()
    if tuple(mask.shape) != shape:
        raise errors.ConfigError(
            f"mask is {list(mask.shape)}, but the tokens (with their past) are {list(shape)}. Their shapes must agree."
        )
    return mask.to(tokens.device)


def padding_options(mask: Bool[Tensor, "batch pos"] | None, past: int, device: Any) -> dict[str, Tensor]:
    """What the model must be told about pads.

    Nothing for pads on the right: attention is causal, so no real token sees them. Pads on the left need the mask, and positions
    that start at each row's own first token; without those, GPT-2's logits are off by about 3.
    """
    # The values of a mask on "meta" cannot be looked at.
    if mask is None or mask.is_meta or not bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        return {}
    real_BP = mask.to(device)
    return {"attention_mask": real_BP.long(), "position_ids": (real_BP.cumsum(1) - 1).clamp(0)[:, past:]}


def columns_of_call(args: tuple, kwargs: dict[str, Any]) -> tuple[Bool[Tensor, "batch pos"], int]:
    """(real columns, length of the past) of a call that somebody else makes, `hf(...)` or `hf.generate(...)`."""
    tokens = args[0] if args else kwargs.get("input_ids")
    tokens = kwargs["inputs_embeds"][..., 0] if tokens is None else tokens
    cache, mask = kwargs.get("past_key_values"), kwargs.get("attention_mask")
    past = cache.get_seq_length() if cache is not None else 0
    shape = (tokens.shape[0], past + tokens.shape[1])
    if isinstance(mask, Tensor) and tuple(mask.shape) == shape:
        return mask.bool(), past
    return tokens.new_ones(shape).bool(), past


def logits_of(output: Any) -> Tensor:
    """The logits in what a forward returned: a Hugging Face output, a tuple, or the tensor itself."""
    if isinstance(output, Tensor):
        return output
    return output.logits if hasattr(output, "logits") else output[0]


def refuse_compiled(hf: nn.Module) -> None:
    """Raises: ModelError if the model was compiled: hooks that are added later are silently ignored."""
    for module in (hf, *hf.children()):
        if getattr(module, "_compiled_call_impl", None) is not None or type(module).__name__ == "OptimizedModule":
            raise errors.ModelError(
                f"{type(hf).__name__} was compiled by torch.compile, which ignores later hooks. Give the model before compiling it."
            )
