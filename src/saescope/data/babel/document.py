"""`document(seed, i)`: document i of babel, a pure function; its kind, its size and its part of the corpus."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Literal

from saescope.data.babel.draw import Draw
from saescope.data.babel.page import Page, Span
from saescope.data.babel.writers import WRITERS
from saescope.errors import ConfigError, did_you_mean

Part = Literal["train", "select", "report"]
PERMILLE = {
    "story": 500, "python": 80, "json": 40, "html": 40, "csv": 20, "latex": 15, "http": 40, "url": 10, "academic": 40, "legal": 30,
    "base64_text": 10, "base64_random": 10, "hex": 15, "dna": 15, "numbers": 20, "caps": 15, "snake": 10, "caps_snake": 10,
    "arabic": 10, "hebrew": 10, "hangul": 15, "cyrillic": 5, "greek": 5, "han": 5, "devanagari": 1.5, "thai": 1.5, "mixed": 27,
}  # fmt: skip
"""Bytes of each kind in a thousand."""
KINDS = tuple(PERMILLE)
BLOCK = 4096
"""Documents among which kinds and sizes are dealt out exactly: no share is left to chance."""
SMALLEST, LARGEST = 200, 1500


@dataclass(frozen=True)
class BabelDocument:
    """One document: `spans` says which label holds for which of its bytes (`families.LABELS`)."""

    id: int
    kind: str
    page: Page

    @cached_property
    def text(self) -> str:
        return self.page.text()

    @cached_property
    def spans(self) -> list[Span]:
        return self.page.spans()


def document(seed: int, i: int, *, kind: str | None = None) -> BabelDocument:
    """Document i of seed; `kind` asks for another kind than its own (samples of one kind). Raises: ConfigError."""
    if kind is not None and kind not in WRITERS:
        raise ConfigError(f"{kind!r} is no kind of babel's documents.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}.")
    own, size = _dealt(seed, i)
    page = Page()
    WRITERS[kind or own](page, Draw(seed, i), size)
    return BabelDocument(i, kind or own, page)


def part_of(seed: int, i: int) -> Part:
    """Of a hundred documents 90 train, 5 select, 5 report, by hash."""
    bucket = int.from_bytes(blake2b(f"{seed}:{i}:split".encode(), digest_size=8).digest(), "little") % 100
    return "train" if bucket < 90 else "select" if bucket < 95 else "report"


def numbers(seed: int, part: Part | Literal["all"], *, stop: int | None = None) -> Iterator[int]:
    """The documents of a part in order, without end unless `stop` is given. Nothing is generated to pass over the others."""
    i = 0
    while stop is None or i < stop:
        if part == "all" or part_of(seed, i) == part:
            yield i
        i += 1


def _dealt(seed: int, i: int) -> tuple[str, int]:
    """Kind and wanted size: document i gets one of BLOCK equal steps of [0, 1), each step once in a block."""
    u = (_shuffled(seed, i // BLOCK, i % BLOCK) + 0.5) / BLOCK
    for kind, low, high in _intervals():
        if u < high:
            v = (u - low) / (high - low)
            return kind, round(SMALLEST * (LARGEST / SMALLEST) ** v)
    raise AssertionError(u)


@lru_cache
def _intervals() -> tuple[tuple[str, float, float], ...]:
    total, low, out = sum(PERMILLE.values()), 0.0, []
    for kind, share in PERMILLE.items():
        out.append((kind, low, low + share / total))
        low = out[-1][2]
    return (*out[:-1], (out[-1][0], out[-1][1], 1.0))


def _shuffled(seed: int, block: int, x: int) -> int:
    """Place of x in a permutation of 0 .. BLOCK - 1: four Feistel rounds on two halves of six bits."""
    left, right = x >> 6, x & 63
    for table in _rounds(seed, block):
        left, right = right, left ^ (table[right] & 63)
    return left << 6 | right


@lru_cache(64)
def _rounds(seed: int, block: int) -> tuple[bytes, ...]:
    return tuple(blake2b(f"{seed}:{block}:deal:{r}".encode()).digest() for r in range(4))
