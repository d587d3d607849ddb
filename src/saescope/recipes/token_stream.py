"""The training text as one array of ids, encoded once per run, and the order in which its sequences are read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saescope.draws import draws
from saescope.errors import NoTokens
from saescope.files import MANIFEST, ArtifactWriter, load_tensors, read_manifest
from saescope.recipes.texts import Texts

SCHEMA, VERSION = "saescope.token_stream", 1
_GROUP = 512
"""Documents that the tokenizer gets at once."""


@dataclass(frozen=True)
class TokenStream:
    """Documents' ids one after the other, BOS before each; `starts[i]` is where document i begins and `sources[i]` whose it is."""

    tokens: np.ndarray
    """uint16."""
    starts: np.ndarray
    sources: np.ndarray
    names: tuple[str, ...]

    def save(self, folder: Path, stamp: dict[str, Any]) -> None:
        """Raises: DiskFull, OutputNotWritable."""
        writer = ArtifactWriter(folder, SCHEMA, VERSION, site="tokens")
        arrays = {"tokens": self.tokens.view(np.int16), "starts": self.starts, "sources": self.sources}
        writer.add_tensors("tokens", {name: torch.from_numpy(array) for name, array in arrays.items()})
        writer.commit(config=stamp, state={"names": list(self.names)})

    @classmethod
    def load(cls, folder: Path, stamp: dict[str, Any]) -> "TokenStream | None":
        """The stream that `save` left with this stamp; None where there is none. Raises: CorruptArtifact."""
        if not (folder / MANIFEST).is_file():
            return None
        manifest = read_manifest(folder, SCHEMA, VERSION)
        if manifest.config != stamp:
            return None
        arrays = {name: t.numpy() for name, t in load_tensors(folder, manifest, manifest.file("tokens"), verify="size").items()}
        return cls(arrays["tokens"].view(np.uint16), arrays["starts"], arrays["sources"], tuple(manifest.state["names"]))

    def shares(self) -> dict[str, int]:
        """Tokens of each source."""
        lengths = np.diff(np.append(self.starts, len(self.tokens)))
        counts = np.bincount(self.sources, weights=lengths, minlength=len(self.names))
        return {name: int(n) for name, n in zip(self.names, counts, strict=True)}


def encode_stream(texts: Texts, tokenizer: Any, n_tokens: int | None, tick: Callable[[int], None] = lambda done: None) -> TokenStream:
    """The first `n_tokens` tokens of the training documents, or all of them (None). Raises: NoTokens."""
    bos = tokenizer.bos_token_id
    names: dict[str, int] = {}
    arrays: list[np.ndarray] = []
    starts: list[int] = []
    sources: list[int] = []
    size = 0
    documents = texts.train()
    while (n_tokens is None or size < n_tokens) and (group := list(islice(documents, _GROUP))):
        encoded = tokenizer.backend_tokenizer.encode_batch_fast([text for _, text in group], add_special_tokens=False)
        for (source, _), ids in zip(group, (encoding.ids for encoding in encoded), strict=True):
            arrays.append(np.fromiter(chain((bos,), ids), np.uint16, 1 + len(ids)))
            starts.append(size)
            sources.append(names.setdefault(source, len(names)))
            size += 1 + len(ids)
        tick(size)
    if not size:
        raise NoTokens(f"{texts.name} has no training text. Give text with more documents.")
    tokens = np.concatenate(arrays)[:n_tokens]
    kept = [start for start in starts if start < len(tokens)]
    return TokenStream(tokens, np.array(kept, np.int64), np.array(sources[: len(kept)], np.int64), tuple(names))


class Order:
    """Which sequences are read when: every one once per epoch, in an order drawn for the epoch.

    A sequence is `context` tokens and the one after them. Sources with less than half of an equal share of the tokens are repeated
    within the epoch until they have about that much.
    """

    def __init__(self, stream: TokenStream, context: int, seed: int):
        n_rows = (len(stream.tokens) - 1) // context
        if n_rows < 1:
            raise NoTokens(
                f"the text has {len(stream.tokens):,} tokens, shorter than one sequence of {context}. "
                "Give more text, or a smaller --context."
            )
        self.stream, self.context, self.seed = stream, context, seed
        rows: np.ndarray = np.arange(n_rows)
        owner: np.ndarray = stream.sources[np.searchsorted(stream.starts, rows * context, side="right") - 1]
        counts = np.bincount(owner, minlength=len(stream.names))
        least = n_rows / (2 * int(np.count_nonzero(counts)))
        self.repeats = {int(s): max(1, round(least / counts[s])) for s in np.flatnonzero(counts)}
        self.rows = np.repeat(rows, [self.repeats[int(s)] for s in owner])

    def batches(self, n_rows: int, *, first: int = 0) -> Iterator[torch.Tensor]:
        """Endless batches [n_rows, context + 1] of ids from batch number `first` on."""
        epoch, at = divmod(first * n_rows, len(self.rows))
        rows = self._epoch(epoch)[at:]
        while True:
            while len(rows) < n_rows:
                epoch += 1
                rows = np.concatenate([rows, self._epoch(epoch)])
            taken, rows = rows[:n_rows], rows[n_rows:]
            places = taken[:, None] * self.context + np.arange(self.context + 1)
            yield torch.from_numpy(self.stream.tokens[places].astype(np.int64))

    def _epoch(self, epoch: int) -> np.ndarray:
        return self.rows[draws(self.seed, "packing", epoch).permutation(len(self.rows))]
