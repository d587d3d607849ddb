"""Which columns of the rows a job reads and reconstructs, and in which scale."""

from collections.abc import Mapping
from typing import Any

import torch

from saescope.activations.scale import Scale
from saescope.errors import ConfigError, WidthMismatch
from saescope.saes.base import SAE
from saescope.saes.fold import Scales
from saescope.shapes import Float, Tensor


class Columns:
    """The hook points of one job among a source's columns: `read` (one, or several side by side) and `target`.

    Training sees x and target times one scale per hook point, at which their mean square per coordinate is 1.
    Raises: ConfigError for hook points that the source has not or the architecture cannot use; WidthMismatch.
    """

    def __init__(self, sae: SAE, read: tuple[Any, ...], target: Any | None, slices: Mapping[Any, slice]):
        self.read, self.target = read or tuple(point for point in slices if point != target) or tuple(slices), target
        _check_points(sae, self.read, target, slices)
        self._slices = slices
        self._device = sae.b_dec.device
        self.scales: dict[str, float] = {str(point): 1.0 for point in self.points}
        self.n_outliers = 0
        for points, width, what in ((self.read, sae.d_in, "reads d_in"), (self._written, sae.d_out, "writes d_out")):
            if (found := sum(self._width(point) for point in points)) != width:
                where = " + ".join(map(str, points))
                raise WidthMismatch(f"the SAE {what}={width}, but {where} is {found} wide. Build it with {what.split()[1]}={found}.")

    @property
    def points(self) -> tuple[Any, ...]:
        """Every hook point, each once."""
        return self.read if self.target is None else tuple(dict.fromkeys((*self.read, self.target)))

    def set_scales(self, scales: Mapping[Any, Scale]) -> None:
        self.scales = {str(point): scales[point].value for point in self.points}
        self.n_outliers = sum(scales[point].n_outliers for point in self.points)

    @property
    def s_in(self) -> Scales:
        """What x is multiplied by: a number, or one per coordinate where several points are read."""
        return self._scale(self.read)

    @property
    def s_out(self) -> Scales:
        """What the target is multiplied by."""
        return self._scale(self._written)

    def x(self, rows: Float[Tensor, "n d_row"]) -> Float[Tensor, "n d_in"]:
        """What the SAE reads, scaled, float32, on its device."""
        return self._columns(rows, self.read) * self.s_in

    def wanted(self, rows: Float[Tensor, "n d_row"], x: Float[Tensor, "n d_in"]) -> Float[Tensor, "n d_out"]:
        """What it is to write: x itself, or the scaled columns of another hook point."""
        return x if self.target is None else self._columns(rows, self._written) * self.s_out

    def raw(self, x_hat: Float[Tensor, "*n d_out"]) -> Float[Tensor, "*n d_out"]:
        """A scaled reconstruction in the model's own units."""
        return x_hat / self.s_out

    @property
    def _written(self) -> tuple[Any, ...]:
        return self.read if self.target is None else (self.target,)

    def _width(self, point: Any) -> int:
        return self._slices[point].stop - self._slices[point].start

    def _columns(self, rows: Float[Tensor, "n d_row"], points: tuple[Any, ...]) -> Float[Tensor, "n d"]:
        found = [rows[:, self._slices[point]] for point in points]
        return (found[0] if len(found) == 1 else torch.cat(found, dim=1)).to(self._device).float()

    def _scale(self, points: tuple[Any, ...]) -> Scales:
        if len(points) == 1:
            return self.scales[str(points[0])]
        return torch.cat([torch.full((self._width(point),), self.scales[str(point)]) for point in points]).to(self._device)


def _check_points(sae: SAE, read: tuple[Any, ...], target: Any | None, slices: Mapping[Any, slice]) -> None:
    names = ", ".join(map(str, slices))
    for point in (*read, *([] if target is None else [target])):
        if point not in slices:
            raise ConfigError(f"the job names {point}, but the source has {names}.")
    kind = type(sae).__name__
    if sae.transcodes != (target is not None):
        if target is None:
            raise ConfigError(f"{kind} reconstructs another hook point than it reads: Job(sae, read=(...,), target=...), or --target.")
        if target not in read or len(read) > 1:
            raise ConfigError(f"{kind} reconstructs what it reads ({read[0]}), not {target}. Leave target out.")
    if sae.joins and len(read) < 2:
        raise ConfigError(f"{kind} reads several hook points, but was given one ({names}): Job(sae, read=(..., ...)), or --at A,B.")
    if not sae.joins and len(read) > 1:
        raise ConfigError(f"{kind} reads one hook point, but was given {len(read)} ({names}): Job(sae, read=(...,)).")
