"""The two kinds of text that the recipe learns from: babel, and any folder. Each says what trains and what is held out, by kind."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

from saescope.data.babel import KINDS, document, numbers
from saescope.data.corpus import Corpus
from saescope.errors import ConfigError

PIECE = 4096
"""Bytes after which the documents of a folder's text files are cut, at the next line end."""


class Texts(Protocol):
    name: str
    is_babel: bool
    """Endless, with kinds for which there are recognisers, floors and verdicts."""

    def tokenizer_texts(self, n_bytes: int) -> Iterator[str]:
        """Training text of about so many bytes, or all of it, in which no source has more than its share."""
        ...

    def train(self) -> Iterator[tuple[str, str]]:
        """(source, text) of the training documents."""
        ...

    def report(self, n_per_kind: int) -> Iterator[tuple[str, str]]:
        """(kind, text) of held-out documents, at most so many of a kind."""
        ...

    def prompts(self) -> Iterator[tuple[str, str]]:
        """(kind, text) of held-out documents in the shares that they have in the text."""
        ...


class BabelTexts:
    """Endless; all its training documents are one source."""

    is_babel = True

    def __init__(self, seed: int = 0):
        self.seed, self.name = seed, f"babel:{seed}"

    def tokenizer_texts(self, n_bytes: int) -> Iterator[str]:
        for _, text in self.train():
            if n_bytes <= 0:
                return
            n_bytes -= len(text.encode())
            yield text

    def train(self) -> Iterator[tuple[str, str]]:
        return (("babel", document(self.seed, i).text) for i in numbers(self.seed, "train"))

    def report(self, n_per_kind: int) -> Iterator[tuple[str, str]]:
        """A fixed number of documents of every kind, so that rare kinds are measured as well as the others."""
        held_out = numbers(self.seed, "report")
        return ((kind, document(self.seed, i, kind=kind).text) for kind in KINDS for i in islice(held_out, n_per_kind))

    def prompts(self) -> Iterator[tuple[str, str]]:
        return ((d.kind, d.text) for d in (document(self.seed, i) for i in numbers(self.seed, "report")))


class FolderTexts:
    """A file or a folder. Its documents are cut after PIECE bytes, so that of long files, too, a part is held out; its sources, which
    are also its kinds, are those of the corpus: what is held out here is held out of `saescope run --text FOLDER --piece 4096` as well.

    Raises: UnreadableText, NoTokens.
    """

    is_babel = False

    def __init__(self, path: Path):
        self.corpus = Corpus.open(path, piece=PIECE)
        self.name = self.corpus.name

    def tokenizer_texts(self, n_bytes: int) -> Iterator[str]:
        sizes: Counter[str] = Counter()
        for source, text in self.train():
            sizes[source] += len(text.encode())
        share = max(1, n_bytes // len(sizes))
        passed: Counter[str] = Counter()
        for source, text in self.train():
            before = passed[source]
            passed[source] += len(text.encode())
            # Evenly over the source: a piece is taken when it carries the sum of what was taken past the next whole step.
            steps = [n * share // sizes[source] // PIECE for n in (before, passed[source])]
            if sizes[source] <= share or steps[0] < steps[1]:
                yield text

    def train(self) -> Iterator[tuple[str, str]]:
        return self._part("train")

    def report(self, n_per_kind: int) -> Iterator[tuple[str, str]]:
        counts: Counter[str] = Counter()
        for kind, text in self.prompts():
            counts[kind] += 1
            if counts[kind] <= n_per_kind:
                yield kind, text

    def prompts(self) -> Iterator[tuple[str, str]]:
        return self._part("report")

    def _part(self, part: Literal["train", "report"]) -> Iterator[tuple[str, str]]:
        return ((self.corpus.source_of(document.index) or self.name, document.text) for document in self.corpus.documents(part))


def open_texts(text: str) -> Texts:
    """The texts of "babel", "babel:SEED", a folder or a file. Raises: ConfigError, UnreadableText, NoTokens."""
    name, _, seed = text.partition(":")
    if name == "babel":
        if seed and not seed.isdecimal():
            raise ConfigError(f"{text!r} names no corpus: the seed of babel is a whole number, such as babel:1.")
        return BabelTexts(int(seed or 0))
    return FolderTexts(Path(text).expanduser())
