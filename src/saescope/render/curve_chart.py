"""One chart of a run's course as inline SVG: tokens across, a line per SAE in the colours and dashes of `plot`."""

import math
from collections.abc import Callable

from markupsafe import Markup

from saescope.render.numbers import short, tick
from saescope.render.plot import COLOURS, DASHES, ticks
from saescope.render.svg import GREY, at, drawing, label
from saescope.render.training_curves import SHARES, CurvePanel, TrainingCurve

LOG_FROM = 20
"""Ratio of largest to smallest value from which on the axis is logarithmic, but for ..."""
LINEAR = ("dead", "lr", "pairs", "resampled", "skipped_steps", "sparsity_scale")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 300, 128, 40, 6, 18
SAID, BANDED = 4, 3
"""Curves that a screen reader is told of by name; curves up to which each has a band of its range."""


def curve_chart(panel: CurvePanel) -> Markup:
    """The panel, with a log axis where the values span it. A linear axis begins at 0."""
    floor, span = HEIGHT - BOTTOM, WIDTH - LEFT - 6
    lows, highs = zip(*((low, high) for curve in panel.curves for _, _, low, high in curve.points), strict=True)
    means = [mean for curve in panel.curves for _, mean, _, _ in curve.points]
    log = panel.key not in LINEAR and min(lows) > 0 and max(means) / min(means) >= LOG_FROM
    measure = math.log10 if log else float
    low, high = measure(min(lows)) if log else min(0.0, min(lows)), measure(max(highs))
    high = high if high > low else low + 1
    room = 0.04 * (high - low)
    low, high = low - room if log or low < 0 else low, high + room
    tokens = max(curve.points[-1][0] for curve in panel.curves)

    def x_at(value: float) -> float:
        return LEFT + value / tokens * span

    def y_at(value: float) -> float:
        return floor - (measure(value) - low) / (high - low) * (floor - TOP)

    marks = []
    for value in ticks(low, high, log=log, most=4):
        marks.append(f'<path class="axis" stroke="{GREY}" stroke-opacity="0.35" d="M{LEFT} {at(y_at(value))}H{WIDTH}"/>')
        marks.append(label(LEFT - 5, y_at(value) + 3, f"{100 * value:.3g} %" if panel.key in SHARES else tick(value), "end"))
    for value in ticks(0, tokens, most=4):
        marks.append(f'<path class="axis" stroke="{GREY}" d="M{at(x_at(value))} {floor}v3"/>')
        marks.append(label(x_at(value), HEIGHT - 4, short(round(value)) if value else "0", "end" if x_at(value) > WIDTH - 12 else "middle"))
    lines = "".join(_line(curve, x_at, y_at, banded=len(panel.curves) <= BANDED) for curve in panel.curves)
    return drawing(WIDTH, HEIGHT, _said(panel, log=log), "".join(marks) + lines)


def curve_key(style: int) -> Markup:
    """A short line in the style of one SAE, for the legend."""
    line = f'<path {_stroke(style)} d="M0 4H24"/>'
    return Markup(f'<svg class="key" viewBox="0 0 24 8" width="24" height="8" aria-hidden="true">{line}</svg>')


def _line(curve: TrainingCurve, x_at: Callable[[float], float], y_at: Callable[[float], float], *, banded: bool) -> str:
    places = [(at(x_at(x)), at(y_at(mean)), at(y_at(low)), at(y_at(high))) for x, mean, low, high in curve.points]
    band = ""
    if banded and any(low != high for _, _, low, high in places):
        there = "L".join(f"{x} {high}" for x, _, _, high in places)
        back = "L".join(f"{x} {low}" for x, _, low, _ in reversed(places))
        band = f'<path fill="{COLOURS[curve.style % len(COLOURS)]}" fill-opacity="0.15" d="M{there}L{back}z"/>'
    path = "L".join(f"{x} {mean}" for x, mean, _, _ in places) + ("h0.1" if len(places) == 1 else "")
    return f'{band}<path {_stroke(curve.style)} stroke-linecap="round" d="M{path}"/>'


def _stroke(style: int) -> str:
    dash = DASHES[style // len(COLOURS) % len(DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{COLOURS[style % len(COLOURS)]}" stroke-width="1.5"{dashes}'


def _said(panel: CurvePanel, *, log: bool) -> str:
    """What a screen reader says of a chart."""
    few = panel.curves[:SAID]
    ways = [f"{curve.name} from {panel.text(curve.points[0][1])} to {panel.text(curve.last)}" for curve in few]
    more = f", and {len(panel.curves) - len(few)} more" if len(panel.curves) > len(few) else ""
    return f"{panel.title} against tokens{', log axis' if log else ''}: {'; '.join(ways)}{more}"
