"""What the page of a sweep shows, as frozen values."""

from dataclasses import dataclass

from markupsafe import Markup

from saescope.render.training_curves import TrainingCurves
from saescope.render.view_models import Fact


@dataclass(frozen=True)
class SweepColumn:
    """One number of the table."""

    label: str
    unit: str = ""


@dataclass(frozen=True)
class SweepCell:
    """Its mean over seeds, and their least and largest where there are several."""

    value: float | None
    low: float | None = None
    high: float | None = None
    share: bool = False
    """Shown as a percentage."""


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """One setting."""

    name: str
    at: str
    d_sae: int
    cells: tuple[SweepCell, ...]
    links: tuple[tuple[str, str], ...] = ()
    """(text, address) of the pages of its SAEs."""


@dataclass(frozen=True, kw_only=True)
class SweepPage:
    """The page of many SAEs trained on one stream."""

    title: str
    facts: tuple[Fact, ...]
    columns: tuple[SweepColumn, ...]
    rows: tuple[SweepRow, ...]
    note: str
    figure: Markup
    """Made by `plot.figure`."""
    figure_note: str = ""
    training: TrainingCurves | None = None
    """How they were trained, a line for each."""
    command: str = ""
    provenance: tuple[Fact, ...] = ()
    warnings: tuple[str, ...] = ()
