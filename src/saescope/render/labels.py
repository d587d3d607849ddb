"""Labels of a text beside the latents, neurons and vocabulary entries that stand for them: what the page's table of labels shows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Holder:
    """A latent or a neuron that stands for a label: chosen on selection documents, numbers from report documents."""

    id: int
    precision: float | None
    """Share of its active tokens that have the label."""
    recall: float | None
    """Share of the label's tokens on which it is active."""
    kinds: int
    """Vocabulary entries it fires on."""
    texts: int
    texts_with: int
    """Of its `texts` strongest texts, those in which the label occurs near the peak."""


@dataclass(frozen=True)
class LabelRow:
    """One label; `rule` is the precision of the best list of vocabulary entries at the latent's recall."""

    family: str
    label: str
    base: float | None
    latent: Holder | None
    neuron: Holder | None
    rule: float | None = None


@dataclass(frozen=True)
class LabelTable:
    """The labels of a text, those that have the best latent first."""

    rows: tuple[LabelRow, ...]
    note: str = ""
