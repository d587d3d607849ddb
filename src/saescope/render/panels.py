"""The panels: Jinja2 macros over view models, shared by the static page, the live pages and the notebook card.

Autoescape is on everywhere; markup comes from macros and from the functions of `svg.py` and `rows.py`, which escape what they
are given. A missing name in a template is an error, never an empty string.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from saescope.render import numbers, rows, svg
from saescope.render.curve_chart import curve_chart, curve_key
from saescope.render.token_row import visible
from saescope.render.view_models import octaves

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment(*folders: Path) -> Environment:
    """The template environment: `folders` are searched before the panels of `render/templates`."""
    made = Environment(loader=FileSystemLoader([*folders, TEMPLATES]), autoescape=True, undefined=StrictUndefined, finalize=_finalize)
    made.trim_blocks = made.lstrip_blocks = True
    made.filters.update(
        number=numbers.number,
        percent=numbers.percent,
        share=numbers.share,
        count=numbers.count,
        signed=numbers.signed,
        token=rows.token_html,
        octaves=octaves,
    )
    made.globals.update(
        activation_histogram=svg.activation_histogram,
        concept_histogram=svg.concept_histogram,
        curve_chart=curve_chart,
        curve_key=curve_key,
        logit_histogram=svg.logit_histogram,
        position_histogram=svg.position_histogram,
        density_map=svg.density_map,
        sparkline=svg.sparkline,
        row=rows.row_html,
        inline_row=rows.inline_row_html,
        share_step=share_step,
        KIND_TITLES=KIND_TITLES,
        KIND_NOTES=KIND_NOTES,
    )
    return made


def _finalize(value: object) -> object:
    """Names, labels and facts come from anywhere: a NUL or a bidi override in them is shown, not obeyed."""
    return visible(value) if type(value) is str else value


def share_step(values: Sequence[float], value: float) -> int:
    """Length of a value's bar in a list, 0 to 16 of the list's largest."""
    top = max((abs(v) for v in values), default=0)
    return round(16 * abs(value) / top) if top else 0


KIND_TITLES = {"top": "Strongest", "random": "Random active", "stratum": "Stratum", "near_miss": "Near misses"}
KIND_NOTES = {
    "top": "one per document",
    "random": "drawn evenly from all active tokens",
    "stratum": "drawn from this range of activations",
    "near_miss": "silent tokens closest to firing",
}
