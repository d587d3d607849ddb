"""Line plots as SVG: panels of curves over one or two log axes, told apart by colour and by the shape of their points.

Presentation attributes and classes only, no `style`, no ids: a figure stands inside a page with a strict policy, or alone as a file
(`alone=True`: with its namespace, its font and a white ground).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from saescope.render.numbers import short, tick
from saescope.render.svg import at

INK, GREY, LINE = "#1d1b18", "#7a756b", "#e5e0d6"
COLOURS = ("#3b7dd8", "#e8590c", "#2b8a5b", "#9a5bc9", "#a8790a", "#c2417c", "#178a9c", "#8a857b")
"""Of the styles; each has a marker of its own besides, so that a figure reads in grey too."""
DASHES = ("", "5 2.5", "1.5 2.5", "8 2 1.5 2", "3 1.5", "10 4")
PER_ROW = 2
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 356, 232, 46, 12, 36, 20
KEY = 18
"""Height of one line of the legend."""
SIZE = 3.6
"""Half the width of a marker."""


@dataclass(frozen=True)
class Axis:
    """What an axis says, and whether it is logarithmic. `least` and `most` are values that it shows in any case."""

    label: str
    log: bool = False
    least: float | None = None
    most: float | None = None
    whole: bool = False
    """Whole numbers only: no tick in between."""


@dataclass(frozen=True)
class Curve:
    """Points (x, y), joined in order of x. `style` is a number of colour and marker, `dash` one of the line; `dots` are not joined."""

    points: tuple[tuple[float, float], ...]
    style: int = 0
    dash: int = 0
    dots: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes. Points that a log axis cannot show (0 and below) are left out."""

    title: str
    x: Axis
    y: Axis
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Key:
    """One entry of the legend: a style (colour and marker) or, where that is None, a dash."""

    name: str
    style: int | None = None
    dash: int = 0


def figure(panels: Sequence[Panel], keys: Sequence[Key], *, title: str, alone: bool = False) -> Markup:
    """Panels in rows of two below a legend; `title` is what a screen reader says."""
    columns = min(PER_ROW, max(1, len(panels)))
    width = columns * WIDTH
    legend, down = _legend(keys, width)
    body = [legend]
    for i, panel in enumerate(panels):
        body.append(_panel(panel, i % columns * WIDTH, down + i // columns * HEIGHT))
    height = down + math.ceil(len(panels) / columns) * HEIGHT
    return _svg(width, height, title, "".join(body), alone=alone)


def _svg(width: int, height: int, title: str, body: str, *, alone: bool) -> Markup:
    own = f' xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="system-ui, sans-serif"' if alone else ""
    ground = f'<rect width="{width}" height="{height}" fill="#ffffff"/>' if alone else ""
    return Markup(f'<svg{own} class="plot" viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title>{ground}{body}</svg>')


def _panel(panel: Panel, x0: float, y0: float) -> str:
    shown = [(curve, _visible(curve.points, panel), _visible(curve.dots, panel)) for curve in panel.curves]
    everything = [point for _, points, dots in shown for point in (*points, *dots)]
    left, right, top, floor = x0 + LEFT, x0 + WIDTH - RIGHT, y0 + TOP, y0 + HEIGHT - BOTTOM
    parts = [_text(left, y0 + 11, panel.title, "start", ink=True)]
    if not everything:
        return "".join([*parts, _text((left + right) / 2, (top + floor) / 2, "nothing to show", "middle")])
    x_at, x_ticks = _scale(panel.x, [x for x, _ in everything], left, right)
    y_at, y_ticks = _scale(panel.y, [y for _, y in everything], floor, top)
    for value in y_ticks:
        parts.append(f'<path class="axis" stroke="{LINE}" d="M{at(left)} {at(y_at(value))}H{at(right)}"/>')
        parts.append(_text(left - 5, y_at(value) + 3, _said(value), "end"))
    for value in x_ticks:
        parts.append(f'<path class="axis" stroke="{LINE}" d="M{at(x_at(value))} {at(floor)}v4"/>')
        parts.append(_text(x_at(value), floor + 14, _said(value), "middle"))
    parts.append(f'<path class="axis" stroke="{GREY}" fill="none" d="M{at(left)} {at(top)}V{at(floor)}H{at(right)}"/>')
    parts.append(_text((left + right) / 2, floor + 29, panel.x.label, "middle"))
    parts.append(_text(x0 + 11, (top + floor) / 2, panel.y.label, "middle", turned=True))
    for curve, points, dots in shown:
        places = [(x_at(x), y_at(y)) for x, y in sorted(points)]
        parts.append(_line(places, curve.style, curve.dash))
        parts += [f'<circle class="dot" fill="{_colour(curve.style)}" cx="{at(x_at(x))}" cy="{at(y_at(y))}" r="1.6"/>' for x, y in dots]
        parts += [_marker(curve.style, x, y) for x, y in places]
    return "".join(parts)


def _visible(points: Iterable[tuple[float, float]], panel: Panel) -> list[tuple[float, float]]:
    return [
        (x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and not (panel.x.log and x <= 0) and not (panel.y.log and y <= 0)
    ]


def _scale(axis: Axis, values: Sequence[float], start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """From values to places between `start` and `end`, and the values that get a tick."""
    inside = [*values, *(edge for edge in (axis.least, axis.most) if edge is not None and not (axis.log and edge <= 0))]
    measure = math.log10 if axis.log else float
    low, high = measure(min(inside)), measure(max(inside))
    pad = 0.06 * (high - low) or (0.15 if axis.log else 0.5 * abs(low) or 0.5)
    low = low if axis.least is not None and low == measure(axis.least) and not axis.log else low - pad
    high = high if axis.most is not None and high == measure(axis.most) and not axis.log else high + pad
    return lambda value: start + (measure(value) - low) / (high - low) * (end - start), [
        value for value in ticks(low, high, log=axis.log) if not axis.whole or float(value).is_integer()
    ]


def ticks(low: float, high: float, *, log: bool = False, most: int = 7) -> list[float]:
    """Round values in [low, high] (of log10, if `log`): 1-2-5 steps, at most `most` of them."""
    if not log:
        step = 10.0 ** math.floor(math.log10((high - low) / most))
        step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= most)
        return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    exponents = range(math.floor(low), math.ceil(high) + 1)

    def found(steps: Iterable[int]) -> list[float]:
        return [m * 10.0**e for e in exponents for m in steps if low <= math.log10(m * 10.0**e) <= high]

    for steps in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,), range(1, 10)):
        if 3 <= len(marked := found(steps)) <= most:
            return marked
    powers = found((1,))
    return powers[:: math.ceil(len(powers) / most)] if len(powers) > most else found(range(1, 10))


def _said(value: float) -> str:
    """0.05 · 30 · 2k · 1.5M."""
    return short(round(value)).replace(".0", "") if abs(value) >= 1000 else tick(value)


def _line(places: Sequence[tuple[float, float]], style: int, dash: int) -> str:
    if len(places) < 2:
        return ""
    dashes = f' stroke-dasharray="{DASHES[dash % len(DASHES)]}"' if dash % len(DASHES) else ""
    path = "L".join(f"{at(x)} {at(y)}" for x, y in places)
    return f'<path class="curve" fill="none" stroke="{_colour(style)}" stroke-width="1.5"{dashes} d="M{path}"/>'


def _marker(style: int, x: float, y: float) -> str:
    """Circle, square, triangle, diamond, triangle down, cross, plus, ring: by the number of the style."""
    s, colour = SIZE, _colour(style)
    kind = style % len(COLOURS)
    if kind in (0, 7):
        fill = colour if kind == 0 else "none"
        return f'<circle class="mark" fill="{fill}" stroke="{colour}" cx="{at(x)}" cy="{at(y)}" r="{at(s - 0.3)}"/>'
    paths = {
        1: f"M{at(x - s)} {at(y - s)}h{at(2 * s)}v{at(2 * s)}h-{at(2 * s)}z",
        2: f"M{at(x)} {at(y - s - 0.8)}l{at(s + 0.6)} {at(2 * s + 0.4)}h-{at(2 * s + 1.2)}z",
        3: f"M{at(x)} {at(y - s - 1)}l{at(s + 0.8)} {at(s + 1)}l-{at(s + 0.8)} {at(s + 1)}l-{at(s + 0.8)} -{at(s + 1)}z",
        4: f"M{at(x)} {at(y + s + 0.8)}l{at(s + 0.6)} -{at(2 * s + 0.4)}h-{at(2 * s + 1.2)}z",
        5: f"M{at(x - s)} {at(y - s)}l{at(2 * s)} {at(2 * s)}m0 -{at(2 * s)}l-{at(2 * s)} {at(2 * s)}",
        6: f"M{at(x)} {at(y - s - 0.6)}v{at(2 * s + 1.2)}M{at(x - s - 0.6)} {at(y)}h{at(2 * s + 1.2)}",
    }
    drawn = f'fill="none" stroke="{colour}" stroke-width="2"' if kind in (5, 6) else f'fill="{colour}"'
    return f'<path class="mark" {drawn} d="{paths[kind]}"/>'


def _legend(keys: Sequence[Key], width: float) -> tuple[str, int]:
    """The entries in lines as long as the figure is wide, and the height they take."""
    parts, x, y = [], float(LEFT), 11.0
    for key in keys:
        room = 26 + 6.2 * len(key.name) + 14
        if x > LEFT and x + room > width:
            x, y = float(LEFT), y + KEY
        if key.style is None:
            dash = f' stroke-dasharray="{DASHES[key.dash % len(DASHES)]}"' if key.dash % len(DASHES) else ""
            parts.append(f'<path class="key" stroke="{GREY}" stroke-width="1.5"{dash} d="M{at(x)} {at(y)}h20"/>')
        else:
            parts.append(_line([(x, y), (x + 20, y)], key.style, 0) + _marker(key.style, x + 10, y))
        parts.append(_text(x + 26, y + 3.5, key.name, "start", ink=True))
        x += room
    return "".join(parts), round(y + KEY) if keys else 0


def _colour(style: int) -> str:
    return COLOURS[style % len(COLOURS)]


def _text(x: float, y: float, text: str, anchor: str, *, ink: bool = False, turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {at(x)} {at(y)})"' if turned else ""
    return f'<text x="{at(x)}" y="{at(y)}" font-size="10" fill="{INK if ink else GREY}" text-anchor="{anchor}"{turn}>{escape(text)}</text>'
