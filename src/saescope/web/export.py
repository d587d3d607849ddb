"""The static page of a run: one file that opens offline, holds no external address, and reads without JavaScript."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from saescope.disk import write_text
from saescope.render.panels import environment
from saescope.render.rows import STEPS, readable
from saescope.render.sweep import SweepPage
from saescope.render.view_models import FLAGS, FeatureCard, FeatureRow, RunPage

HERE = Path(__file__).parent
MODULES = ("theme.js", "tokens.js", "table.js")
STATIC_ROWS = 200
"""Rows of the table of all features that are there without JavaScript."""
EXAMPLES = {"top": 10, "random": 10, "stratum": 1, "near_miss": 3}
"""Examples of each group on a card of the page; the bundle keeps more."""
LISTED, NEIGHBOURS = 10, 6
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def write_run_page(path: Path | str, page: RunPage) -> int:
    """Write the page, replacing the file whole; returns its size in bytes. Raises: DiskFull, OutputNotWritable."""
    html = run_page_html(page)
    write_text(path, html)
    return len(html.encode())


def run_page_html(page: RunPage) -> str:
    """The page as text: stylesheet and scripts inline, their hashes in the content security policy, nothing else allowed."""
    style = stylesheet()
    scripts = [(HERE / "static" / name).read_text(encoding="utf-8") for name in MODULES]
    return (
        environment(HERE / "templates")
        .get_template("shells/static.html")
        .render(
            page=page,
            cards=[short(card) for card in page.cards],
            # Our own files, hashed into the policy below: the only markup not made by a macro.
            style=Markup(style),
            scripts=[Markup(script) for script in scripts],
            policy=content_security_policy(style, scripts),
            data=Markup(script_safe_json(feature_data(page.features))),
            linked=frozenset(card.id for card in page.cards),
            static_rows=STATIC_ROWS,
            steps=STEPS,
        )
    )


def write_sweep_page(path: Path | str, page: SweepPage) -> None:
    """Write the page of a sweep, replacing the file whole. Raises: DiskFull, OutputNotWritable."""
    style, script = stylesheet(), (HERE / "static" / "theme.js").read_text(encoding="utf-8")
    policy = content_security_policy(style, [script])
    template = environment(HERE / "templates").get_template("shells/sweep.html")
    write_text(path, template.render(page=page, style=Markup(style), scripts=[Markup(script)], policy=policy))


def short(card: FeatureCard) -> FeatureCard:
    """The card as a page of many cards shows it: the first examples of each group and the heads of its lists."""
    groups = tuple(replace(group, examples=group.examples[: EXAMPLES[group.kind]]) for group in card.groups)
    return replace(
        card,
        groups=groups,
        top_logits=card.top_logits[:LISTED],
        bottom_logits=card.bottom_logits[:LISTED],
        top_tokens=card.top_tokens[:LISTED],
        neighbours=tuple(replace(group, neighbours=group.neighbours[:NEIGHBOURS]) for group in card.neighbours),
    )


def stylesheet() -> str:
    """`style.css` and the 32 tint classes of each hue, which are all alike."""
    tints = "".join(f".t{k},.n{k}{{--a:{k}}}" for k in range(1, STEPS + 1))
    # Bars behind the values of a list: 16 lengths, because the policy allows no style attribute.
    bars = "".join(f".w{k}{{--w:{k}}}" for k in range(17))
    return (HERE / "static" / "style.css").read_text(encoding="utf-8") + tints + bars


def content_security_policy(style: str, scripts: Sequence[str]) -> str:
    """A policy that runs exactly these inline blocks and lets no request leave."""
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts)
    return f"default-src 'none'; style-src '{_hash(style)}'; script-src {allowed}; img-src data:; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def script_safe_json(value: object) -> str:
    """JSON that cannot close its `<script>`: the signs of markup are written as escapes."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def feature_data(rows: Sequence[FeatureRow]) -> dict[str, object]:
    """The table of all features as columns; token texts are stored once. About 60 bytes per feature.

    Sparklines are one digit of base 36 per octave, weak to strong; densities and activations keep six significant digits.
    """
    texts: dict[str, int] = {}

    def text(value: str) -> int:
        return texts.setdefault(readable(value), len(texts))

    bits = {name: bit for bit, name in FLAGS.items()}
    columns: dict[str, object] = {
        "id": [row.id for row in rows],
        "density": [_short(row.density) for row in rows],
        "max": [_short(row.max_act) for row in rows],
        "mass": [None if row.mass_share is None else _short(row.mass_share) for row in rows],
        "token": [text(row.top_token) for row in rows],
        "logits": [[text(token) for token in row.top_logits[:3]] for row in rows],
        "spark": [spark(row.sparkline) for row in rows],
        "flags": [sum(bits[name] for name in row.flags) for row in rows],
        "label": [text(row.label) for row in rows],
    }
    return {**columns, "texts": list(texts), "flag_names": [[bit, name] for bit, name in FLAGS.items()]}


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def spark(octave_counts: Sequence[int]) -> str:
    """Octave counts as digits 0 to z of the tallest, weak to strong; "" when there are none. A non-zero count is at least 1."""
    top = max(octave_counts, default=0)
    return "".join(_DIGITS[max(bool(n), round(35 * n / top))] for n in reversed(octave_counts)) if top else ""
