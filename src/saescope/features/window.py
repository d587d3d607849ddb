"""One example as it is read back: a stretch of text with the feature's activation on each token."""

from dataclasses import dataclass

from saescope.render.view_models import ExampleKind, ExampleView


@dataclass(frozen=True, kw_only=True)
class Window:
    """Tokens around an example's peak, never beyond its row."""

    kind: ExampleKind
    stratum: int
    """0 (strongest) to 14, of a stratum example."""
    ids: tuple[int, ...]
    tokens: tuple[bytes, ...]
    acts: tuple[float, ...]
    """Half precision of max_act; the peak's own is exact."""
    docs: tuple[int, ...]
    """`Document.index` of each token."""
    specials: tuple[int, ...]
    """Indices of special tokens."""
    peak_at: int
    peak: float
    """Activation there; of a near miss the pre-activation."""
    position: int
    """Column of the peak in its sequence."""
    copies: int

    @property
    def doc(self) -> int:
        return self.docs[self.peak_at]

    def view(self) -> ExampleView:
        edges = tuple(i for i in range(1, len(self.docs)) if self.docs[i] != self.docs[i - 1])
        return ExampleView(
            tokens=self.tokens,
            acts=self.acts,
            peak_at=self.peak_at,
            peak=self.peak,
            doc=self.doc,
            position=self.position,
            copies=self.copies,
            ids=self.ids,
            doc_edges=edges,
            specials=self.specials,
        )
