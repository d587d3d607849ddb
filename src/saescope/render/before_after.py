"""Before and after: the top texts of a neuron beside those of a feature, and how much each agree. View, and terminal rendering."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from saescope.render.numbers import count, number, percent, signed
from saescope.render.rows import readable
from saescope.render.terminal import TokenRow
from saescope.render.view_models import ExampleView

Better = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True)
class TextsColumn:
    """Some texts that one neuron, one feature, or chance picks."""

    title: str
    how: str
    """How they, and the neuron or feature, were chosen."""
    examples: tuple[ExampleView, ...]
    labels: tuple[str, ...] = ()
    """What each text is about, "" where nothing is known; as long as `examples`, or empty."""
    max_act: float = 0.0


@dataclass(frozen=True)
class MeasureCell:
    """How much the texts of the neuron or the feature agree. What does not exist is None."""

    value: float | None
    z: float | None = None
    """Standard deviations above the mean of random sets of texts."""
    among_neurons: float | None = None
    """Share of all neurons whose texts score lower (half of those that score the same)."""
    among_latents: float | None = None


@dataclass(frozen=True, kw_only=True)
class MeasureRow:
    """One measure of agreement: the pair, chance, and the medians of everybody."""

    name: str
    about: str
    better: Better
    """Which way is more agreement."""
    neuron: MeasureCell
    feature: MeasureCell
    random: float | None
    random_sd: float | None
    neurons: float | None
    """Median of all neurons that were measured."""
    latents: float | None


@dataclass(frozen=True, kw_only=True)
class BeforeAfterView:
    """The two-column card: columns of the neuron, the feature, and random texts."""

    columns: tuple[TextsColumn, ...]
    measures: tuple[MeasureRow, ...]
    n_texts: int
    """Texts that are measured, of which a few are shown."""
    n_neurons: int
    """Neurons in the medians."""
    n_latents: int
    notes: tuple[str, ...] = ()
    """What it was measured on, and what was left out."""


def before_after_text(view: BeforeAfterView) -> RenderableType:
    """The card for `rich.print`: the measures, then the texts of each column."""
    parts: list[RenderableType] = [_measures(view)]
    for column in view.columns:
        parts += [Text(), *_column(column)]
    return Group(*parts, Text(), *(Text(note, style="dim") for note in view.notes))


def _measures(view: BeforeAfterView) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(f"{view.n_texts} texts each")
    medians = (f"median of\n{count(view.n_neurons)} neurons", f"median of\n{count(view.n_latents)} latents")
    for heading in (*(column.title.replace(" ", "\n") for column in view.columns), *medians):
        table.add_column(heading, justify="right")
    for row in view.measures:
        chance = number(row.random) + (f"\n± {number(row.random_sd)}" if row.random_sd is not None else "")
        table.add_row(row.name, _cell(row.neuron), _cell(row.feature), chance, number(row.neurons), number(row.latents))
    return table


def _cell(cell: MeasureCell) -> Text:
    """The value, and below it where it stands."""
    shares = ((cell.among_neurons, "neurons"), (cell.among_latents, "latents"))
    lines = [f"> {percent(share)} {who}" for share, who in shares if share is not None]
    lines = [f"z {signed(cell.z)}", *lines] if cell.z is not None else lines
    return Text.assemble((number(cell.value), "bold"), *((f"\n{line}", "dim") for line in lines))


def _column(column: TextsColumn) -> Iterator[RenderableType]:
    yield Rule(Text(column.title, style="bold"), align="left", style="dim")
    yield Text(column.how, style="dim")
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False, pad_edge=False, expand=True)
    table.add_column(justify="right", width=7, style="dim")
    table.add_column(ratio=1)
    for k, example in enumerate(column.examples):
        label = Text(f"[{readable(column.labels[k])}]", style="dim") if column.labels and column.labels[k] else Text()
        row: RenderableType = TokenRow(example, column.max_act)
        table.add_row(number(example.peak) if column.max_act else "", Group(row, label) if label.plain else row)
    yield table
