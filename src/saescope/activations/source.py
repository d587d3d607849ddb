"""Where training rows come from. A source is a pure function of (seed, start): the stream and its cache give equal bits."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from saescope.draws import draws
from saescope.errors import ConfigError, NonFiniteActivations, NoTokens, UnreadableText
from saescope.shapes import Bool, Float, Tensor

if TYPE_CHECKING:
    from saescope.data.packing import TokenBatch

STORED = torch.bfloat16
"""Type of rows on their way to the trainer, streamed or cached: two bytes a value."""
ROWS_PER_BATCH = 8192


@dataclass(frozen=True)
class Batch:
    """Rows of activations, the hook points side by side."""

    rows: Float[Tensor, "n d_row"]


@dataclass(frozen=True)
class StepBatch:
    """What one training step reads."""

    rows: Float[Tensor, "n d_row"]
    text: "TokenBatch | None" = None
    """The sequences whose counted tokens the rows are of, in order; None where rows are mixed."""


class ActivationSource(Protocol):
    """Rows in stream order, unmixed. Keys of `slices` are hook points (or any names): which columns are whose."""

    @property
    def provenance(self) -> Mapping[str, Any]: ...

    @property
    def slices(self) -> Mapping[Any, slice]: ...

    def batches(self, n_tokens: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        """n_tokens rows from row `start` of the stream on, in batches of any size."""
        ...


class NonFiniteGuard:
    """Keeps rows with NaN or Inf out, counts them, and gives up above 0.1 % of the rows seen (once 1,000 were).

    A bad row's place is taken by the finite row before it (the first one after, at the start), so that every other row keeps its
    place in the stream: a cursor counts places, and a resumed stream equals an uninterrupted one.
    """

    limit = 1e-3

    def __init__(self, where: str):
        self.where, self.seen, self.dropped = where, 0, 0
        self.first: int | None = None
        """Which of the rows seen was the first bad one, from 0."""

    def __call__(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        finite = rows.isfinite().all(1)
        self.count(finite)
        if bool(finite.all()) or not bool(finite.any()):
            return rows
        index = torch.arange(len(rows), device=rows.device)
        stand_in = torch.where(finite, index, -1).cummax(0).values
        return rows[torch.where(stand_in >= 0, stand_in, finite.int().argmax())]

    def count(self, finite: Bool[Tensor, " n"]) -> None:
        """Raises: NonFiniteActivations where too many are bad."""
        if self.first is None and not finite.all():
            self.first = self.seen + int(finite.int().argmin())
        self.seen += len(finite)
        self.dropped += len(finite) - int(finite.sum())
        if self.dropped > self.limit * max(self.seen, 1000):
            raise NonFiniteActivations(
                f"{self.dropped:,} of {self.seen:,} activations at {self.where} are NaN or Inf, "
                f"the first of them row {self.first:,} of what was read. At most 0.1 % is expected: "
                "run the model in a wider type (--dtype float32), or check its weights."
            )


class TensorSource:
    """Activations that somebody saved: an array, or a `.safetensors` or `.npy` file of them. No model is needed.

    Rows are drawn in a new order each pass. Kept in the type they come in.

    Raises: ConfigError for anything but a [n, d] float array, UnreadableText for a file of another kind, NoTokens if empty.
    """

    def __init__(self, rows: Tensor | np.ndarray | str | Path, *, name: str = "x", key: str | None = None):
        self.rows, corpus = (
            (read_rows(Path(rows), key), Path(rows).name) if isinstance(rows, str | Path) else (torch.as_tensor(rows), "array")
        )
        if self.rows.ndim != 2 or not self.rows.is_floating_point():
            raise ConfigError(
                f"activations of shape {tuple(self.rows.shape)} and type {self.rows.dtype} were given. "
                "A float array [tokens, width] is expected: flatten batch and position into one dimension."
            )
        if len(self.rows) == 0:
            raise NoTokens("the array of activations has no rows. Save at least one batch of them.")
        self.rows = NonFiniteGuard(corpus)(self.rows)
        self.slices = {name: slice(0, self.rows.shape[1])}
        self.provenance = {"hook_points": [name], "corpus": corpus, "corpus_sha256": _sha256(self.rows), "n_rows": len(self.rows)}

    def batches(self, n_tokens: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        n, end = len(self.rows), start + n_tokens
        while start < end:
            epoch, first = divmod(start, n)
            order = torch.from_numpy(draws(seed, "documents", epoch).permutation(n))
            for at in range(first, min(n, first + end - start), ROWS_PER_BATCH):
                stop = min(at + ROWS_PER_BATCH, n, first + end - start)
                yield Batch(self.rows[order[at:stop]])
            start = min((epoch + 1) * n, end)


def read_rows(path: Path, key: str | None) -> Tensor:
    """The one array of a `.safetensors` (or the one called `key`) or `.npy` file. Raises: UnreadableText, ConfigError."""
    from safetensors import SafetensorError

    try:
        if path.suffix == ".npy":
            return torch.from_numpy(np.load(path, allow_pickle=False))
        if path.suffix == ".safetensors":
            return _only(path, key)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise UnreadableText(
            f"{path} could not be read as an array ({error}). A .npy or .safetensors file of floats is expected."
        ) from error
    raise UnreadableText(f"{path} is neither .npy nor .safetensors. Save the activations as one of these; pickles are not read.")


def _only(path: Path, key: str | None) -> Tensor:
    from safetensors.torch import load_file

    tensors = load_file(path)
    if not tensors:
        raise UnreadableText(f"{path} holds no tensor. Save the activations in it as an array [tokens, width].")
    if (key is None and len(tensors) > 1) or (key is not None and key not in tensors):
        raise ConfigError(f"{path} holds tensors {sorted(tensors)}. Say which one to train on: --key NAME.")
    return tensors[key] if key is not None else next(iter(tensors.values()))


def _sha256(rows: Float[Tensor, "n d"]) -> str:
    """Over type, shape and bytes, so that a run is not continued on other rows."""
    digest = hashlib.sha256(f"{rows.dtype} {tuple(rows.shape)}".encode())
    for part in rows.split(ROWS_PER_BATCH):
        digest.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
