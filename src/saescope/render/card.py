"""The card of one feature outside the explorer: markup for a notebook, and a coloured renderable for a terminal."""

from collections.abc import Iterator

from markupsafe import Markup

from saescope.render.panels import KIND_NOTES, KIND_TITLES, environment
from saescope.render.rows import inline_row_html
from saescope.render.terminal import card_text
from saescope.render.view_models import FeatureCard

__all__ = ["card_html", "card_text"]

MAX_BYTES = 40_000
CONTEXT = 14
"""Tokens each side of the peak."""
EXAMPLES = {"top": 8, "random": 5}
_ROWS_BUDGET = 24_000
"""Bytes of example rows; the rest of the card is below 16 kB, because its lists are cut at ten."""


def card_html(card: FeatureCard) -> str:
    """One `<article>` below 40 kB: statistics, histogram, logit effects, examples. No script, no stylesheet, nothing fetched.

    Strong tokens stand in `<mark>` with their activation beside them, so a viewer that strips `style` still shows them.
    """
    return environment().get_template("notebook.html").render(c=card, groups=list(_groups(card)))


def _groups(card: FeatureCard) -> Iterator[tuple[str, str, list[Markup]]]:
    left = _ROWS_BUDGET
    for group in card.groups:
        rows: list[Markup] = []
        for example in group.examples[: EXAMPLES.get(group.kind, 0)]:
            row = inline_row_html(example, card.max_act, context=CONTEXT)
            if (size := len(row.encode())) <= left:
                left -= size
                rows.append(row)
        if rows:
            yield group.title or KIND_TITLES[group.kind], KIND_NOTES[group.kind], rows
