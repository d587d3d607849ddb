"""Documents laid into token sequences, and which of the tokens count.

BOS policy, the whole of it: with `bos` and a tokenizer that has a BOS token, BOS stands before every document ("documents": at
position 0 of every sequence; "stream": wherever a document begins). The tokenizer itself never adds a special token.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

import numpy as np
import torch

from saescope.data.corpus import Corpus, Document
from saescope.draws import draws
from saescope.errors import ConfigError, NoTokens
from saescope.shapes import Bool, Int, Tensor

Ids = np.ndarray
Columns = np.ndarray
"""Token, document number and place of some positions: int64 [3, positions], or [3, batch, pos]."""
_TOKENS, _DOCUMENTS, _PLACES = range(3)
Packing = Literal["documents", "stream"]
_ENCODE_DOCUMENTS = 256
_ENCODE_CHARACTERS = 4_000_000
_CHARACTERS_PER_POSITION = 64
_WINDOW_BATCHES = 64
_PROBE_DOCUMENTS = 200
_MOST_DROPPED = 0.10


class Encoder(Protocol):
    """All that packing knows of a tokenizer."""

    @property
    def bos_id(self) -> int | None: ...

    @property
    def special_ids(self) -> frozenset[int]: ...

    def encode_batch(self, texts: list[str]) -> list[list[int]]: ...


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    context: int
    """Positions of a sequence, BOS included."""
    packing: Packing = "documents"
    """"documents": one per sequence, cut at the context; "stream": documents joined, every position filled."""
    bos: bool = True
    """Whether BOS stands before each document."""
    batch_sequences: int = 8
    """Sequences of a batch."""

    def __post_init__(self) -> None:
        if self.packing not in ("documents", "stream"):
            raise ConfigError(
                f"packing={self.packing!r} is unknown. Expected 'documents' (one per sequence) or 'stream' (documents joined)."
            )
        if self.context < 2:
            raise ConfigError(f"context={self.context} leaves no token to predict. Expected at least 2 positions.")
        if self.batch_sequences < 1:
            raise ConfigError(f"batch_sequences={self.batch_sequences} makes empty batches. Expected at least 1.")


@dataclass(frozen=True)
class TokenBatch:
    """Some sequences, right-padded.

        counted_t           = real_t and not special_t and t > 0
        predicts_t          = counted_t and next_t
        predicts_with_bos_t = real_t    and next_t
        next_t              = real_t+1 and not special_t+1 and document_t+1 = document_t

    Activations are read where `counted`; losses are averaged where `predicts` (a position that predicts its successor).
    """

    tokens: Int[Tensor, "batch pos"]
    mask: Bool[Tensor, "batch pos"]
    """True at real tokens, False at the padding on the right."""
    doc_ids: Int[Tensor, "batch pos"]
    """`Document.index` of each token's document, -1 at padding."""
    places: Int[Tensor, "batch pos"]
    """Number of each token among its own document's tokens, from 0; -1 at BOS and padding."""
    rows: Int[Tensor, " batch"]
    """Running number of each sequence in its stream, whatever batch it is in."""
    counted: Bool[Tensor, "batch pos"]
    predicts: Bool[Tensor, "batch pos"]
    predicts_with_bos: Bool[Tensor, "batch pos"]


def pack(documents: Iterable[Document], tokenizer: Encoder, cfg: PackConfig, *, first_row: int = 0) -> Iterator[TokenBatch]:
    """Batches of the documents' tokens; the same arguments always give the same batches.

    "documents": sequences of similar length share a batch, so that little is padded: windows of 64 batches are sorted by length,
    cut into batches, and the batches drawn in a fixed random order, so that no part of a window is all short or all long.
    "stream": the last, partial sequence is dropped. Sequences are numbered from `first_row` in the order of the documents.
    Raises: NoTokens, at the end, if no token counted ("stream": if the text was shorter than one sequence).
    """
    bos = [tokenizer.bos_id] if cfg.bos and tokenizer.bos_id is not None else []
    lay, room = (_one_per_sequence, cfg.context - len(bos)) if cfg.packing == "documents" else (_joined, None)
    specials = np.array(sorted(tokenizer.special_ids), np.int64)
    any_counted = False
    for columns_CBP, rows_B in lay(_encoded(documents, tokenizer, bos, room), cfg, first_row):
        batch = _flagged(columns_CBP, rows_B, specials)
        any_counted = any_counted or bool(batch.counted.any())
        yield batch
    if not any_counted:
        raise NoTokens(
            "the text has no token that counts: every one is special, or alone in its sequence (position 0 never counts). "
            "Expected text of at least two tokens: give more or longer text."
        )


def choose_packing(corpus: Corpus, tokenizer: Encoder, context: int) -> Packing:
    """The packing for a corpus: "documents", unless cutting its first 200 documents at the context would drop over a tenth of their tokens.

    Of a long document only the beginning is encoded; the tokens of the rest are estimated from its characters.
    """
    room = context - (tokenizer.bos_id is not None)
    documents = [(document.text[: _enough(room)], len(document.text)) for document in islice(corpus.documents("all"), _PROBE_DOCUMENTS)]
    total = dropped = 0.0
    for (start, length), ids in zip(documents, tokenizer.encode_batch([start for start, _ in documents]), strict=True):
        n_tokens = len(ids) * length / len(start)
        total += n_tokens
        dropped += max(0.0, n_tokens - room)
    return "stream" if dropped > _MOST_DROPPED * total else "documents"


def _encoded(documents: Iterable[Document], tokenizer: Encoder, bos: list[int], room: int | None) -> Iterator[Columns]:
    """Each document that has tokens, BOS first: all of them, or the first `room` after BOS.

    Many are encoded at once, because fast tokenizers work in parallel. Where only the first are wanted, only the beginning of a long
    text is encoded (a book takes seconds and gigabytes); all of it, if the beginning gave so few tokens that its end could matter.
    """
    for group in _groups(documents):
        texts = [document.text if room is None else document.text[: _enough(room)] for document in group]
        for document, text, ids in zip(group, texts, tokenizer.encode_batch(texts), strict=True):
            if room is not None and len(text) < len(document.text) and len(ids) < 2 * room:
                ids = tokenizer.encode_batch([document.text])[0]
            if ids:
                columns = np.full((3, len(bos) + len(ids[:room])), document.index, np.int64)
                columns[_TOKENS] = bos + ids[:room]
                columns[_PLACES] = np.arange(columns.shape[1]) - len(bos)
                yield columns


def _enough(room: int) -> int:
    return _CHARACTERS_PER_POSITION * room


def _groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.text)
        if len(group) == _ENCODE_DOCUMENTS or characters >= _ENCODE_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _one_per_sequence(encoded: Iterator[Columns], cfg: PackConfig, first_row: int) -> Iterator[tuple[Columns, Ids]]:
    sequences = enumerate(encoded, first_row)
    while window := list(islice(sequences, _WINDOW_BATCHES * cfg.batch_sequences)):
        first = window[0][0]
        window.sort(key=lambda sequence: sequence[1].shape[1])
        batches = [window[i : i + cfg.batch_sequences] for i in range(0, len(window), cfg.batch_sequences)]
        for i in draws(0, "packing", first).permutation(len(batches)):
            yield _padded(batches[i])


def _padded(batch: list[tuple[int, Columns]]) -> tuple[Columns, Ids]:
    longest = max(columns.shape[1] for _, columns in batch)
    columns_CBP = np.full((3, len(batch), longest), -1, np.int64)
    columns_CBP[_TOKENS] = 0
    for b, (_, columns) in enumerate(batch):
        columns_CBP[:, b, : columns.shape[1]] = columns
    return columns_CBP, np.array([row for row, _ in batch], np.int64)


def _joined(encoded: Iterator[Columns], cfg: PackConfig, first_row: int) -> Iterator[tuple[Columns, Ids]]:
    row, n_tokens = first_row, 0
    for columns_CN in _blocks(encoded, cfg.context * cfg.batch_sequences):
        n_tokens = columns_CN.shape[1]
        if B := n_tokens // cfg.context:
            yield columns_CN[:, : B * cfg.context].reshape(3, B, cfg.context), np.arange(row, row + B)
            row += B
    if row == first_row:
        raise NoTokens(
            f"the text has {n_tokens:,} tokens, shorter than one sequence of {cfg.context:,}. "
            "Give more text, a smaller context, or packing='documents', which pads."
        )


def _blocks(encoded: Iterator[Columns], size: int) -> Iterator[Columns]:
    """The joined documents, `size` positions at a time; the last block is what is left."""
    pieces: list[Columns] = []
    waiting = 0
    for columns in encoded:
        pieces.append(columns)
        waiting += columns.shape[1]
        if waiting >= size:
            columns_CN, whole = np.concatenate(pieces, axis=1), waiting - waiting % size
            for i in range(0, whole, size):
                yield columns_CN[:, i : i + size]
            pieces, waiting = [columns_CN[:, whole:].copy()], waiting - whole  # copied, so that the block can be freed
    if waiting:
        yield np.concatenate(pieces, axis=1)


def _flagged(columns_CBP: Columns, rows_B: Ids, specials: Ids) -> TokenBatch:
    tokens_BP, doc_ids_BP, places_BP = (np.ascontiguousarray(column) for column in columns_CBP)
    real_BP = doc_ids_BP >= 0
    plain_BP = real_BP & ~np.isin(tokens_BP, specials)
    counted_BP = plain_BP.copy()
    counted_BP[:, 0] = False
    next_BP = np.zeros_like(plain_BP)
    next_BP[:, :-1] = plain_BP[:, 1:] & (doc_ids_BP[:, 1:] == doc_ids_BP[:, :-1])
    return TokenBatch(
        tokens=torch.from_numpy(tokens_BP),
        mask=torch.from_numpy(real_BP),
        doc_ids=torch.from_numpy(doc_ids_BP),
        places=torch.from_numpy(places_BP),
        rows=torch.from_numpy(rows_B),
        counted=torch.from_numpy(counted_BP),
        predicts=torch.from_numpy(counted_BP & next_BP),
        predicts_with_bos=torch.from_numpy(real_BP & next_BP),
    )
