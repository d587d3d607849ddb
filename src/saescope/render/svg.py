"""Small charts as inline SVG: presentation attributes and classes only, no `style`, no ids, so they pass a strict CSP and repeat freely.

Colours are the page's custom properties through the classes `bar`, `axis`, `zero`; outside such a page (a notebook) the
`fill` attributes hold.
"""

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from saescope.render.numbers import count, number, percent, short, tick
from saescope.render.view_models import ActivationHistogram, ConceptView, FeatureRow, LogitHistogram

ORANGE, GREY, BLUE = "#e8590c", "#8a857b", "#3b7dd8"
FEW = 10
"""Tokens below which a share says little."""
QUARTERS = 4
"""Bins per octave of `hist_log`."""


def activation_histogram(hist: ActivationHistogram, *, width: int = 300, height: int = 92) -> Markup:
    """Active tokens by strength: log2 axis, weak to strong from left to right, one tick per octave."""
    shown = _used_octaves(hist.log)
    counts = list(reversed(hist.log[: shown * QUARTERS]))
    plot = height - 16
    bars = _bars(counts, width, plot)
    marks, every = [], 1 if shown <= 6 else 2 if shown <= 11 else 4
    for octave in range(0, shown + 1, every):
        x = width - octave * width / shown
        anchor = "end" if octave == 0 else "start" if octave == shown else "middle"
        marks.append(label(x, height - 3, tick(hist.top / 2**octave), anchor))
        marks.append(f'<path class="axis" stroke="{GREY}" d="M{at(x)} {plot}v3"/>')
    peak = label(0, 9, f"{count(max(counts))} tokens", "start")
    title = f"Activations of {count(sum(hist.log))} active tokens, from {number(hist.top / 2**shown)} to {number(hist.top)}, log axis"
    body = f'<path class="bar" fill="{ORANGE}" d="{bars}"/>{_base(width, plot)}{"".join(marks)}{peak}'
    return drawing(width, height, title, body)


def logit_histogram(hist: LogitHistogram, *, width: int = 300, height: int = 58) -> Markup:
    """How many vocabulary tokens the feature promotes or suppresses by how much; the rule is zero.

    Counts are on a log axis: the tails are the point.
    """
    plot = height - 14
    bars = _bars([math.log1p(n) for n in hist.counts], width, plot)
    zero = ""
    if hist.lo < 0 < hist.hi:
        zero = f'<path class="zero" stroke="{GREY}" stroke-dasharray="2 2" d="M{at(-hist.lo / (hist.hi - hist.lo) * width)} 0V{plot}"/>'
    ends = label(0, height - 3, tick(hist.lo), "start") + label(width, height - 3, tick(hist.hi), "end")
    title = f"Logit effects on {count(sum(hist.counts))} tokens, from {number(hist.lo)} to {number(hist.hi)}, log counts"
    return drawing(width, height, title, f'<path class="bar2" fill="{BLUE}" d="{bars}"/>{zero}{_base(width, plot)}{ends}')


def concept_histogram(concept: ConceptView, *, width: int = 300, height: int = 110) -> Markup:
    """What the active tokens of each interval are: from the floor up those with the label, above them the others; the rule is the
    label's share of the text. Below each bar the number of its tokens; where these are fewer than ten the bar is pale."""
    top, slot = 6, width / max(1, len(concept.intervals))
    plot = height - 30 - top
    bars: list[str] = []
    said: list[str] = []
    for i, interval in enumerate(concept.intervals):
        x, share = i * slot, interval.share
        bars.append(label(x + slot / 2, top + plot + 12, short(interval.n), "middle"))
        said.append(f"{percent(share)} of {count(interval.n)}")
        if share is None:
            continue
        pale = ' fill-opacity="0.35"' if interval.n < FEW else ""
        bars.append(_block("bar", ORANGE, x, top + plot * (1 - share), slot - 1, plot * share, pale))
        bars.append(_block("bar2", BLUE, x, top, slot - 1, plot * (1 - share), f' fill-opacity="{0.15 if pale else 0.4}"'))
    rule = ""
    if concept.base is not None:
        y = top + plot * (1 - concept.base)
        rule = f'<path class="zero" stroke="{GREY}" stroke-dasharray="2 2" d="M0 {at(y)}H{width}"/>'
    ends = label(0, height - 3, "weak", "start") + label(width, height - 3, "strong", "end")
    title = (
        f"Share of active tokens that are {concept.name}, in {len(concept.intervals)} equal intervals of activation from weak to strong: "
        f"{', '.join(said)} tokens. Share in the text: {percent(concept.base)}"
    )
    return drawing(width, height, title, f"{''.join(bars)}{rule}{_base(width, top + plot)}{ends}")


def sparkline(octave_counts: Sequence[int], *, width: int = 64, height: int = 16) -> Markup:
    """The same shape in a table cell: octaves of activation, weak to strong."""
    bars = _bars(list(reversed(octave_counts)), width, height)
    return Markup(
        f'<svg class="spark" viewBox="0 0 {width} {height}" aria-hidden="true"><path class="bar" fill="{ORANGE}" d="{bars}"/></svg>'
    )


def position_histogram(counts: Sequence[int], *, width: int = 300, height: int = 40) -> Markup:
    """Active tokens by position in the sequence, in octaves: 0, 1-2, 3-6, 7-14, ..."""
    used = max((i for i, n in enumerate(counts) if n), default=0) + 1
    plot = height - 14
    bars = _bars(list(counts[:used]), width, plot)
    ends = label(0, height - 3, "start of text", "start") + label(width, height - 3, f"position {count(2**used - 2)}", "end")
    title = f"Active tokens by position, octaves up to position {count(2**used - 2)}"
    return drawing(width, height, title, f'<path class="bar2" fill="{BLUE}" d="{bars}"/>{_base(width, plot)}{ends}')


def density_map(rows: Iterable[FeatureRow], *, width: int = 720, height: int = 250) -> Markup:
    """All features at once: density (x, log) against the largest activation (y, log); a square is darker where features are many."""
    points = [(math.log10(row.density), math.log10(row.max_act)) for row in rows if row.density > 0 and row.max_act > 0]
    if not points:
        return Markup("")
    left, bottom, side = 34, 20, 7
    (x0, x1), (y0, y1) = _decades(x for x, _ in points), _padded(y for _, y in points)
    n_x, n_y = (width - left) // side, (height - bottom) // side
    grid: dict[tuple[int, int], int] = {}
    for x, y in points:
        cell = (min(n_x - 1, int((x - x0) / (x1 - x0) * n_x)), min(n_y - 1, int((y - y0) / (y1 - y0) * n_y)))
        grid[cell] = grid.get(cell, 0) + 1
    top = math.log1p(max(grid.values()))
    by_shade: dict[int, list[str]] = {}
    for (i, j), n in sorted(grid.items()):
        shade = max(1, round(8 * math.log1p(n) / top))
        by_shade.setdefault(shade, []).append(f"M{left + i * side} {(n_y - 1 - j) * side}h{side - 1}v{side - 1}h-{side - 1}z")
    squares = "".join(
        f'<path class="bar" fill="{ORANGE}" fill-opacity="{shade / 8:.3g}" d="{"".join(d)}"/>' for shade, d in sorted(by_shade.items())
    )
    floor = n_y * side
    right = left + n_x * side
    labels = [
        label(
            left + (decade - x0) / (x1 - x0) * (right - left), floor + 13, f"10{_superscript(decade)}", "middle" if decade < x1 else "end"
        )
        for decade in range(x0, x1 + 1)
    ]
    for y in _ticks(y0, y1):
        labels.append(label(left - 5, floor - (math.log10(y) - y0) / (y1 - y0) * floor + 3, tick(y), "end"))
    axis = f'<path class="axis" stroke="{GREY}" fill="none" d="M{left} 0V{floor}H{right}"/>'
    span = f"density from 1e{x0} to 1e{x1} against the largest activation from {number(10**y0)} to {number(10**y1)}"
    title = f"{count(len(points))} living features: {span}"
    return drawing(width, height, title, squares + axis + "".join(labels))


def _used_octaves(log: Sequence[int]) -> int:
    """Octaves below M down to the weakest non-empty bin, at least 4."""
    last = max((i for i, n in enumerate(log) if n), default=0)
    return max(4, math.ceil((last + 1) / QUARTERS))


def _bars(counts: Sequence[float], width: float, height: float) -> str:
    """Path of a bar chart; a non-zero count is at least one unit high."""
    top, slot = max(counts, default=0) or 1, width / max(1, len(counts))
    gap = 1 if slot > 3 else 0.4
    out = []
    for i, n in enumerate(counts):
        if n:
            h = max(1.0, n / top * (height - 2))
            out.append(f"M{at(i * slot)} {height}v-{at(h)}h{at(slot - gap)}v{at(h)}z")
    return "".join(out)


def _block(name: str, colour: str, x: float, y: float, width: float, height: float, more: str = "") -> str:
    """A rectangle, left out where it has no height."""
    return f'<path class="{name}" fill="{colour}"{more} d="M{at(x)} {at(y)}h{at(width)}v{at(height)}h-{at(width)}z"/>' if height else ""


def drawing(width: int, height: int, title: str, body: str) -> Markup:
    """The whole chart; a screen reader says its title."""
    return Markup(f'<svg viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title>{body}</svg>')


def label(x: float, y: float, text: str, anchor: str) -> str:
    """Small grey text; `anchor` is start, middle or end."""
    return f'<text x="{at(x)}" y="{at(y)}" font-size="10" fill="{GREY}" text-anchor="{anchor}">{escape(text)}</text>'


def _base(width: int, y: int) -> str:
    return f'<path class="axis" stroke="{GREY}" d="M0 {y}H{width}"/>'


def at(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def _decades(values: Iterable[float]) -> tuple[int, int]:
    ordered = sorted(values)
    return math.floor(ordered[0]), max(math.floor(ordered[0]) + 1, math.ceil(ordered[-1]))


def _padded(values: Iterable[float]) -> tuple[float, float]:
    ordered = sorted(values)
    pad = max(0.05, 0.04 * (ordered[-1] - ordered[0]))
    return ordered[0] - pad, ordered[-1] + pad


def _ticks(lo: float, hi: float) -> list[float]:
    """Round values inside [10**lo, 10**hi]: powers of ten, or 1-2-5 steps when there are fewer than three."""
    exponents = range(math.floor(lo), math.ceil(hi) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        ticks = [m * 10.0**e for e in exponents for m in steps if lo <= math.log10(m * 10.0**e) <= hi]
        if len(ticks) >= 3:
            return ticks
    return ticks


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
