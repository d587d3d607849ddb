"""A corpus: numbered documents from files, folders or the Hub, and which of them are for training, selecting and reporting."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from saescope.data.babel_texts import BabelTexts, is_babel
from saescope.data.holdout import BEYOND_THE_STREAM, HeldOut, part_of
from saescope.data.hub import HubTexts, is_hub_name
from saescope.data.labels import MOST_LABELS, BabelLabelling, Labelling, TextLabelling
from saescope.data.local_files import LocalTexts, find_files
from saescope.draws import draws
from saescope.errors import ConfigError, NoTokens, did_you_mean
from saescope.files import canonical_json

Part = Literal["train", "select", "report", "all"]
_PARTS = ("train", "select", "report", "all")


@dataclass(frozen=True)
class Document:
    """One text, never empty, and its number in the whole corpus (empty documents are not numbered)."""

    index: int
    text: str


class Corpus:
    """The documents of a text, in parts of which no two share a text that is held out (`holdout.py` has the rule).

        corpus = Corpus.open("stories/", holdout="stories/test.txt:200")
        for document in corpus.documents("train", epoch=0, seed=0): ...

    `n_empty`: empty documents skipped (of a stream: so far). `n_documents`, `n_train`: None while a stream's length is unknown.
    """

    def __init__(self, name: str, texts: LocalTexts | HubTexts | BabelTexts, held_out: HeldOut | None, options: dict[str, object]):
        self.name = name
        self._texts, self._held_out, self._options = texts, held_out, options

    @classmethod
    def open(
        cls,
        text: str | Path | Sequence[str | Path],
        *,
        column: str = "text",
        split: str = "train",
        revision: str | None = None,
        n_documents: int | None = None,
        piece: int | None = None,
        holdout: str | None = None,
        holdout_column: str | None = None,
    ) -> "Corpus":
        """The corpus of a file (txt, jsonl, parquet), a folder of them, several of both, a Hub data set (`org/name`, or
        `org/name:config`; streamed), or "babel", the generated one ("babel:1" for another seed, "babel:tiny" for 200 kB).
        A string that is a path here is that path.

        `column` names the text in jsonl, parquet and Hub rows; `split` and `revision` are for the Hub; `n_documents` cuts the
        corpus after so many documents, in file order; `piece` cuts the documents of txt files at the first line end after so many
        bytes; `holdout` is "PATH[:N]", read by `holdout_column` where it has another.
        Raises: UnreadableText, NoTokens, ConfigError, HubUnreachable.
        """
        if n_documents is not None and n_documents < 1:
            raise ConfigError(f"n_documents={n_documents} leaves no text. Expected at least 1, or None for the whole corpus.")
        if piece is not None and piece < 1:
            raise ConfigError(f"piece={piece} leaves no text. Expected at least 1 byte, or None for whole documents.")
        given = [text] if isinstance(text, str | Path) else list(text)
        if not given or "" in given:
            raise ConfigError(f"the text is {text!r}, which names nothing. Expected a file, a folder or a Hub data set.")
        held_out = HeldOut(holdout, column=holdout_column or column, piece=piece) if holdout is not None else None
        options: dict[str, object] = {"column": column, "n_documents": n_documents, **({"piece": piece} if piece else {})}
        if len(given) == 1 and is_babel(given[0]) and not Path(given[0]).expanduser().exists():
            return cls(str(given[0]), BabelTexts(str(given[0]), limit=n_documents), held_out, options)
        hub = [item for item in given if not Path(item).expanduser().exists() and is_hub_name(item)]
        if hub and len(given) > 1:
            raise ConfigError(
                f"{hub[0]!r} is not a path here; only one Hub data set can be read, alone. Give local files and folders, or that name."
            )
        if hub:
            stream = HubTexts(str(hub[0]), column=column, split=split, revision=revision, limit=n_documents)
            return cls(str(hub[0]), stream, held_out, options | {"split": split})
        paths = list(dict.fromkeys(path for item in given for path in find_files(item)))
        name = " + ".join(Path(item).expanduser().resolve().name for item in given)
        look = held_out.look if held_out else None
        texts = LocalTexts(name, paths, column=column, limit=n_documents, piece=piece, look=look)
        return cls(name, texts, held_out, options)

    @property
    def streaming(self) -> bool:
        """Whether the documents come in one order and without a known end: the Hub's and babel's."""
        return not isinstance(self._texts, LocalTexts)

    @cached_property
    def labelling(self) -> Labelling:
        """What is known of every token: all of babel's families; of other text its script, line, bytes and source."""
        if isinstance(self._texts, BabelTexts):
            return BabelLabelling(self._texts.seed)
        return TextLabelling(*self._sources) if isinstance(self._texts, LocalTexts) else TextLabelling()

    def source_of(self, number: int) -> str | None:
        """The source of a document of local files (its label of family "source"); None where there is one source alone."""
        return self._sources[1](number) if isinstance(self._texts, LocalTexts) else None

    @cached_property
    def _sources(self) -> tuple[tuple[str, ...], Callable[[int], str | None]]:
        """The folders below the one that holds all files, and which of them a document is in. Files beside each other are no sources:
        more often than not they are parts of one text (train, val, test)."""
        texts = self._texts
        assert isinstance(texts, LocalTexts)
        paths = [path.resolve() for path in texts.paths]
        root = Path(os.path.commonpath([path.parent for path in paths]))
        name = {path: path.relative_to(root).parts[0] for path in paths if path.parent != root}
        names = tuple(dict.fromkeys(name.values()))
        if not 1 < len(names) <= MOST_LABELS:
            return (), lambda number: None
        return names, lambda number: name.get(texts.path_of(number).resolve()) if number < len(texts) else None

    @property
    def n_empty(self) -> int:
        return self._texts.n_empty

    @property
    def n_documents(self) -> int | None:
        return len(self._texts) if isinstance(self._texts, LocalTexts) else None

    @property
    def n_train(self) -> int | None:
        return int((self._parts == _PARTS.index("train")).sum()) if isinstance(self._texts, LocalTexts) else None

    @cached_property
    def sha256(self) -> str:
        """Digest of the text and of what is read from it: the files' contents (of a Hub data set its name and commit), column,
        split, n_documents, and the held-out documents."""
        texts = self._texts.sha256() if isinstance(self._texts, LocalTexts) else f"{self.name}@{self._texts.revision}"
        held_out = self._held_out.sha256() if self._held_out else None
        return hashlib.sha256(canonical_json({"texts": texts, "holdout": held_out, **self._options}).encode()).hexdigest()

    def documents(self, part: Part, *, epoch: int = 0, seed: int = 0) -> Iterator[Document]:
        """The documents of one part. A local "train" comes in the order of draws(seed, "documents", epoch); everything else in
        file order. "all" is the corpus itself, held out or not; "report" of a holdout file is that file's documents.

        Raises: NoTokens if the part is empty (of a stream: at its end), ConfigError for an unknown part.
        """
        if part not in _PARTS:
            raise ConfigError(f"{part!r} is no part of a corpus.{did_you_mean(part, _PARTS)} Parts: {', '.join(_PARTS)}.")
        if part == "report" and self._held_out is not None:
            beyond = len(self._texts) if isinstance(self._texts, LocalTexts) else BEYOND_THE_STREAM
            return (Document(number, text) for number, text in self._held_out.numbered(beyond))
        if isinstance(self._texts, LocalTexts):
            return self._from_files(self._texts, part, epoch, seed)
        return self._from_stream(part)

    def _from_files(self, texts: LocalTexts, part: Part, epoch: int, seed: int) -> Iterator[Document]:
        numbers = np.arange(len(texts)) if part == "all" else np.flatnonzero(self._parts == _PARTS.index(part))
        if not len(numbers):
            raise self._empty(part, texts.describe())
        if part == "train":
            numbers = numbers[draws(seed, "documents", epoch).permutation(len(numbers))]
        return (Document(number, texts[number]) for number in map(int, numbers))

    def _from_stream(self, part: Part) -> Iterator[Document]:
        n = 0
        # babel passes over the documents of other parts without writing them
        for number, text in self._texts.part(part) if isinstance(self._texts, BabelTexts) else self._texts:
            if part == "all" or (part == self._part_of(number) and not (self._held_out and text in self._held_out)):
                yield Document(number, text)
                n += 1
        if not n:
            raise self._empty(part, "too few documents")

    @cached_property
    def _parts(self) -> np.ndarray:
        """For each document of local files the place of its part in `_PARTS`; -1 where its text is held out by a file."""
        assert isinstance(self._texts, LocalTexts)
        parts = np.fromiter((_PARTS.index(self._part_of(number)) for number in range(len(self._texts))), np.int8, len(self._texts))
        if self._held_out:
            parts[self._held_out.in_corpus] = -1
        return parts

    def _part_of(self, number: int) -> str:
        if isinstance(self._texts, BabelTexts):
            return self._texts.part_of(number)
        return part_of(number, report_is_given=self._held_out is not None)

    def _empty(self, part: Part, size: str) -> NoTokens:
        share = {"train": "90 % or more", "select": "about 5 %", "report": "about 5 %", "all": "all"}[part]
        return NoTokens(
            f"{self.name} is {size}, and none of it is in the {part!r} part ({share} of the documents that no holdout takes). "
            "Give text with more documents, or hold out documents of another file: holdout='PATH[:N]'."
        )

    def __repr__(self) -> str:
        size = f"{self.n_documents:,} documents, {self.n_train:,} for training" if self.n_documents is not None else "streamed"
        return f"Corpus({self.name!r}, {size})"
