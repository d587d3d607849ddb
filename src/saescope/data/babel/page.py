"""What a writer of babel writes on: pieces of text, and marks that say which label holds where."""

from itertools import accumulate

Span = tuple[int, int, int]
"""(byte_start, byte_end, number of the label in `families.LABELS`)."""


class Page:
    """Text in the making.

        at = page.here
        page.write("sum"); page.write(" += 1")
        page.mark(at, PYTHON)          # from there to here

    Of two marks of one family on a byte, the shorter one holds (base64 inside JSON is base64).
    """

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.marks: list[tuple[int, int, int]] = []
        self.write = self.parts.append
        self._measured, self._size = 0, 0

    @property
    def here(self) -> int:
        """Place of the next piece."""
        return len(self.parts)

    def mark(self, at: int, label: int) -> None:
        """The label holds from place `at` to here."""
        self.marks.append((at, len(self.parts), label))

    def word(self, text: str, *labels: int) -> None:
        """One piece with labels of its own."""
        at = len(self.parts)
        self.parts.append(text)
        for label in labels:
            self.marks.append((at, at + 1, label))

    @property
    def size(self) -> int:
        """Bytes written so far."""
        if self._measured < len(self.parts):
            self._size += len("".join(self.parts[self._measured :]).encode())
            self._measured = len(self.parts)
        return self._size

    def text(self) -> str:
        return "".join(self.parts)

    def spans(self) -> list[Span]:
        """Every mark in bytes, the longer ones first, so that painting them in order leaves the shorter one on top."""
        edges = [0, *accumulate(len(part.encode()) for part in self.parts)]
        spans = [(edges[start], edges[end], label) for start, end, label in self.marks if end > start]
        return sorted(spans, key=lambda span: span[0] - span[1])
