"""PyTorch hooks of one pass (or one `with` block): they read, edit and stop, and are gone afterwards whatever happens."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from saescope import errors
from saescope.models.edit import Edit, joined
from saescope.models.hook_point import HookPoint
from saescope.models.module_map import Site
from saescope.shapes import Bool, Tensor


class Stop(Exception):
    """Ends the forward pass once the last wanted point was reached."""


class Session:
    """What the hooks of one pass do, and what they have read.

    At one hook point, edits come first and in order, then the read: a read shows the stream as the model goes on with it.
    """

    def __init__(self, sites: Mapping[HookPoint, Site], *, read: Sequence[HookPoint], edits: Sequence[Edit], stop: HookPoint | None):
        self.sites, self.read, self.stop = sites, frozenset(read), stop
        self.edits = joined(edits)
        self.where: list[Bool[Tensor, "batch pos"]] = []
        self.acts: dict[HookPoint, Tensor] = {}
        self.active = True
        self._seen: dict[HookPoint, Tensor] = {}
        self._elsewhere = {edit.reads for edit in self.edits if edit.reads != edit.at}

    @contextmanager
    def installed(self) -> Iterator["Session"]:
        """Hooks on for the block. Handles before == handles after, exceptions included."""
        groups: dict[tuple[int, str], list[HookPoint]] = {}
        wanted = {*self.read, *self._elsewhere, *(edit.at for edit in self.edits), *([self.stop] if self.stop else [])}
        for at in sorted(wanted):
            site = self.sites[at]
            groups.setdefault((id(site.module), site.side), []).append(at)
        handles: list[Any] = []
        try:
            for points in groups.values():
                handles.append(self._hook(points))
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def begin(self, where: Sequence[Bool[Tensor, "batch pos"]]) -> None:
        """Before a pass: forget the last one, and take for each edit where it acts in this one."""
        self.where, self.acts, self._seen = list(where), {}, {}

    def _hook(self, points: list[HookPoint]) -> Any:
        # First in line (prepend), else the library's own hooks record hidden_states without our edits.
        site = self.sites[points[0]]
        if site.side == "input":
            return site.module.register_forward_pre_hook(
                lambda _, args, kwargs: self._on_input(points, args, kwargs), prepend=True, with_kwargs=True
            )
        return site.module.register_forward_hook(lambda _module, _args, output: self._on_output(points, output), prepend=True)

    def _on_input(self, points: list[HookPoint], args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        if not self.active:
            return None
        # Some families pass the stream by position, some by keyword.
        if args:
            x = self._visit(points, args[0])
            return None if x is args[0] else ((x, *args[1:]), kwargs)
        name = "hidden_states" if "hidden_states" in kwargs else next(key for key, value in kwargs.items() if isinstance(value, Tensor))
        x = self._visit(points, kwargs[name])
        return None if x is kwargs[name] else (args, {**kwargs, name: x})

    def _on_output(self, points: list[HookPoint], output: Any) -> Any:
        if not self.active:
            return None
        if isinstance(output, tuple):
            x = self._visit(points, output[0])
            return None if x is output[0] else (x, *output[1:])
        x = self._visit(points, output)
        return None if x is output else x

    def _visit(self, points: list[HookPoint], x: Tensor) -> Tensor:
        """The vectors as the model goes on with them: the same tensor where nothing was edited."""
        if not isinstance(x, Tensor):
            raise errors.UnknownHookPoint(f"{points[0]} holds a {type(x).__name__}, not a tensor. Name a module inside or after it.")
        for at in points:
            if at in self._elsewhere:
                self._seen[at] = x
            for edit, where_BP in zip(self.edits, self.where, strict=True):
                if edit.at == at:
                    x = self._edited(edit, x, where_BP)
            if at in self.read:
                # A copy: what follows in the pass may write into the tensor. Under grad the copy stays in the graph.
                x_read = x if x.requires_grad and torch.is_grad_enabled() else x.detach()
                self.acts[at] = x_read.clone()
        if self.stop in points:
            raise Stop
        return x

    def _edited(self, edit: Edit, x: Tensor, where_BP: Tensor) -> Tensor:
        if edit.reads != edit.at and edit.reads not in self._seen:
            raise errors.ConfigError(f"an edit at {edit.at} reads {edit.reads}, which the pass reaches later. Name an earlier hook point.")
        source = x if edit.reads == edit.at else self._seen[edit.reads]
        where_BP = where_BP.to(x.device)
        delta = edit.delta(source, where_BP.to(source.device)).to(device=x.device, dtype=x.dtype)
        return torch.where(where_BP[..., None], delta if getattr(edit, "overwrites", False) else x + delta, x)
