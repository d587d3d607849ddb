"""The one encode pass over a corpus: text -> model -> x and target -> latents, handed to any number of reducers in one go.

Evaluation and the feature database are reducers of this pass: both count the same tokens, and the model runs once for all
dictionaries. A reducer is a commutative monoid (`add`, `merge`, `result`), so that shards and workers give one answer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch

from saescope.activations.source import NonFiniteGuard
from saescope.models.route import Route, side_by_side
from saescope.saes.base import SAE
from saescope.shapes import Bool, Float, Int, Tensor

if TYPE_CHECKING:
    from saescope.data.packing import TokenBatch
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel

LATENT_BUDGET = 2**22
"""Largest number of dense latents held at once (16 MiB in float32): it sets the rows of a chunk. Blocks of 32 MiB and more are
given back to the system when they are freed, and mapped and zeroed anew for the next chunk."""


class Dictionary(Protocol):
    """An SAE or a control, in its inference form."""

    @property
    def d_in(self) -> int: ...

    @property
    def d_sae(self) -> int: ...

    def encode(self, x: Float[Tensor, "n d_in"]) -> Float[Tensor, "n d_sae"]: ...

    def decode(self, latents: Float[Tensor, "n d_sae"]) -> Float[Tensor, "n d_out"]: ...


@dataclass(frozen=True)
class Code:
    """The non-zero latents of n tokens, sorted by (token, latent). `token` counts the rows of the chunk."""

    token: Int[Tensor, " nnz"]
    latent: Int[Tensor, " nnz"]
    value: Float[Tensor, " nnz"]
    n_tokens: int
    d_sae: int

    @classmethod
    def of(cls, latents_NF: Float[Tensor, "n d_sae"]) -> "Code":
        token, latent = latents_NF.nonzero(as_tuple=True)
        return cls(token, latent, latents_NF[token, latent], *latents_NF.shape)

    def by_latent(self) -> "Code":
        """The same pairs sorted by (latent, token)."""
        order = self.latent.argsort(stable=True)
        return Code(self.token[order], self.latent[order], self.value[order], self.n_tokens, self.d_sae)

    def where(self, keep: Bool[Tensor, " n"]) -> "Code":
        """Only the pairs of the tokens that `keep` marks; rows keep their numbers."""
        kept = keep[self.token]
        return Code(self.token[kept], self.latent[kept], self.value[kept], self.n_tokens, self.d_sae)


@dataclass(frozen=True)
class Chunk:
    """Some whole or cut rows of one forward batch: every real position, counted or not (BOS and position 0 are not)."""

    tokens: Int[Tensor, " n"]
    doc_ids: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]
    """Number of the token's sequence in the stream."""
    positions: Int[Tensor, " n"]
    """Column of the token in its sequence."""
    counted: Bool[Tensor, " n"]
    x: Float[Tensor, "n d_in"]
    target: Float[Tensor, "n d_out"]
    """What x_hat is compared with: x itself, but for a transcoder."""
    x_hat: Float[Tensor, "n d_out"]
    code: Code
    labels: Int[Tensor, "n family"] | None = None
    """What each token is, family by family (`data/labels.py`): -1 = undecided, 0 = none, 1 + j = label j; None: not asked for."""

    @cached_property
    def counted_code(self) -> Code:
        return self.code.where(self.counted)


class EncodeOnly:
    """A dictionary whose reconstruction nobody reads: the decoder's GEMM is saved."""

    def __init__(self, dictionary: Dictionary):
        self.encode, self.d_in, self.d_sae = dictionary.encode, dictionary.d_in, dictionary.d_sae
        self.d_out: int = getattr(dictionary, "d_out", self.d_in)

    def decode(self, latents: Float[Tensor, "n d_sae"]) -> Float[Tensor, "n d_out"]:
        return latents.new_zeros(()).expand(len(latents), self.d_out)


class Reducer(Protocol):
    """What one pass leaves behind: `merge` of two halves equals one pass over both."""

    def add(self, chunk: Chunk) -> None: ...

    def merge(self, other: Any) -> None: ...

    def result(self) -> Any: ...


def encode_pass(
    lm: "LanguageModel",
    at: "HookPoint | Route",
    batches: "Iterable[TokenBatch]",
    reducers: Mapping[str, tuple[Dictionary, Sequence[Reducer]]],
    *,
    n_tokens: int | None = None,
    labels: "Callable[[TokenBatch], Tensor] | None" = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Feed every dictionary's reducers with the same tokens; returns the number of counted tokens read.

    All dictionaries read the same hook points: one, or those of a `Route`. Stops after the batch in which `n_tokens` is reached
    (sequences are never cut), or at the end of the text. `labels` (a `Labeller`) fills the chunks' labels. Tokens whose activation
    is not finite are left out.
    Raises: NonFiniteActivations if these are more than 0.1 %.
    """
    route = Route.of(lm, at)
    done, guard, stop = 0, NonFiniteGuard(str(route)), route.stop_at(lm)
    for batch in batches:
        with torch.no_grad():
            acts = lm.run(batch.tokens, mask=batch.mask, read=route.points, stop_at=stop).acts
            places = _places(batch, labels(batch) if labels else None, acts[route.reads[0]].device)
            rows = {point: acts[point][places["mask"].to(acts[point].device)].float() for point in route.points}
            x = side_by_side(rows, route.reads)
            target = x if route.target is None else rows[route.target].to(x.device)
            x, target, places = _finite(x, target, places, guard)
            for dictionary, sinks in reducers.values():
                for chunk in _chunks(dictionary, x, target, places):
                    for sink in sinks:
                        sink.add(chunk)
        done += int(batch.counted.sum())
        if progress:
            progress(done)
        if n_tokens is not None and done >= n_tokens:
            break
    return done


def _places(batch: "TokenBatch", labels_BPf: Tensor | None, device: torch.device) -> dict[str, Tensor]:
    """Where the real positions of a batch stand and what they are, flat, on the model's device."""
    mask = batch.mask.to(device)
    rows, positions = mask.nonzero(as_tuple=True)
    labelled = {} if labels_BPf is None else {"labels": labels_BPf.to(device)[mask]}
    return labelled | {
        "mask": mask,
        "tokens": batch.tokens.to(device)[mask],
        "doc_ids": batch.doc_ids.to(device)[mask],
        "rows": batch.rows.to(device)[rows],
        "positions": positions,
        "counted": batch.counted.to(device)[mask],
    }


def _finite(
    x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], places: dict[str, Tensor], guard: NonFiniteGuard
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Without the tokens whose activation is NaN or Inf; the guard counts those that would have counted."""
    finite = x.isfinite().all(1)
    if target is not x:
        finite &= target.isfinite().all(1)
    guard.count(finite[places["counted"]])
    if bool(finite.all()):
        return x, target, places
    kept = x[finite]
    left = {name: place if name == "mask" else place[finite] for name, place in places.items()}
    return kept, kept if target is x else target[finite], left


def _chunks(
    dictionary: Dictionary, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], places: dict[str, Tensor]
) -> Iterator[Chunk]:
    n = max(1, LATENT_BUDGET // dictionary.d_sae)
    for start in range(0, len(x), n):
        part = slice(start, start + n)
        x_part = x[part]
        latents = dictionary.encode(x_part)
        yield Chunk(
            tokens=places["tokens"][part],
            doc_ids=places["doc_ids"][part],
            rows=places["rows"][part],
            positions=places["positions"][part],
            counted=places["counted"][part],
            x=x_part,
            target=x_part if target is x else target[part],
            x_hat=dictionary.reconstruct(x_part, latents) if isinstance(dictionary, SAE) else dictionary.decode(latents),
            code=Code.of(latents),
            labels=places["labels"][part] if "labels" in places else None,
        )
