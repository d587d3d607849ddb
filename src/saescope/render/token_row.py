"""Bytes to characters for a window of tokens: what a row of text shows, exactly, without replacement characters or mojibake.

The bytes of neighbouring tokens are joined and decoded once; then the text is cut at the token edges. Tokens whose edge falls
inside a character form one `Cell`. What cannot be seen is written as a mark:

    undecodable bytes  ⟨E2 80⟩        control, bidi, zero-width, unassigned  ⟨U+202E⟩        newline  ⏎        tab  ⇥

The marks' own signs, when they occur in the text, are marked too (⟨U+23CE⟩), so marking is one to one: `unmark(mark(b)) == b`.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

NEWLINE, TAB = "⏎", "⇥"
_OWN_SIGNS = {NEWLINE, TAB, "⟨"}
_INVISIBLE = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
# Blank, yet letters or symbols by category: Hangul fillers, the combining grapheme joiner, braille blank; and U+FFFD: it would
# look like an error of ours.
_BLANK = {"\u115f", "\u1160", "\u3164", "\uffa0", "\u034f", "\u2800", "\ufffd", "\ufffc"}
_SPECIAL = _OWN_SIGNS | _BLANK
_MARK = re.compile(r"⟨U\+([0-9A-F]{4,6})⟩|⟨([0-9A-F]{2}(?: [0-9A-F]{2})*)⟩|([⏎⇥])")


@dataclass(frozen=True)
class Piece:
    """Part of a cell: characters shown as they are, or one mark."""

    text: str
    is_mark: bool


@dataclass(frozen=True)
class Cell:
    """The tokens [start, stop) that are drawn as one: one token, or several that share a character."""

    start: int
    stop: int
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The cell as plain text, marks included."""
        return "".join(piece.text for piece in self.pieces)


def cells(tokens: Sequence[bytes], walls: Collection[int] = ()) -> list[Cell]:
    """The cells of a window of tokens, in order; every token is in exactly one.

    `walls` are indices before which characters never join (another document, a special token).
    """
    bounds = sorted({0, len(tokens), *(wall for wall in walls if 0 < wall < len(tokens))})
    return [cell for start, stop in pairwise(bounds) for cell in _segment(tokens, start, stop)]


def _segment(tokens: Sequence[bytes], first: int, last: int) -> Iterator[Cell]:
    """Cells of tokens [first, last), decoded together."""
    text = b"".join(tokens[first:last]).decode("utf-8", "surrogateescape")
    at, byte = 0, 0  # the next character, and the byte where it begins
    start, end = first, 0
    for index in range(first, last):
        end += len(tokens[index])
        begin = at
        while byte < end:
            byte += _width(text[at])
            at += 1
        if byte > end:  # the character goes on in the next token
            at, byte = begin, byte - sum(map(_width, text[begin:at]))
            continue
        yield Cell(start, index + 1, tuple(pieces(text[begin:at])))
        start = index + 1


def _width(char: str) -> int:
    """Bytes of a character in UTF-8; an escaped undecodable byte is one."""
    return 1 if "\udc80" <= char <= "\udcff" else len(char.encode())


def pieces(text: str) -> Iterator[Piece]:
    """Runs of plain characters and marks; undecodable bytes come in as surrogate escapes."""
    for kind, run in _runs(text):
        if kind == "plain":
            yield Piece(run, False)
        elif kind == "bytes":
            yield Piece(f"⟨{' '.join(f'{ord(char) - 0xDC00:02X}' for char in run)}⟩", True)
        else:
            yield from (Piece(_sign(char), True) for char in run)


def _runs(text: str) -> Iterator[tuple[str, str]]:
    """Longest runs of one kind: "plain", "bytes" (undecodable) or "mark"."""
    if text.isprintable() and _SPECIAL.isdisjoint(text):  # nearly all text, and much faster
        if text:
            yield "plain", text
        return
    begin = 0
    kinds = [_kind(char) for char in text]
    for i in range(1, len(text) + 1):
        if i == len(text) or kinds[i] != kinds[begin]:
            yield kinds[begin], text[begin:i]
            begin = i


def _kind(char: str) -> str:
    if " " <= char <= "~":
        return "plain"
    if "\udc80" <= char <= "\udcff":
        return "bytes"
    return "mark" if char in _SPECIAL or unicodedata.category(char) in _INVISIBLE else "plain"


def _sign(char: str) -> str:
    return {"\n": NEWLINE, "\t": TAB}.get(char, f"⟨U+{ord(char):04X}⟩")


def mark(data: bytes) -> str:
    """Bytes as readable text; one to one."""
    return "".join(piece.text for piece in pieces(data.decode("utf-8", "surrogateescape")))


def visible(text: str) -> str:
    """Text that may hold marks already, with what is still invisible marked; line breaks stay. Idempotent, not one to one."""
    if text.isprintable() and _BLANK.isdisjoint(text):
        return text
    return "".join(
        char if char == "\n" or _kind(char) == "plain" or char in _OWN_SIGNS else mark(char.encode("utf-8", "surrogatepass"))
        for char in text
    )


def unmark(text: str) -> bytes:
    """The bytes of marked text."""

    def raw(match: re.Match) -> str:
        point, undecodable, sign = match.groups()
        if point:
            return chr(int(point, 16))
        return bytes.fromhex(undecodable).decode("utf-8", "surrogateescape") if undecodable else {NEWLINE: "\n", TAB: "\t"}[sign]

    return _MARK.sub(raw, text).encode("utf-8", "surrogateescape")


def hexadecimal(data: bytes) -> str:
    """ "E2 80 99"."""
    return data.hex(" ").upper()
