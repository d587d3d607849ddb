"""Every choice of a document: 64-bit words from BLAKE2b(seed, document, block), the same on every machine and in every Python."""

from collections.abc import Sequence
from hashlib import blake2b
from struct import unpack
from typing import TypeVar

T = TypeVar("T")
_BLOCK = 8
"""Words of one digest."""


class Draw:
    """The words of document i, one after the other.

    Integers below n come from `word % n`: for n <= 2**20 the bias is below 2**-44.
    """

    def __init__(self, seed: int, i: int):
        self._key = f"{seed}:{i}:".encode()
        self._block = 0
        self._words: list[int] = []

    def word(self) -> int:
        """The next 64 bits."""
        if not self._words:
            self._words = list(unpack("<8Q", self._digest()))
        return self._words.pop()

    def below(self, n: int) -> int:
        """0 .. n - 1, each as likely."""
        if not self._words:
            self._words = list(unpack("<8Q", self._digest()))
        return self._words.pop() % n

    def between(self, low: int, high: int) -> int:
        """low .. high, both included."""
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def chance(self, percent: int) -> bool:
        return self.below(100) < percent

    def characters(self, alphabet: bytes, n: int) -> str:
        """n independent characters of an alphabet whose size is a power of two, at most 256: one byte of a digest each."""
        table = alphabet * (256 // len(alphabet))
        return b"".join(self._digest() for _ in range(-(-n // 64)))[:n].translate(table).decode()

    def shuffled(self, items: Sequence[T]) -> list[T]:
        left, out = list(items), []
        while left:
            out.append(left.pop(self.below(len(left))))
        return out

    def _digest(self) -> bytes:
        self._block += 1
        return blake2b(self._key + b"%d" % self._block).digest()
