"""Names of places in a model: `blocks.6.mlp_post`, the names of TransformerLens for the same places, and plain module paths."""

import re
from dataclasses import dataclass
from functools import total_ordering

KINDS = ("resid_pre", "attn_z", "attn_out", "resid_mid", "mlp_post", "mlp_out", "resid_post")
"""The kinds of hook point of one block, in the order in which a forward pass reaches them."""

TRANSFORMER_LENS = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "attn.hook_z": "attn_z",
    "hook_attn_out": "attn_out",
    "mlp.hook_post": "mlp_post",
    "hook_mlp_out": "mlp_out",
}
"""Kind by the name TransformerLens gives it. Its `attn.hook_z` has an axis of heads; ours lays the heads side by side."""

_BLOCK_NAME = re.compile(r"blocks\.(\d+)\.(.+)")


@total_ordering
@dataclass(frozen=True)
class HookPoint:
    """A named place in the model; `str()` gives its name back. Sorts in the order of the forward pass, plain paths last."""

    layer: int | None
    """Block, from 0; None for a plain module path."""
    kind: str
    """One of KINDS, or the module path."""

    @classmethod
    def parse(cls, name: "str | HookPoint") -> "HookPoint":
        """The hook point of a name. Whatever is no block's name or alias counts as a module path: only a model can tell if it exists."""
        if isinstance(name, HookPoint):
            return name
        if match := _BLOCK_NAME.fullmatch(name.strip()):
            kind = TRANSFORMER_LENS.get(match[2], match[2])
            if kind in KINDS:
                return cls(int(match[1]), kind)
        return cls(None, name.strip())

    def __str__(self) -> str:
        return self.kind if self.layer is None else f"blocks.{self.layer}.{self.kind}"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, HookPoint):
            return NotImplemented
        return self._order() < other._order()

    def _order(self) -> tuple:
        if self.layer is None:
            return (1, 0, 0, self.kind)
        return (0, self.layer, KINDS.index(self.kind), "")
