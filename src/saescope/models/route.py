"""Where a dictionary reads, and where what it writes belongs: one hook point for an SAE, others for transcoders and crosscoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import torch

from saescope import errors
from saescope.models.hook_point import HookPoint
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saescope.models.language_model import LanguageModel


@dataclass(frozen=True)
class Route:
    """From the hook points that are read, side by side, to those that are reconstructed: the same ones, or `target`.

    An SAE has one of them, a transcoder reads one and has another as target, a crosscoder reads several.
    """

    reads: tuple[HookPoint, ...]
    target: HookPoint | None = None

    @classmethod
    def of(cls, lm: "LanguageModel", at: "str | HookPoint | Route", target: str | HookPoint | None = None) -> "Route":
        """The route of names, in the order of the forward pass: `at` may be several with commas, or a pattern (`expand`).

        Raises: UnknownHookPoint.
        """
        if isinstance(at, Route):
            return cls(tuple(lm.resolve(point) for point in at.reads), at.target and lm.resolve(at.target))
        return cls(expand(lm, str(at)), lm.resolve(target) if target else None)

    @property
    def writes(self) -> tuple[HookPoint, ...]:
        """What is reconstructed."""
        return self.reads if self.target is None else (self.target,)

    @property
    def points(self) -> tuple[HookPoint, ...]:
        """Every hook point of it, each once."""
        return tuple(dict.fromkeys((*self.reads, *self.writes)))

    @property
    def input(self) -> "Route":
        """The part of it that encoding needs."""
        return Route(self.reads)

    @property
    def only(self) -> HookPoint | None:
        """The hook point of an SAE; None where what is read is not what is written, or is several."""
        return self.reads[0] if len(self.points) == 1 else None

    def stop_at(self, lm: "LanguageModel") -> HookPoint | None:
        """Where a pass that only reads may stop."""
        return self.points[0] if len(self.points) == 1 else lm.stop_after(self.points)

    def widths(self, lm: "LanguageModel") -> tuple[int, ...]:
        """Width of each hook point that is read."""
        return tuple(lm.width(point) for point in self.reads)

    def d_in(self, lm: "LanguageModel") -> int:
        """Width of what is read, side by side."""
        return sum(self.widths(lm))

    def d_out(self, lm: "LanguageModel") -> int:
        """Width of what is written, side by side."""
        return sum(lm.width(point) for point in self.writes)

    def slices(self, lm: "LanguageModel") -> dict[HookPoint, slice]:
        """Columns of each hook point in what is written."""
        found, start = {}, 0
        for point in self.writes:
            found[point] = slice(start, start + lm.width(point))
            start = found[point].stop
        return found

    def __str__(self) -> str:
        read = ",".join(map(str, self.reads))
        return read if self.target is None else f"{read} -> {self.target}"


def side_by_side(acts: "Mapping[HookPoint, Float[Tensor, '*n _']]", points: Sequence[HookPoint]) -> Float[Tensor, "*n d"]:
    """The vectors at several hook points as one row each; the tensor itself where there is one point."""
    return acts[points[0]] if len(points) == 1 else torch.cat([acts[point].to(acts[points[0]].device) for point in points], dim=-1)


def expand(lm: "LanguageModel", at: str) -> tuple[HookPoint, ...]:
    """The hook points that names with commas and patterns stand for, each once, in the order of the forward pass.

        blocks.1.resid_post,blocks.3.resid_post        blocks.*.resid_post

    Raises: UnknownHookPoint for a name that is none, and a pattern that fits none.
    """
    found: set[HookPoint] = set()
    for word in filter(None, (word.strip() for word in at.split(","))):
        if not any(sign in word for sign in "*?["):
            found.add(lm.resolve(word))
            continue
        named = [info.at for info in lm.hook_points()]
        fitting = [point for point in named if fnmatchcase(str(point), word)]
        if not fitting:
            near = errors.did_you_mean(word.replace("*", "0"), [str(point) for point in named])
            raise errors.UnknownHookPoint(f"{word!r} fits no hook point of {lm.name}.{near} List them: saescope hooks {lm.name}")
        found.update(fitting)
    return tuple(sorted(found)) or (lm.resolve(at),)
