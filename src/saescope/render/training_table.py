"""The SAEs of a run while they train, as a table in a terminal: one row each, from the last record."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from saescope.render.numbers import number, percent
from saescope.render.rows import readable

LOSS_TERMS = ("mse", "sparsity", "auxk", "aux", "pre_act", "end_to_end")
"""Named terms that a record may hold; their sum is the loss."""
LEAST_WINDOW = 1e-5
"""Share of (token, latent) pairs near a threshold, below which the threshold hardly learns."""

Facts = Mapping[str, Any]


def training_table(rows: Mapping[str, Facts]) -> Table:
    """Name, FVU, L0, dead share, loss and learning rate of each SAE, and a word where something is wrong."""
    notes = {name: ", ".join(training_notes(facts)) for name, facts in rows.items()}
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("SAE", overflow="ellipsis", no_wrap=True, max_width=40)
    for title in ("FVU", "L0", "dead", "loss", "lr"):
        table.add_column(title, justify="right", no_wrap=True, min_width=6)  # of a narrow terminal the names give way
    if any(notes.values()):
        table.add_column("", style="yellow", overflow="fold")
    for name, facts in rows.items():
        cells = [number(_float(facts.get(key))) for key in ("fvu", "l0")]
        cells += [percent(facts.get("dead")), number(loss(facts)), number(_float(facts.get("lr")))]
        table.add_row(Text(readable(name)), *cells, *([notes[name]] if any(notes.values()) else []))
    return table


def training_ranges(rows: Mapping[str, Facts]) -> str:
    """The same in one line: "12 SAEs  fvu 0.051 .. 0.31  L0 8.00 .. 64.0  dead 0 % .. 4.1 %"."""
    shown: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
        ("fvu", "fvu", number),
        ("L0", "l0", number),
        ("dead", "dead", percent),
    )
    parts = [f"{len(rows)} SAEs"]
    for title, key, text in shown:
        values = [value for facts in rows.values() if (value := _float(facts.get(key))) is not None]
        parts += [f"{title} {_range(map(text, (min(values), max(values))))}"] if values else []
    return "  ".join(parts)


def loss(facts: Facts) -> float | None:
    """The sum of the loss terms in a record; None where it holds none."""
    terms = [value for name in LOSS_TERMS if (value := _float(facts.get(name))) is not None]
    return sum(terms) if terms else None


def training_notes(facts: Facts) -> list[str]:
    """What is wrong with one SAE, in a few words each."""
    window = _float(facts.get("window"))
    return [f"window {number(window)}: thresholds hardly learn"] if window is not None and window < LEAST_WINDOW else []


def _range(ends: Iterable[str]) -> str:
    low, high = ends
    return low if low == high else f"{low} .. {high}"


def _float(value: Any) -> float | None:
    """None for what is no number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
