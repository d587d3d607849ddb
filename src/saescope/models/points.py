"""The hook points of one model: found by the module map, kept if the identity check passes, looked up by any of their names."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from saescope import errors
from saescope.models import identity_check, module_map
from saescope.models.hook_point import KINDS, HookPoint
from saescope.models.module_map import ModuleMap, Site


@dataclass(frozen=True)
class HookInfo:
    """One row of `saescope hooks`: the point, the module whose input or output it is, its width, and how it did in the check."""

    at: HookPoint
    path: str
    width: int
    check: str


class Points:
    """Sites by hook point.

    Raises: UnknownModel if no map fits, or none of its points passes.
    """

    def __init__(self, hf: nn.Module, given: ModuleMap | Mapping[str, str | None] | None, forward: Callable, vocab_size: int):
        self.hf, self.model_name = hf, type(hf).__name__
        self.map = ModuleMap.of(given) if given is not None else module_map.module_map_of(hf)
        found = module_map.sites(hf, self.map)
        checked = identity_check.check(hf, found, forward, vocab_size)
        self.refused = {kind: verdict.text for kind, verdict in checked.verdicts.items() if not verdict.ok}
        self.d_vocab = checked.d_vocab
        self.widths = dict(checked.widths)
        self.n_layers = 1 + max(at.layer for at in found if at.layer is not None)
        self._verdicts = checked.verdicts
        self._named = {at: site for at, site in found.items() if at.kind not in self.refused}
        self._blocks = {site.path: at.layer for at, site in found.items() if at.kind == "resid_post"}
        self._paths: dict[HookPoint, Site] = {}

    def __contains__(self, at: HookPoint) -> bool:
        return at in self._named or at in self._paths

    def site(self, at: HookPoint) -> Site:
        return self._paths[at] if at.layer is None else self._named[at]

    def infos(self) -> list[HookInfo]:
        return [
            HookInfo(at, f"{site.path} [{site.side}]", self.widths[at], self._verdicts[at.kind].text) for at, site in self._named.items()
        ]

    def resolve(self, at: str | HookPoint) -> HookPoint:
        """The hook point of a name, an alias or a module path. Raises: UnknownHookPoint with the nearest names."""
        point = HookPoint.parse(at)
        if point in self:
            return point
        if point.layer is not None and point.kind in self.refused:
            raise errors.UnknownHookPoint(
                f"{str(point)!r} cannot be used on {self.model_name}: {self.refused[point.kind]}. "
                f"Kinds that work: {', '.join(self._kinds())}. Give module_map=, or the path of a module. {self._list_them()}"
            )
        if point.layer is None and point.kind and module_map.submodule(self.hf, point.kind) is not None:
            self._paths[point] = Site(self.hf.get_submodule(point.kind), "output", point.kind)
            return point
        layers = f"{self.n_layers} layers: 0..{self.n_layers - 1}"
        raise errors.UnknownHookPoint(f"{str(at)!r} for {self.model_name} ({layers}).{self._nearest(point)} {self._list_them()}")

    def layer(self, at: HookPoint) -> int | None:
        """The block that a point is in; None for a module outside of the blocks."""
        if at.layer is not None:
            return at.layer
        return next((layer for path, layer in self._blocks.items() if f"{at.kind}.".startswith(f"{path}.")), None)

    def stop_after(self, points: Iterable[str | HookPoint]) -> HookPoint | None:
        """The last of some points; None if only the whole pass is sure to reach them all."""
        resolved = [self.resolve(at) for at in points]
        layers = [layer for at in resolved if (layer := self.layer(at)) is not None]
        if not resolved or len(layers) < len(resolved):
            return None
        if all(at.layer is not None for at in resolved):
            return max(resolved)
        return resolved[0] if len(resolved) == 1 else HookPoint(max(layers), "resid_post")

    def _kinds(self) -> list[str]:
        return [kind for kind in KINDS if any(at.kind == kind for at in self._named)]

    def _nearest(self, point: HookPoint) -> str:
        if point.layer is not None and point.kind in self._kinds():
            return errors.did_you_mean(str(point), [str(HookPoint(self.n_layers - 1, point.kind))])
        return errors.did_you_mean(str(point), [*map(str, self._named), *(name for name, _ in self.hf.named_modules())])

    def _list_them(self) -> str:
        return f"List them: saescope hooks {self.model_name}"


def embedded_ids(hf: Any) -> int | None:
    """Rows of the input embedding, where the model says."""
    embedding = hf.get_input_embeddings() if hasattr(hf, "get_input_embeddings") else None
    return getattr(embedding, "num_embeddings", None)
