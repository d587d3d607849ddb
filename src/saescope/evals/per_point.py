"""A crosscoder hook point by hook point: a row for each beside the row of all."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from saescope.activations.encode import Chunk, Dictionary
from saescope.evals.reconstruction import Reconstruction
from saescope.evals.result import Metric
from saescope.evals.sums import Intervals
from saescope.models.route import Route, side_by_side
from saescope.saes.base import SAE
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint


ALIKE = "Reconstruction: with hook points scaled alike; in a row sae@POINT, in the model's own units."


def row_of(point: "HookPoint") -> str:
    """The name of the row of one hook point."""
    return f"sae@{point}"


class PerPoint:
    """Reducer: reconstruction of each hook point by itself; none where there is only one."""

    def __init__(self, slices: "Mapping[HookPoint, slice]", intervals: Intervals):
        several = slices if len(slices) > 1 else {}
        self.parts = {point: (columns, Reconstruction(intervals)) for point, columns in several.items()}

    def add(self, chunk: Chunk) -> None:
        for columns, reducer in self.parts.values():
            reducer.add(replace(chunk, target=chunk.target[:, columns], x_hat=chunk.x_hat[:, columns]))

    def merge(self, other: "PerPoint") -> None:
        for point, (_, reducer) in self.parts.items():
            reducer.merge(other.parts[point][1])

    def result(self) -> dict[str, dict[str, Metric]]:
        """Metrics by row."""
        return {row_of(point): reducer.result() for point, (_, reducer) in self.parts.items()}


class Alike:
    """Reducer: a reconstruction on scales * target, so that the hook point of the largest vectors does not drown the others."""

    def __init__(self, reconstruction: Reconstruction, scales: Float[Tensor, " d_out"]):
        self.reconstruction, self.scales = reconstruction, scales

    def add(self, chunk: Chunk) -> None:
        self.reconstruction.add(replace(chunk, target=chunk.target * self.scales, x_hat=chunk.x_hat * self.scales))

    def merge(self, other: "Alike") -> None:
        self.reconstruction.merge(other.reconstruction)

    def result(self) -> dict[str, Metric]:
        return self.reconstruction.result()


@dataclass(frozen=True)
class CleanActs:
    """What the unedited model has at the hook points of a route, for one batch."""

    route: Route
    acts: "Mapping[HookPoint, Float[Tensor, 'batch pos _']]"
    _made: "dict[int, dict[HookPoint, Tensor]]" = field(default_factory=dict)

    def x_hat(self, row: Dictionary) -> "dict[HookPoint, Tensor]":
        """What a dictionary makes of all of them, by the hook point it stands for; made once."""
        if id(row) not in self._made:
            x = side_by_side(self.acts, self.route.reads).float()
            self._made[id(row)] = self.parts(row(x) if isinstance(row, SAE) else row.decode(row.encode(x)))
        return self._made[id(row)]

    def parts(self, row: Float[Tensor, "*n d_out"]) -> "dict[HookPoint, Tensor]":
        """The part of each hook point that is written."""
        points = self.route.writes
        if len(points) == 1:
            return {points[0]: row}
        return dict(zip(points, row.split([self.acts[point].shape[-1] for point in points], dim=-1), strict=True))


def spliced_note(route: Route) -> str:
    """What takes the place of what in the forward passes of `fidelity`; "" for an SAE at one hook point."""
    if route.target is not None:
        return f"Fidelity: what the transcoder makes of {route.reads[0]} takes the place of {route.target}, which is also what is ablated."
    if len(route.reads) > 1:
        points = ", ".join(map(str, route.reads))
        return (
            f"Fidelity: x_hat of the unedited pass takes the place of all of {points} together, which are also ablated together; a row "
            "sae@POINT replaces that one alone."
        )
    return ""
