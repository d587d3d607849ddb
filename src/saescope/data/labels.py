"""What every token is: labels of bytes, made by a corpus's labelling, and labels of tokens, made from them.

    token has label c of a family       all of its non-space bytes have it
    token has none of the family        none of its non-space bytes has any
    otherwise                           undecided: it leaves that family's counts

A token of white space alone is judged by its spaces.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from saescope.data.babel.document import document
from saescope.data.babel.families import FAMILIES, LABELS
from saescope.data.babel.unicode_blocks import script_of
from saescope.errors import ConfigError, did_you_mean
from saescope.shapes import Int, Tensor

if TYPE_CHECKING:
    from saescope.data.corpus import Document
    from saescope.data.packing import TokenBatch

UNDECIDED, NONE = -1, 0
MOST_LABELS = 100
"""Labels of one family, so that they fit a byte."""
_SPACES = np.isin(np.arange(256), list(b" \t\n\r\x0b\x0c"))
_OF_TEXT = ("script", "char_byte")
_FAMILY_OF = np.array([list(FAMILIES).index(family) for family, _ in LABELS], np.int8)
_PLACE_OF = np.array([1 + FAMILIES[family].index(label) for family, label in LABELS], np.int8)


class Labelling(Protocol):
    """What is known of the bytes of a corpus's documents."""

    @property
    def families(self) -> Mapping[str, tuple[str, ...]]:
        """Label names by family, in the order of `byte_labels`' rows."""
        ...

    def byte_labels(self, text: "Document") -> np.ndarray:
        """int8 [n_families, n_bytes]: 0 = none, 1 + j = label j of the family. `line` is left to the tokens."""
        ...


class BabelLabelling:
    """Everything that the generator knows of its own text."""

    families: Mapping[str, tuple[str, ...]] = FAMILIES

    def __init__(self, seed: int):
        self._seed = seed
        self._rows = [list(FAMILIES).index(family) for family in _OF_TEXT]

    def byte_labels(self, text: "Document") -> np.ndarray:
        made, data = document(self._seed, text.index), np.frombuffer(text.text.encode(), np.uint8)
        labels = np.zeros((len(FAMILIES), len(data)), np.int8)
        if made.text == text.text:  # a holdout file's documents have numbers of their own
            for start, stop, label in made.spans:
                labels[_FAMILY_OF[label], start:stop] = _PLACE_OF[label]
        labels[self._rows] = _of_text(text.text, data)
        return labels


class TextLabelling:
    """What can be seen in any text: its scripts, the later bytes of its characters, its lines, and where it comes from."""

    def __init__(self, sources: Sequence[str] = (), source_of: Callable[[int], str | None] = lambda number: None):
        seen = {family: FAMILIES[family] for family in (*_OF_TEXT, "line")}
        self.families: Mapping[str, tuple[str, ...]] = seen | ({"source": tuple(sources)} if sources else {})
        self._source_of = source_of

    def byte_labels(self, text: "Document") -> np.ndarray:
        data = np.frombuffer(text.text.encode(), np.uint8)
        labels = np.zeros((len(self.families), len(data)), np.int8)
        labels[: len(_OF_TEXT)] = _of_text(text.text, data)
        if (source := self._source_of(text.index)) is not None:
            labels[-1] = 1 + self.families["source"].index(source)
        return labels


class Labeller:
    """Labels of packed tokens.

        labeller = Labeller(corpus.labelling, lm.tokenizer)
        for batch in pack(labeller.watch(documents), lm.tokenizer, cfg):
            labels = labeller(batch)

    Raises: ConfigError for a family that the labelling does not have.
    """

    def __init__(self, labelling: Labelling, tokenizer: Any, families: Sequence[str] | None = None):
        for name in families or ():
            if name not in labelling.families:
                raise ConfigError(
                    f"{name!r} is no family of labels of this text.{did_you_mean(name, labelling.families)} "
                    f"Families: {', '.join(labelling.families)}."
                )
        self._labelling, self._tokenizer = labelling, tokenizer
        self.families: dict[str, tuple[str, ...]] = {name: labelling.families[name] for name in families or labelling.families}
        self._rows = [list(labelling.families).index(name) for name in self.families]
        self._seen: dict[int, Document] = {}
        self._labels: dict[int, np.ndarray] = {}

    def watch(self, documents: "Iterable[Document]") -> "Iterator[Document]":
        """The same documents; their labels can be asked for once they have passed."""
        for passing in documents:
            self._seen[passing.index] = passing
            yield passing

    def __call__(self, batch: "TokenBatch") -> Int[Tensor, "batch pos family"]:
        """-1 = undecided, 0 = none, 1 + j = label j; BOS and padding have none."""
        labels_BPf = np.zeros((*batch.tokens.shape, len(self.families)), np.int8)
        doc_ids, places = batch.doc_ids.numpy(), batch.places.numpy()
        for number in np.unique(doc_ids[places >= 0]):
            here = (doc_ids == number) & (places >= 0)
            labels_BPf[here] = self._of_document(int(number))[places[here]]
        return torch.from_numpy(labels_BPf)

    def _of_document(self, number: int) -> np.ndarray:
        if number not in self._labels:
            passed = self._seen.pop(number)
            ids = self._tokenizer.encode_batch([passed.text])[0]
            pieces = [self._tokenizer.token_bytes(i) for i in ids]
            labels_fn = self._labelling.byte_labels(passed)[self._rows]
            self._labels[number] = token_labels(labels_fn, pieces, passed.text, list(self.families))
        return self._labels[number]


def token_labels(labels_fn: np.ndarray, pieces: Sequence[bytes], text: str, families: Sequence[str]) -> np.ndarray:
    """int8 [n_tokens, n_families] from the labels [n_families, n_bytes] of the text's bytes.

    A space that the tokenizer puts before the text belongs to no byte. All undecided where the tokens are not the text's bytes.
    """
    data, joined = text.encode(), b"".join(pieces)
    ahead = len(joined) - len(data)
    if ahead not in (0, 1) or joined[ahead:] != data:
        return np.full((len(pieces), len(families)), UNDECIDED, np.int8)
    labels = np.zeros((len(pieces), len(families)), np.int8)
    edges = np.maximum(0, np.cumsum([0, *map(len, pieces)]) - ahead)
    some = np.flatnonzero(np.diff(edges))  # tokens with bytes
    if not len(some):
        return labels
    starts = edges[some]
    solid = ~_SPACES[np.frombuffer(data, np.uint8)]
    bare = ~np.logical_or.reduceat(solid, starts)
    kept = np.flatnonzero(solid | np.repeat(bare, np.diff(edges)[some]))
    at = np.searchsorted(kept, starts)
    low, high = (extreme.reduceat(labels_fn[:, kept], at, axis=1) for extreme in (np.minimum, np.maximum))
    labels[some] = np.where(low == high, low, UNDECIDED).T
    if "line" in families:
        labels[some, list(families).index("line")] = _lines(data, bare, kept[at])
    return labels


def _lines(data: bytes, bare: np.ndarray, first_byte: np.ndarray) -> np.ndarray:
    """first, inner or last token of its line; white space is none of them, and a token alone in its line is its first."""
    out, words = np.zeros(len(bare), np.int8), np.flatnonzero(~bare)
    line = np.cumsum(np.frombuffer(data, np.uint8) == ord("\n"))[first_byte[words]]
    is_first, is_last = np.diff(line, prepend=-1) != 0, np.diff(line, append=-1) != 0
    first, inner, last = (1 + FAMILIES["line"].index(name) for name in ("first", "inner", "last"))
    out[words] = np.where(is_first, first, np.where(is_last, last, inner))
    return out


def _of_text(text: str, data: np.ndarray) -> np.ndarray:
    """Rows `script` and `char_byte` of a text's bytes."""
    if text.isascii():
        scripts, length = script_of(data.astype(np.uint32)), None
    else:
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        length = 1 + (points > 0x7F).astype(np.int8) + (points > 0x7FF) + (points > 0xFFFF)
        scripts = np.repeat(script_of(points), length)
    later = np.zeros(len(data), np.int8)
    if length is not None:
        starts = np.cumsum(length) - length
        later = (np.arange(len(data)) - np.repeat(starts, length)).astype(np.int8)
    return np.stack([scripts.astype(np.int8), later])
