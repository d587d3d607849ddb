"""The points of a sweep as a terminal table, as the rows of its page, and as a figure."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from saescope.evals.pareto import Point, Setting, settings
from saescope.render.numbers import NONE, count, number, percent
from saescope.render.plot import Axis, Curve, Key, Panel, figure
from saescope.render.sweep import SweepCell, SweepColumn, SweepRow

if TYPE_CHECKING:
    from rich.table import Table

ORDER = ("relu", "gated", "topk", "jumprelu", "batch_topk", "matryoshka", "transcoder", "crosscoder")
"""Architectures by the style they have in every figure; others take those that are left, or share one."""
COLUMNS = {
    "l0": SweepColumn("L0", "latents/token"),
    "delta_ce": SweepColumn("delta CE", "nats/token"),
    "recovered_zero": SweepColumn("recovered (zero)"),
    "recovered_mean": SweepColumn("recovered (mean)"),
    "fvu": SweepColumn("FVU"),
    "silent": SweepColumn("silent", "of the latents"),
}
_TERMINAL = {"delta_ce": "delta\nCE", "recovered_zero": "recov.\nzero", "recovered_mean": "recov.\nmean"}


def pareto_table(found: Sequence[Point]) -> "Table":
    """A line for each setting: means over its seeds; beside delta CE half of the span between them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    joined = settings(found)
    drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.add_column("SAE\n", no_wrap=True)
    drawn.add_column("latents\n", justify="right", no_wrap=True)
    for name, column in COLUMNS.items():
        drawn.add_column(_TERMINAL.get(name, f"{column.label}\n"), justify="right", no_wrap=True)
    for setting in joined:
        drawn.add_row(setting.name, count(setting.first.d_sae), *(_text(name, setting) for name in COLUMNS))
    return drawn


def pareto_rows(found: Sequence[Point], links: Mapping[str, str]) -> tuple[SweepRow, ...]:
    """The rows of the page: a setting each, with the span over its seeds, and the addresses of its SAEs where `links` has them."""
    return tuple(
        SweepRow(
            name=setting.name,
            at=setting.first.at,
            d_sae=setting.first.d_sae,
            cells=tuple(_cell(name, setting) for name in COLUMNS),
            links=tuple((f"seed {point.seed}", links[point.name]) for point in setting.points if point.name in links),
        )
        for setting in settings(found)
    )


def pareto_figure(found: Sequence[Point], *, alone: bool = False) -> Markup:
    """L0 against loss recovered and against delta CE, two panels for each hook point; a colour and a marker per architecture.

    Settings of one architecture and width are joined in order of L0; single seeds are small dots. Where every hook point has
    one SAE of each architecture, the hook points themselves stand on the axis, in two panels.
    """
    joined = settings(found)
    places = list(dict.fromkeys(setting.first.at for setting in joined))
    styles, dashes = _styles(joined), _dashes(joined)
    keys = [Key(name, style) for name, style in styles.items()]
    if len(set(dashes.values())) > 1:
        keys += [Key(f"{count(width)} latents", None, dash) for width, dash in dashes.items()]

    def curves(group: Sequence[Setting], x: Callable[[Point], float | None], y: str) -> tuple[Curve, ...]:
        return tuple(
            _curve([s for s in group if (s.first.architecture, dashes[s.first.d_sae]) == (name, dash)], x, y, style, dash)
            for name, style in styles.items()
            for dash in sorted(set(dashes.values()))
        )

    def pair(title: str, axis: Axis, group: Sequence[Setting], x: Callable[[Point], float | None]) -> list[Panel]:
        positive = all(value > 0 for s in group if (value := s.mean("delta_ce")) is not None)
        ratio = "recovered_zero" if any(s.mean("recovered_zero") is not None for s in group) else "recovered_mean"
        by = ratio.partition("_")[2]
        return [
            Panel(title, axis, Axis(f"loss recovered ({by} ablation)", most=1.0), curves(group, x, ratio)),
            Panel("", axis, Axis("delta CE, nats per token", log=positive, least=None if positive else 0.0), curves(group, x, "delta_ce")),
        ]

    if len(places) > 1 and len(joined) == len({(s.first.at, s.first.architecture) for s in joined}):
        by_place = Axis(f"hook point: {places[0]} .. {places[-1]}", whole=True)
        panels = pair("", by_place, joined, lambda point: float(places.index(point.at)))
    else:
        l0 = Axis("L0, latents per token", log=True)
        panels = [p for at in places for p in pair(at, l0, [s for s in joined if s.first.at == at], lambda point: point.l0)]
    return figure(panels, keys, title=f"L0, loss recovered and delta CE of {len(found)} SAEs at {', '.join(places)}", alone=alone)


def _curve(group: Sequence[Setting], x: Callable[[Point], float | None], y: str, style: int, dash: int) -> Curve:
    """Means over seeds, and the seeds themselves where there are several."""
    dots = [[(x(point), getattr(point, y)) for point in setting.points] for setting in group]
    known = [[(a, b) for a, b in seeds if a is not None and b is not None] for seeds in dots]
    means = [(sum(a for a, _ in seeds) / len(seeds), sum(b for _, b in seeds) / len(seeds)) for seeds in known if seeds]
    return Curve(tuple(means), style, dash, tuple(dot for seeds in known if len(seeds) > 1 for dot in seeds))


def _styles(joined: Sequence[Setting]) -> dict[str, int]:
    """The architectures in the order of ORDER, and the style of each."""
    names = dict.fromkeys(setting.first.architecture for setting in joined)
    known = {name: place for place, name in enumerate(ORDER) if name in names}
    free = iter([place for place in range(len(ORDER)) if place not in known.values()])
    return known | {name: next(free, place) for place, name in enumerate(names) if name not in known}


def _dashes(joined: Sequence[Setting]) -> dict[int, int]:
    """Line of each width: the widest is solid. All are, where each hook point has one width."""
    widths = sorted({setting.first.d_sae for setting in joined}, reverse=True)
    one_each = len({(s.first.at, s.first.d_sae) for s in joined}) == len({s.first.at for s in joined})
    return {width: 0 if one_each else place for place, width in enumerate(widths)}


def _text(name: str, setting: Setting) -> str:
    spread = setting.spread(name)
    if spread is None:
        return NONE
    half = f" ±{(spread.high - spread.low) / 2:.1g}" if name == "delta_ce" and len(setting.points) > 1 else ""
    return (percent(spread.mean) if name == "silent" else number(spread.mean)) + half


def _cell(name: str, setting: Setting) -> SweepCell:
    spread, share = setting.spread(name), name == "silent"
    if spread is None:
        return SweepCell(None, share=share)
    low, high = (spread.low, spread.high) if len(setting.points) > 1 else (None, None)
    return SweepCell(spread.mean, low, high, share)
