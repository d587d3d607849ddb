"""The terminal card: 80 columns, colour where there is colour, the peak marked where there is none."""

import io
import re
import unicodedata

import pytest
from rich.console import Console

import pages
from saescope.render.card import card_text


@pytest.fixture(scope="module")
def cards():
    return pages.run_page(12, 12).cards


def printed(card, **options) -> str:
    file = io.StringIO()
    Console(file=file, width=80, **options).print(card_text(card))
    return file.getvalue()


def test_cards_print_at_80_columns_without_control_characters(cards):
    for card in cards:
        text = printed(card)
        assert all(len(line) <= 80 for line in text.splitlines() if line.isascii())
        assert not [char for char in text if char != "\n" and unicodedata.category(char) in {"Cc", "Cf", "Cs"}]


def test_colour_shows_tints(cards):
    coloured = printed(cards[1], force_terminal=True, color_system="truecolor")
    assert len(set(re.findall(r"48;2;\d+;\d+;\d+", coloured))) > 5


def test_without_colour_the_peak_is_quoted(cards):
    text = printed(cards[1], no_color=True)
    assert text.count("«") >= 8


def test_labels_and_lists_are_shown(cards):
    text = printed(cards[1])
    for expected in ("feature 1", "arabic script", "density", "promotes", "suppresses", "fires on", "Strongest"):
        assert expected in text


def test_a_dead_feature_says_so(cards):
    assert "it fired on none of the 300,000 tokens" in printed(cards[7])
