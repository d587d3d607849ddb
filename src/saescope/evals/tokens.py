"""Which tokens an evaluation reads. R, the report documents, gives every number; S, the selection documents, what is fitted.

What counts is decided once, in `data/packing.py`: pads, special ids and position 0 of a sequence never do.
Documents are chosen here by their tokens, in file order and before packing, so that the size of a batch cannot change which are read.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from saescope.data.corpus import Corpus, Document, Part
from saescope.data.packing import Encoder, PackConfig, TokenBatch, pack
from saescope.errors import NoTokens

_GROUP = 64
"""Documents tokenized at once while counting."""
_FITTED_ON: tuple[tuple[Part, str | None], ...] = (
    ("select", None),
    ("train", "the text has no selection documents: means and controls were fitted on training documents"),
    ("report", "the text has report documents only: means and controls were fitted on the documents they are reported on"),
)


class DocumentReader:
    """Takes documents off a stream, by their number of tokens."""

    def __init__(self, documents: Iterable[Document], tokenizer: Encoder, cfg: PackConfig):
        self._documents, self._tokenizer, self._cfg = iter(documents), tokenizer, cfg
        self._waiting: deque[tuple[Document, int]] = deque()

    def take(self, n_tokens: int) -> tuple[list[Document], int]:
        """The next documents that hold at least `n_tokens` (all that are left, if they hold fewer), and how many they hold."""
        taken, total = [], 0
        while total < n_tokens and (self._waiting or self._refill()):
            document, size = self._waiting.popleft()
            taken.append(document)
            total += size
        return taken, total

    def _refill(self) -> bool:
        group = list(islice(self._documents, _GROUP))
        special, room = self._tokenizer.special_ids, self._cfg.context - 1 if self._cfg.packing == "documents" else None
        for document, ids in zip(group, self._tokenizer.encode_batch([document.text for document in group]), strict=True):
            self._waiting.append((document, sum(i not in special for i in ids[:room])))
        return bool(group)


def selection_documents(corpus: Corpus) -> tuple[Iterator[Document], str | None]:
    """S, and a warning where the corpus is too small to have one: then the training documents stand in, or R itself."""
    for part, warning in _FITTED_ON:
        try:
            documents = corpus.documents(part)
            first = next(documents)
        except (NoTokens, StopIteration):
            continue
        return _chain(first, documents), warning
    raise NoTokens(f"{corpus.name} has no documents. Give a text, or another file.")


def report_documents(corpus: Corpus) -> Iterator[Document]:
    """R. Raises: NoTokens if no document is held out."""
    try:
        documents = corpus.documents("report")
        first = next(documents)
    except (NoTokens, StopIteration) as empty:
        raise NoTokens(
            f"{corpus.name} is too small to have report documents (those whose number hashes to 95..99 of 100). "
            "Hold some out: --holdout FILE[:N], or give more text."
        ) from empty
    return _chain(first, documents)


def further_documents(corpus: Corpus) -> Iterator[Document]:
    """What is read after R where a count needs more tokens than R has: S, then the training documents."""
    parts: tuple[Part, ...] = ("select", "train")
    for part in parts:
        try:
            yield from corpus.documents(part)
        except NoTokens:
            continue


def batches(
    documents: Iterable[Document], tokenizer: Encoder, cfg: PackConfig, *, batch_sequences: int | None = None
) -> Iterator[TokenBatch]:
    """The documents, packed; in smaller batches where asked."""
    return pack(documents, tokenizer, replace(cfg, batch_sequences=batch_sequences) if batch_sequences else cfg)


def _chain(first: Document, rest: Iterator[Document]) -> Iterator[Document]:
    yield first
    yield from rest
