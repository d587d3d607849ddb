"""One example as a row of markup: active tokens tinted, silent ones merged into plain text.

The *row* is `dir="auto"` and its tokens are plain inline elements without margins, so Arabic letters still join across tokens.
Context beyond `NEAR` and `MIDDLE` tokens of the peak is wrapped in spans that the page's context switch hides.
"""

import re
from collections.abc import Callable, Iterator
from itertools import groupby

from markupsafe import Markup, escape

from saescope.render.numbers import number
from saescope.render.token_row import NEWLINE, Cell, cells, hexadecimal, visible
from saescope.render.view_models import ExampleView

STEPS = 32
NEAR, MIDDLE = 5, 16
"""Tokens each side of the peak that the narrow and the middle context show."""
SPACE = "␣"
_SIGN = re.compile(r"⟨[^⟨⟩]{1,60}⟩|[⏎⇥␣]")
Paint = Callable[[Cell, ExampleView, float], str]


def step(act: float, max_act: float) -> int:
    """Tint of an activation, 0 (silent) to 32 (the feature's maximum); anything that fires is at least 1. Sign dropped."""
    if act == 0 or max_act <= 0:
        return 0
    return max(1, round(STEPS * min(1.0, abs(act) / max_act)))


def tint_class(act: float, max_act: float) -> str:
    """ "t17" for positive, "n17" for negative activations, "" for silent tokens."""
    tint = step(act, max_act)
    return f"{'n' if act < 0 else 't'}{tint}" if tint else ""


def row_html(example: ExampleView, max_act: float, *, context: int | None = None) -> Markup:
    """The row of one example for pages with the stylesheet (classes t1..t32, p peak, k2..k6 tokens in a group)."""
    return Markup("").join(Markup(part) for part in _parts(example, max_act, _paint_class, context))


def inline_row_html(example: ExampleView, max_act: float, *, context: int | None = None) -> Markup:
    """The row of one example that needs no stylesheet and survives sanitising: `<mark>` and, on strong tokens, the number."""
    return Markup("").join(Markup(part) for part in _parts(example, max_act, _paint_inline, context, tiers=False))


def _parts(example: ExampleView, max_act: float, paint: Paint, context: int | None, *, tiers: bool = True) -> Iterator[str]:
    edges, specials = set(example.doc_edges), set(example.specials)
    walls = edges | specials | {index + 1 for index in specials}
    shown = [cell for cell in cells(example.tokens, walls) if context is None or _distance(cell, example.peak_at) <= context]
    for tier, near in groupby(shown, key=lambda cell: _tier(cell, example.peak_at) if tiers else ""):
        if tier:
            yield f"<span class={tier}>"
        for cell in near:
            if cell.start in edges:
                yield '<i class=d role=separator aria-label="another document begins"></i>'
            if cell.start in specials:
                yield f'<u title="special token, not counted">{_text(cell)}</u>'
            elif any(example.acts[cell.start : cell.stop]) or cell.start <= example.peak_at < cell.stop:
                yield paint(cell, example, max_act)
            else:
                yield _text(cell)
        if tier:
            yield "</span>"


def _distance(cell: Cell, peak_at: int) -> int:
    """Tokens between a cell and the peak."""
    return max(cell.start - peak_at, peak_at - (cell.stop - 1), 0)


def _tier(cell: Cell, peak_at: int) -> str:
    distance = _distance(cell, peak_at)
    return "" if distance <= NEAR else "m" if distance <= MIDDLE else "f"


def _text(cell: Cell) -> str:
    """Escaped text of a cell; a newline's mark is followed by a place to break the line."""
    out = []
    for piece in cell.pieces:
        text = escape(piece.text)
        out.append(f"<small>{text}</small>{'<wbr>' if piece.text == NEWLINE else ''}" if piece.is_mark else text)
    return "".join(out)


def _strongest(cell: Cell, example: ExampleView) -> float:
    return max(example.acts[cell.start : cell.stop], key=abs)


def describe(cell: Cell, example: ExampleView) -> str:
    """What hovering tells: the value and the token's id; for a group, each token's bytes and value."""
    if cell.stop - cell.start == 1:
        ident = f" · id {example.ids[cell.start]}" if example.ids else ""
        raw = f" · bytes {hexadecimal(example.tokens[cell.start])}" if any(p.is_mark for p in cell.pieces) else ""
        return f"{number(example.acts[cell.start])}{ident}{raw}"
    each = ", ".join(f"{hexadecimal(example.tokens[i]) or 'no bytes'} → {number(example.acts[i])}" for i in range(cell.start, cell.stop))
    return f"{cell.stop - cell.start} tokens: {each}"


def _paint_class(cell: Cell, example: ExampleView, max_act: float) -> str:
    peak = cell.start <= example.peak_at < cell.stop
    n_tokens = cell.stop - cell.start
    names = [tint_class(_strongest(cell, example), max_act), "p" if peak else "", f"k{min(n_tokens, 6)} k" if n_tokens > 1 else ""]
    names.append("e" if not cell.pieces else "")
    classes = " ".join(filter(None, names))
    quoted = f'"{classes}"' if " " in classes else classes
    return f'<b class={quoted} title="{escape(describe(cell, example))}"{" tabindex=0" if peak else ""}>{_text(cell)}</b>'


def _paint_inline(cell: Cell, example: ExampleView, max_act: float) -> str:
    act = _strongest(cell, example)
    alpha = 0.12 + 0.68 * step(act, max_act) / STEPS if act else 0.0
    hue = "64,132,214" if act < 0 else "245,138,31"
    peak = cell.start <= example.peak_at < cell.stop
    value = f'<sub style="opacity:.75;font-size:.7em">{number(act)}</sub>' if peak or step(act, max_act) > STEPS // 2 else ""
    style = f"background:rgba({hue},{alpha:.2f});color:inherit;border-radius:2px" + (
        ";outline:1px solid rgba(128,128,128,.6)" if peak else ""
    )
    return f'<mark style="{style}" title="{escape(describe(cell, example))}">{_text(cell)}</mark>{value}'


def token_html(token: str) -> Markup:
    """A token of a list, from `Tokenizer.display`, with its signs (⏎, ⟨E2 80⟩) set apart and spaces at its ends as ␣."""
    return Markup(_SIGN.sub(r"<small>\g<0></small>", str(escape(readable(token)))))


def readable(token: str) -> str:
    """A display text in which nothing is invisible or acts on its surroundings: spaces at the ends are ␣, controls are marked."""
    inner = token.strip(" ")
    before, after = len(token) - len(token.lstrip(" ")), len(token) - len(token.rstrip(" ")) if inner else 0
    return SPACE * before + visible(inner) + SPACE * after
