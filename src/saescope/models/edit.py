"""All that the door knows of an edit. The edits themselves are values in `interventions/edits.py`."""

from collections.abc import Hashable, Sequence
from typing import Literal, Protocol

import torch

from saescope import errors
from saescope.models.hook_point import HookPoint
from saescope.shapes import Bool, Float, Tensor

Positions = Literal["all"] | int | slice | Bool[Tensor, "rows columns"]
"""Where an edit acts, in absolute columns (index in the call + length of the past).

"all" leaves out pads and each row's own position 0, whose norm is huge. The others are literal: an int or a slice counts each
row's own tokens (a negative one from the row's own end), and a mask is taken as it is (one row stands for all).
"""


class Edit(Protocol):
    """A change of the vectors at one hook point, `x + delta`: what the edit leaves alone keeps its bits.

    `delta` sees the vectors at `reads` (usually `at` itself) and gives what is added at `at`; the door adds it where `where`
    is True, and nowhere else. Edits of equal `key` at one point are joined into one delta, so that they see the same vectors.
    An edit with an attribute `overwrites` that is True gives the new vector itself, in the place of x + delta: what reads elsewhere
    does not know x.
    """

    @property
    def at(self) -> HookPoint: ...
    @property
    def reads(self) -> HookPoint: ...
    @property
    def positions(self) -> Positions: ...
    @property
    def key(self) -> Hashable: ...
    def join(self, others: "Sequence[Edit]") -> "Edit": ...
    def delta(self, x: Float[Tensor, "batch pos d"], where: Bool[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_out"]: ...


def joined(edits: Sequence[Edit]) -> list[Edit]:
    """The edits, those of equal place and key made one; each group stands where its first member stood."""
    groups: dict[Hashable, list[Edit]] = {}
    for edit in edits:
        groups.setdefault((edit.at, edit.key), []).append(edit)
    return [first.join(others) if others else first for first, *others in groups.values()]


def columns(positions: Positions, real_BP: Bool[Tensor, "batch pos"], past: int = 0) -> Bool[Tensor, "batch new"]:
    """Which columns of this call an edit acts on; `real_BP` covers the past and this call, pads are False.

    Raises: ConfigError for unknown words and for masks that do not fit.
    """
    if isinstance(positions, str):
        if positions != "all":
            raise errors.ConfigError(f"positions={positions!r} is not known. Give 'all', an int, a slice or a bool mask [batch, pos].")
        return (real_BP & (_own_index(real_BP) > 0))[:, past:]
    if isinstance(positions, Tensor):
        return _mask(positions, real_BP)[:, past:]
    length_B1 = real_BP.sum(1, keepdim=True)
    own_BP = _own_index(real_BP)
    if isinstance(positions, slice):
        if positions.step not in (None, 1):
            raise errors.ConfigError(f"positions={positions} has a step. Give a slice of step 1, or a bool mask [batch, pos].")
        start, stop = _from_start(positions.start, length_B1, 0), _from_start(positions.stop, length_B1, length_B1)
        return (real_BP & (own_BP >= start) & (own_BP < stop))[:, past:]
    return (real_BP & (own_BP == _from_start(positions, length_B1, 0)))[:, past:]


def _own_index(real_BP: Tensor) -> Tensor:
    """Each real token's number in its own row; -1 on leading pads."""
    return real_BP.cumsum(1) - 1


def _from_start(index: int | None, length_B1: Tensor, default: int | Tensor) -> int | Tensor:
    if index is None:
        return default
    return length_B1 + index if index < 0 else index


def _mask(positions: Tensor, real_BP: Tensor) -> Tensor:
    n_rows, n_columns = real_BP.shape
    if positions.dtype != torch.bool or positions.ndim != 2 or len(positions) not in (1, n_rows):
        raise errors.ConfigError(
            f"positions is a {positions.dtype} mask of shape {tuple(positions.shape)}, but the tokens are [{n_rows}, {n_columns}]. "
            "Give a bool mask with a row for each sequence, or one row for all."
        )
    # Columns beyond the mask are tokens generated after it was made: not edited.
    mask = positions.to(real_BP.device)[:, :n_columns].expand(n_rows, -1)
    return torch.nn.functional.pad(mask, (0, n_columns - mask.shape[1]))
