"""One reader per file format: it scans a file once for its documents' byte ranges, and reads any of them again later.

A scan checks everything (UTF-8, JSON, the column), so that a bad line is reported before the model is loaded and never in the
middle of a training run. Later reads seek to a byte range: memory does not grow with the file.
"""

import codecs
import json
import re
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from saescope.errors import DiskFull, UnreadableText, did_you_mean

BOUNDARY = "<|endoftext|>"
TEXT_SUFFIXES = (".txt", ".text")
JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json")
PARQUET_SUFFIXES = (".parquet",)
_BLANK_LINES = re.compile(r"\A(?:[ \t]*\n)+")
_PARQUET_ROWS = 256


class Reader(Protocol):
    """One file: its documents in order, each with the byte range [start, stop) from which `read` gives the same text again."""

    path: Path

    def scan(self) -> Iterator[tuple[int, int, str]]: ...

    def read(self, start: int, stop: int) -> str: ...


def reader_of(path: Path, column: str, piece: int | None = None) -> Reader:
    """The reader that the file's suffix asks for; a suffix we do not know is read as plain text, cut into pieces where asked."""
    suffix = path.suffix.lower()
    if suffix in JSONL_SUFFIXES:
        return JsonlReader(path, column)
    if suffix in PARQUET_SUFFIXES:
        return ParquetReader(path, column)
    return TextReader(path, piece)


class TextReader:
    """Plain text. Documents lie between lines that are `<|endoftext|>` and nothing else; without such a line the file is one document.

    Blank lines at a document's two ends belong to the boundary and are dropped; CRLF becomes LF, as in Python's own text files.
    `piece`: a document also ends at the first line end after so many bytes (books and logs, of which a part is to be held out).
    """

    def __init__(self, path: Path, piece: int | None = None):
        self.path, self.piece = path, piece

    def scan(self) -> Iterator[tuple[int, int, str]]:
        boundary = BOUNDARY.encode()
        start = stop = 0
        ended = False
        lines: list[bytes] = []
        with open_binary(self.path) as file:
            for line in file:
                # a strip per line would double the time of a scan
                ended = boundary in line and line.strip() == boundary
                if ended:
                    yield start, stop, self._decode(b"".join(lines), start)
                    lines, start = [], stop + len(line)
                else:
                    lines.append(line)
                stop += len(line)
                if self.piece and stop - start >= self.piece:
                    yield start, stop, self._decode(b"".join(lines), start)
                    lines, start, ended = [], stop, True
        if not (ended or stop == 0):  # nothing after the last boundary is no document, not an empty one
            yield start, stop, self._decode(b"".join(lines), start)

    def read(self, start: int, stop: int) -> str:
        return self._decode(read_range(self.path, start, stop), start)

    def _decode(self, data: bytes, start: int) -> str:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise undecodable(self.path, start + error.start, data) from error
        if start == 0:
            text = text.removeprefix("\ufeff")
        text = text.replace("\r\n", "\n").rstrip()
        return _BLANK_LINES.sub("", text, count=1)


class JsonlReader:
    """JSON lines: one object per line, the text in one field of it. Blank lines are ignored; null and "" are empty documents."""

    def __init__(self, path: Path, column: str):
        self.path, self.column = path, column

    def scan(self) -> Iterator[tuple[int, int, str]]:
        start = 0
        with open_binary(self.path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield start, start + len(line), self._parse(line, start, f"line {number}")
                start += len(line)

    def read(self, start: int, stop: int) -> str:
        return self._parse(read_range(self.path, start, stop), start, f"byte {start}")

    def _parse(self, line: bytes, start: int, place: str) -> str:
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise undecodable(self.path, start + error.start, line) from error
        except ValueError as error:
            raise UnreadableText(
                f"{self.path}, {place}, is not JSON ({error}). Expected one JSON object per line, "
                f'such as {{"{self.column}": "Once upon a time"}}. Mend or remove that line.'
            ) from error
        if not isinstance(row, dict):
            raise UnreadableText(
                f"{self.path}, {place}, is a JSON {_json_kind(row)}. Expected one JSON object per line, "
                f'such as {{"{self.column}": "Once upon a time"}}. Write the file as JSON lines.'
            )
        if self.column not in row:
            raise no_column(f"{self.path}, {place},", self.column, list(row))
        text = row[self.column]
        if not isinstance(text, str | None):
            raise UnreadableText(
                f"{self.path}, {place}: column {self.column!r} holds a {_json_kind(text)}, but text was expected. "
                f"Columns: {', '.join(map(repr, row))}. Choose one that holds text with --column."
            )
        return encodable(text or "", f"{self.path}, {place}")


class ParquetReader:
    """One text column of a Parquet file. Parquet has no byte range per row, so the scan copies the column once into an unnamed
    temporary file (in $TMPDIR; as large as the text, gone with the reader), from which documents are then read in any order."""

    def __init__(self, path: Path, column: str):
        self.path, self.column = path, column
        self._copy: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the reader
        weakref.finalize(self, self._copy.close)

    def scan(self) -> Iterator[tuple[int, int, str]]:
        start = row = 0
        for text in self._column():
            data = encodable(text or "", f"{self.path}, row {row}").encode()
            try:
                self._copy.write(data)
            except OSError as error:
                raise DiskFull(
                    f"no space left in {tempfile.gettempdir()} while copying the text of {self.path} ({error.strerror}). "
                    "Free some space there, or set TMPDIR to a folder with room for the text."
                ) from error
            yield start, start + len(data), text or ""
            start, row = start + len(data), row + 1

    def read(self, start: int, stop: int) -> str:
        self._copy.seek(start)
        return self._copy.read(stop - start).decode("utf-8")

    def _column(self) -> Iterator[str | None]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with open_binary(self.path) as file:
                parquet = pq.ParquetFile(file)
                check_text_column(str(self.path), self.column, {field.name: field.type for field in parquet.schema_arrow})
                for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS, columns=[self.column]):
                    yield from batch.column(0).to_pylist()
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            raise UnreadableText(f"{self.path} is not a readable Parquet file ({_first_line(error)}). Write it again.") from error


def check_text_column(source: str, column: str, types: dict[str, Any]) -> None:
    """Raises: UnreadableText if a schema (name -> Arrow type) lacks the column or it is not of text; the message lists the columns."""
    if column not in types:
        raise no_column(source, column, list(types))
    if not _is_text(types[column]):
        texts = ", ".join(repr(name) for name, kind in types.items() if _is_text(kind))
        raise UnreadableText(
            f"column {column!r} of {source} holds {types[column]}, but text was expected. "
            f"Columns of text: {texts or 'none'}. Choose one with --column."
        )


def _is_text(kind: Any) -> bool:
    return str(kind) in {"string", "large_string", "string_view"} or str(kind).startswith("dictionary<values=string")


def open_binary(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise UnreadableText(
            f"{path} cannot be read ({error.strerror}). Expected a text file that you may read: check its permissions."
        ) from error


def read_range(path: Path, start: int, stop: int) -> bytes:
    with open_binary(path) as file:
        file.seek(start)
        data = file.read(stop - start)
    if len(data) != stop - start:
        raise UnreadableText(
            f"{path} became shorter while it was being read: bytes {start} to {stop} are gone. Put the file back and start again."
        )
    return data


def undecodable(path: Path, offset: int, data: bytes) -> UnreadableText:
    encoding = "UTF-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "LATIN1"
    return UnreadableText(
        f"{path} is not UTF-8 at byte {offset}. Expected UTF-8 text: convert it, for example with "
        f"`iconv -f {encoding} -t UTF-8`, or leave the file out if it is not text."
    )


def encodable(text: str, place: str) -> str:
    """The text itself. Raises: UnreadableText for half a surrogate pair, which JSON can spell and no tokenizer can read."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnreadableText(
            f"{place}: the text has half of a surrogate pair at character {error.start}. Mend or remove that document."
        ) from error
    return text


def no_column(source: str, column: str, columns: list[str]) -> UnreadableText:
    near = did_you_mean(column, columns)
    return UnreadableText(
        f"{source} has no column {column!r}.{near} Columns: {', '.join(map(repr, columns)) or 'none'}. Choose one with --column."
    )


def _json_kind(value: Any) -> str:
    return {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
