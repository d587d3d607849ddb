"""Text on this machine: which files a name means, and their documents by number."""

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from saescope import disk
from saescope.data.readers import BOUNDARY, JSONL_SUFFIXES, PARQUET_SUFFIXES, TEXT_SUFFIXES, Reader, reader_of
from saescope.errors import NoTokens, UnreadableText, did_you_mean

# .json in a folder is more often a dataset_info.json than text; a .json named by itself is read as JSON lines
FOLDER_SUFFIXES = tuple(suffix for suffix in TEXT_SUFFIXES + JSONL_SUFFIXES + PARQUET_SUFFIXES if suffix != ".json")


class LocalTexts:
    """The non-empty documents of some files, numbered in file order; only their byte ranges stay in memory (20 bytes a document).

    `limit` stops the scan after so many documents. `look(number, text)` sees every document once, while it is scanned.
    Raises: UnreadableText, NoTokens if no document has text.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        *,
        column: str,
        limit: int | None = None,
        piece: int | None = None,
        look: Callable[[int, str], None] | None = None,
    ):
        self.n_empty = 0
        self._piece = piece
        self._readers: list[Reader] = []
        starts, stops, owners = array("q"), array("q"), array("i")
        for number, start, stop, text in self._scan(paths, column, limit):
            if look:
                look(number, text)
            starts.append(start)
            stops.append(stop)
            owners.append(len(self._readers) - 1)
        self._starts, self._stops = np.frombuffer(starts, np.int64), np.frombuffer(stops, np.int64)
        self._owners = np.frombuffer(owners, np.int32)
        if not len(self):
            empty = f", only {self.n_empty} empty documents" if self.n_empty else ""
            raise NoTokens(f"{name} holds no text{empty}. Expected at least one document: give a file or folder with text.")

    def _scan(self, paths: Sequence[Path], column: str, limit: int | None) -> Iterator[tuple[int, int, int, str]]:
        number = 0
        for path in paths:
            reader = reader_of(path, column, self._piece)
            self._readers.append(reader)
            for start, stop, text in reader.scan():
                if not text.strip():
                    self.n_empty += 1
                    continue
                yield number, start, stop, text
                number += 1
                if number == limit:
                    return

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> str:
        return self._readers[self._owners[number]].read(int(self._starts[number]), int(self._stops[number]))

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return ((number, self[number]) for number in range(len(self)))

    def path_of(self, number: int) -> Path:
        """The file that a document is in."""
        return self._readers[self._owners[number]].path

    @property
    def paths(self) -> list[Path]:
        """The files that were read, in order."""
        return [reader.path for reader in self._readers]

    def sha256(self) -> str:
        """Digest of the contents of the files that were read, in their order; names and places do not matter."""
        return hashlib.sha256(" ".join(disk.sha256_of(reader.path) for reader in self._readers).encode()).hexdigest()

    def describe(self) -> str:
        """How many documents, and for a single one why it is only one."""
        if len(self) > 1:
            return f"{len(self):,} documents"
        return f"one document (documents end at a line {BOUNDARY}; --piece N cuts long ones after N bytes)"


def find_files(given: str | Path) -> list[Path]:
    """The files that a path means: itself, or every text file below a folder, sorted; hidden ones are left out.

    Raises: UnreadableText if nothing is there (the nearest names are listed), NoTokens for a folder without text files.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return [path]
    if not path.exists():
        raise missing(path)
    found = [file for file in path.rglob("*") if file.suffix.lower() in FOLDER_SUFFIXES and file.is_file() and not _hidden(file, path)]
    if not found:
        raise NoTokens(
            f"the folder {path} holds no text files. Expected files that end in {', '.join(FOLDER_SUFFIXES)}: give another folder."
        )
    return sorted(found)


def missing(path: Path) -> UnreadableText:
    """The error of a path that is not there, with the nearest names beside it."""
    folder = path.parent
    if not folder.is_dir():
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        return UnreadableText(
            f"there is no {path}, and no folder {path.parent}: the path is right up to {folder.resolve()}. Give an existing file or folder."
        )
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = did_you_mean(path.name, names)
    if not near:
        shown = ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        near = f" That folder holds {shown or 'nothing'}."
    return UnreadableText(f"there is no file or folder {path.name!r} in {folder.resolve()}.{near} Give an existing file or folder.")


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)
