"""The best label on a card: in the page, the notebook and the terminal, and its chart."""

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from rich.console import Console

import pages
from markup import Reader
from saescope.render.card import card_html, card_text
from saescope.render.numbers import share, short
from saescope.render.panels import environment
from saescope.render.svg import concept_histogram
from saescope.render.view_models import ConceptInterval, ConceptView

SHARES = (0.25, 0.4, 0.5, 0.8, 0.95, 0.98, 1.0, None, 1.0, 1.0, 1.0)
COUNTS = (12_345, 2000, 700, 300, 120, 60, 30, 0, 12, 11, 4)
ARABIC = ConceptView(
    family="script",
    label="arabic",
    precision=0.981,
    recall=0.714,
    purity=0.949,
    base=0.011,
    intervals=tuple(ConceptInterval(s, n) for s, n in zip(SHARES, COUNTS, strict=True)),
    corpus="babel",
    n_select=500_123,
    n_report=499_987,
)
SAID = ("script: arabic", "precision 0.98", "recall 0.71", "purity 0.95", "base 1.1 %")


@pytest.fixture(scope="module")
def card():
    return replace(pages.run_page(2, 2).cards[1], concept=ARABIC)


def panel(card) -> str:
    return environment().from_string('{% import "panels.html" as panels %}{{ panels.card(c) }}').render(c=card)


def blocks(svg: str, name: str) -> list[tuple[float, float, float]]:
    """(x, top, height) of every rectangle of a class."""
    found = re.findall(rf'class="{name}"[^>]* d="M([\d.]+) ([\d.]+)h[\d.]+v([\d.]+)h', svg)
    return [(float(x), float(y), float(h)) for x, y, h in found]


def test_bars_are_stacked_to_the_full_height():
    svg = concept_histogram(ARABIC, width=330, height=136)
    own, others = blocks(svg, "bar"), blocks(svg, "bar2")
    assert [round(h) for _, _, h in own] == [round(100 * s) for s in SHARES if s]
    assert [round(x) for x, _, _ in own] == [30 * i for i, s in enumerate(SHARES) if s]
    assert all(y + h == pytest.approx(106, abs=0.2) for _, y, h in own)
    assert [(y, round(h)) for _, y, h in others] == [(6, round(100 - 100 * s)) for s in SHARES if s and s < 1]
    assert 'stroke-dasharray="2 2" d="M0 104.9H330"' in svg
    assert re.findall(r'text-anchor="middle">([^<]*)<', svg) == ["12k", "2.0k", "700", "300", "120", "60", "30", "0", "12", "11", "4"]
    assert svg.count('fill-opacity="0.35"') == 1  # four tokens are few


def test_the_chart_says_in_words_what_it_draws():
    title = ET.fromstring(concept_histogram(ARABIC)).find("title").text
    assert title.startswith("Share of active tokens that are script: arabic, in 11 equal intervals of activation from weak to strong: ")
    assert "25 % of 12,345, 40 % of 2,000" in title
    assert "– of 0" in title
    assert title.endswith("Share in the text: 1.1 %")
    assert not re.search(r"style=|\bid=|\bon\w+=|href|url\(", concept_histogram(ARABIC))


def test_a_page_card_shows_label_figures_and_where_they_come_from(card):
    text = Reader(panel(card)).text
    for expected in (*SAID, "chosen on 500,123 tokens of the selection part of babel", "from 499,987 tokens of its report part"):
        assert expected in text
    assert "Best label" not in panel(replace(card, concept=None))


def test_a_notebook_card_has_the_line(card):
    text = " ".join(Reader(card_html(card)).text.split())
    for expected in (*SAID, "label chosen on S, figures from R of babel"):
        assert expected in text


def test_a_terminal_card_has_the_line_and_a_row_of_bars(card):
    file = io.StringIO()
    Console(file=file, width=100).print(card_text(card))
    text = file.getvalue()
    for expected in SAID:
        assert re.search(expected.replace(" ", r"\s+"), text)
    assert "▂▃▄▆███·███ 25 % … 100 % of its active tokens, weak to strong" in text
    assert "label chosen on S (500,123 tokens), figures from R (499,987)" in text
    assert "best label" not in printed_without(card)


def printed_without(card) -> str:
    file = io.StringIO()
    Console(file=file, width=80).print(card_text(replace(card, concept=None)))
    return file.getvalue()


def test_what_is_unknown_is_a_dash(card):
    unknown = ConceptView(family="f", label="l", precision=None, recall=None, purity=None, base=None)
    text = Reader(panel(replace(card, concept=unknown))).text
    assert "precision – · recall – · purity –" in text
    ET.fromstring(concept_histogram(unknown))


def test_hostile_labels_are_text(card):
    hostile = replace(ARABIC, label=pages.HOSTILE, corpus=pages.HOSTILE)
    for html in (panel(replace(card, concept=hostile)), card_html(replace(card, concept=hostile))):
        assert not {"script", "img"} & set(Reader(html).tags)
    ET.fromstring(concept_histogram(hostile))


def test_short_counts_and_shares():
    assert [short(n) for n in (0, 999, 1000, 1234, 9949, 9950, 46_400, 999_499, 999_500, 3_140_000)] == [
        "0", "999", "1.0k", "1.2k", "9.9k", "10k", "46k", "999k", "1.0M", "3.1M",
    ]  # fmt: skip
    assert (share(0.5), share(None), share(float("nan"))) == ("0.50", "–", "–")
