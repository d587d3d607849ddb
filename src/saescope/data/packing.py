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
    for tokens_BP, doc_ids_BP, rows_B in lay(_encoded(documents, tokenizer, bos, room), cfg, first_row):
        batch = _flagged(tokens_BP, doc_ids_BP, rows_B, specials)
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


def _encoded(documents: Iterable[Document], tokenizer: Encoder, bos: list[int], room: int | None) -> Iterator[tuple[int, Ids]]:
    """Number and tokens, BOS first, of each document that has any: all of them, or the first `room` after BOS.

    Many are encoded at once, because fast tokenizers work in parallel. Where only the first are wanted, only the beginning of a long
    text is encoded (a book takes seconds and gigabytes); all of it, if the beginning gave so few tokens that its end could matter.
    """
    for group in _groups(documents):
        texts = [document.text if room is None else document.text[: _enough(room)] for document in group]
        for document, text, ids in zip(group, texts, tokenizer.encode_batch(texts), strict=True):
            if room is not None and len(text) < len(document.text) and len(ids) < 2 * room:
                ids = tokenizer.encode_batch([document.text])[0]
            if ids:
                yield document.index, np.array(bos + ids[:room], np.int64)


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


def _one_per_sequence(encoded: Iterator[tuple[int, Ids]], cfg: PackConfig, first_row: int) -> Iterator[tuple[Ids, Ids, Ids]]:
    sequences = ((row, index, ids) for row, (index, ids) in enumerate(encoded, first_row))
    while window := list(islice(sequences, _WINDOW_BATCHES * cfg.batch_sequences)):
        first = window[0][0]
        window.sort(key=lambda sequence: len(sequence[2]))
        batches = [window[i : i + cfg.batch_sequences] for i in range(0, len(window), cfg.batch_sequences)]
        for i in draws(0, "packing", first).permutation(len(batches)):
            yield _padded(batches[i])


def _padded(batch: list[tuple[int, int, Ids]]) -> tuple[Ids, Ids, Ids]:
    longest = max(len(ids) for _, _, ids in batch)
    tokens_BP = np.zeros((len(batch), longest), np.int64)
    doc_ids_BP = np.full((len(batch), longest), -1, np.int64)
    for b, (_, index, ids) in enumerate(batch):
        tokens_BP[b, : len(ids)] = ids
        doc_ids_BP[b, : len(ids)] = index
    return tokens_BP, doc_ids_BP, np.array([row for row, _, _ in batch], np.int64)


def _joined(encoded: Iterator[tuple[int, Ids]], cfg: PackConfig, first_row: int) -> Iterator[tuple[Ids, Ids, Ids]]:
    row, n_tokens = first_row, 0
    for tokens_N, doc_ids_N in _blocks(encoded, cfg.context * cfg.batch_sequences):
        n_tokens = len(tokens_N)
        if B := n_tokens // cfg.context:
            whole = B * cfg.context
            yield tokens_N[:whole].reshape(B, cfg.context), doc_ids_N[:whole].reshape(B, cfg.context), np.arange(row, row + B)
            row += B
    if row == first_row:
        raise NoTokens(
            f"the text has {n_tokens:,} tokens, shorter than one sequence of {cfg.context:,}. "
            "Give more text, a smaller context, or packing='documents', which pads."
        )


def _blocks(encoded: Iterator[tuple[int, Ids]], size: int) -> Iterator[tuple[Ids, Ids]]:
    """The joined tokens and their documents' numbers, `size` at a time; the last block is what is left."""
    tokens: list[Ids] = []
    doc_ids: list[Ids] = []
    waiting = 0
    for index, ids in encoded:
        tokens.append(ids)
        doc_ids.append(np.full(len(ids), index, np.int64))
        waiting += len(ids)
        if waiting >= size:
            tokens_N, doc_ids_N, whole = np.concatenate(tokens), np.concatenate(doc_ids), waiting - waiting % size
            for i in range(0, whole, size):
                yield tokens_N[i : i + size], doc_ids_N[i : i + size]
            # copied, so that the blocks can be freed
            tokens, doc_ids, waiting = [tokens_N[whole:].copy()], [doc_ids_N[whole:].copy()], waiting - whole
    if waiting:
        yield np.concatenate(tokens), np.concatenate(doc_ids)


def _flagged(tokens_BP: Ids, doc_ids_BP: Ids, rows_B: Ids, specials: Ids) -> TokenBatch:
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
        rows=torch.from_numpy(rows_B),
        counted=torch.from_numpy(counted_BP),
        predicts=torch.from_numpy(counted_BP & next_BP),
        predicts_with_bos=torch.from_numpy(real_BP & next_BP),
    )
