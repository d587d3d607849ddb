"""Edits as values: x -> x + (f' - f) @ W_dec. What the SAE does not explain cancels in the difference, and so is kept.

An edit that changes nothing leaves every bit as it was. `LanguageModel.run(edit=[...])` and `lm.edit(...)` apply them.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

import torch

from saescope import errors
from saescope.models.edit import Positions
from saescope.models.hook_point import HookPoint
from saescope.saes.base import SAE
from saescope.shapes import Bool, Float, Tensor


class Dictionary(Protocol):
    """Anything that encodes and decodes vectors: an SAE, or a control (neurons, PCA). Where it has `W_dec` [F D], that is used."""

    def encode(self, x: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor) -> Tensor: ...


class _OnePoint:
    """What the edits share: they read where they act, and act on equal terms only at equal positions."""

    at: str | HookPoint
    positions: Positions

    def _parse(self) -> None:
        # The dataclasses are frozen; the name that the user gave becomes the point it names.
        object.__setattr__(self, "at", HookPoint.parse(self.at))

    @property
    def reads(self) -> HookPoint:
        return HookPoint.parse(self.at)

    def _key_of_positions(self) -> Hashable:
        if isinstance(self.positions, slice):
            return (self.positions.start, self.positions.stop)
        return id(self.positions) if isinstance(self.positions, Tensor) else self.positions


@dataclass(frozen=True, eq=False)
class Replace(_OnePoint):
    """x' = x_hat: the reconstruction instead of the activation, error dropped. The edit behind "loss recovered".

    With `read`, a transcoder: what it makes of the vectors at `read` stands at `at`.
    """

    sae: Dictionary
    at: str | HookPoint
    positions: Positions = "all"
    read: str | HookPoint | None = None

    def __post_init__(self) -> None:
        self._parse()

    @property
    def reads(self) -> HookPoint:
        return HookPoint.parse(self.at if self.read is None else self.read)

    @property
    def overwrites(self) -> bool:
        return self.read is not None

    @property
    def key(self) -> Hashable:
        return ("replace", id(self.sae), self.reads, self._key_of_positions())

    def join(self, others: "Sequence[Replace]") -> "Replace":
        """Itself: replacing twice is replacing once."""
        return self

    def delta(self, x: Float[Tensor, "batch pos d"], where: Bool[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_out"]:
        x = _as_input(x, self.sae)
        x_hat = self.sae(x) if isinstance(self.sae, SAE) else self.sae.decode(self.sae.encode(x))
        return x_hat if self.overwrites else x_hat - x


@dataclass(frozen=True, eq=False)
class Patch(_OnePoint):
    """x' = value, vectors from elsewhere: of another run, or of a crosscoder, whose x_hat at one point takes all of its points.

    Raises: ConfigError, when it is applied, if value and x differ in shape.
    """

    value: Float[Tensor, "batch pos d"]
    at: str | HookPoint
    positions: Positions = "all"

    def __post_init__(self) -> None:
        self._parse()

    overwrites = True

    @property
    def key(self) -> Hashable:
        return ("patch", id(self))

    def join(self, others: "Sequence[Patch]") -> "Patch":
        return self

    def delta(self, x: Float[Tensor, "batch pos d"], where: Bool[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d"]:
        if self.value.shape != x.shape:
            raise errors.ConfigError(
                f"Patch holds vectors of shape {list(self.value.shape)}, but {self.at} has {list(x.shape)}. Give one for each position; "
                "where a pass is out of memory and runs in parts, give it fewer sequences."
            )
        return self.value


@dataclass(frozen=True, eq=False)
class Ablate(_OnePoint):
    """Latents set to 0, or to their mean over a reference that you name:

        x' = x + (f' - f) @ W_dec      f'_i = 0 or reference_i for the ids, f_i for the others

    `ids=None` means all of them, which leaves x - (x_hat - b_dec) under "zero". With `sae=None` the coordinates of x itself are
    ablated. `reference` is `[F]` (`[D]` with `sae=None`), or position-aligned `[P F]`.

    Raises: ConfigError if "mean" has no reference, or an id is out of range.
    """

    sae: Dictionary | None
    ids: int | Sequence[int] | None = None
    how: Literal["zero", "mean"] = "zero"
    at: str | HookPoint = ""
    reference: Float[Tensor, "*pos f"] | None = None
    positions: Positions = "all"

    def __post_init__(self) -> None:
        self._parse()
        if not self.reads.kind:
            raise errors.ConfigError('Ablate does not say where: give at="blocks.6.resid_post".')
        if self.how not in ("zero", "mean"):
            raise errors.ConfigError(f"Ablate got how={self.how!r}. Choose 'zero' or 'mean'.")
        if (self.how == "mean") != (self.reference is not None):
            raise errors.ConfigError(
                'Ablate with how="mean" needs reference=, the mean of each latent over a set that you name; how="zero" takes none. '
                f"Got how={self.how!r}, reference {'given' if self.reference is not None else 'missing'}."
            )
        if self._columns is not None and self._columns.numel():
            self._check_ids(int(self._columns.min()), int(self._columns.max()))

    @property
    def key(self) -> Hashable:
        return ("latents", id(self.sae), self._key_of_positions())

    def join(self, others: "Sequence[Ablate]") -> "JoinedLatents":
        return JoinedLatents(self.sae, self.reads, (self, *others), self.positions)

    def delta(self, x: Float[Tensor, "batch pos d"], where: Bool[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d"]:
        return JoinedLatents(self.sae, self.reads, (self,), self.positions).delta(x, where)

    def changed(self, f: Float[Tensor, "batch pos f"]) -> Float[Tensor, "batch pos f"]:
        """f', all latents of it."""
        value = torch.zeros_like(f) if self.reference is None else self.reference.to(f).expand_as(f)
        if self._columns is None:
            return value
        columns = self._columns.to(f.device)
        return f.index_copy(-1, columns, value.index_select(-1, columns))

    @cached_property
    def _columns(self) -> Tensor | None:
        """The ids as a tensor, made once and outside of any pass, beside the weights of the SAE."""
        if self.ids is None:
            return None
        ids = [self.ids] if isinstance(self.ids, int) else list(self.ids)
        beside = _weights(self.sae)
        return torch.tensor(ids, dtype=torch.long, device="cpu" if beside is None or beside.is_meta else beside.device)

    def _check_ids(self, lowest: int, highest: int) -> None:
        n = _n_latents(self.sae)
        if lowest < 0 or (n is not None and highest >= n):
            raise errors.ConfigError(f"Ablate got id {lowest if lowest < 0 else highest}, but the latents are 0..{n - 1 if n else '…'}.")


@dataclass(frozen=True, eq=False)
class JoinedLatents(_OnePoint):
    """Edits of latents of one SAE at one point: one encode, every edit sees the same f, one delta."""

    sae: Dictionary | None
    at: HookPoint
    parts: tuple[Ablate, ...]
    positions: Positions

    @property
    def key(self) -> Hashable:
        return self.parts[0].key

    def join(self, others: "Sequence[Ablate | JoinedLatents]") -> "JoinedLatents":
        more = [part for other in others for part in (other.parts if isinstance(other, JoinedLatents) else (other,))]
        return replace(self, parts=(*self.parts, *more))

    def delta(self, x: Float[Tensor, "batch pos d"], where: Bool[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d"]:
        x = _as_input(x, self.sae)
        f = x if self.sae is None else self.sae.encode(x)
        f_new = f
        for part in self.parts:
            f_new = part.changed(f_new)
        if self.sae is None:
            return f_new - f
        W_dec = _weights(self.sae)
        return (f_new - f) @ W_dec if W_dec is not None else self.sae.decode(f_new) - self.sae.decode(f)


def _as_input(x: Tensor, sae: Dictionary | None) -> Tensor:
    """x in the precision and on the device of the SAE; at least float32 where there is none."""
    weights = _weights(sae)
    if weights is None:
        return x.to(torch.promote_types(x.dtype, torch.float32))
    return x.to(device=weights.device, dtype=weights.dtype)


def _weights(sae: Dictionary | None) -> Tensor | None:
    weights = getattr(sae, "W_dec", None)
    return weights if isinstance(weights, Tensor) else None


def _n_latents(sae: Dictionary | None) -> int | None:
    return getattr(sae, "d_sae", None) if sae is not None else None
