"""The notebook card: small, without scripts, readable when its style is taken away."""

from dataclasses import replace

import pytest

import pages
from markup import Reader
from saescope.render.card import MAX_BYTES, card_html
from saescope.render.view_models import FeatureCard


@pytest.fixture(scope="module")
def cards():
    return pages.run_page(16, 16).cards


def test_cards_are_small_and_hold_no_script(cards):
    for card in cards:
        html = card_html(card)
        assert len(html.encode()) < MAX_BYTES
        assert not {"script", "link", "img", "iframe", "style"} & set(Reader(html).tags)
        assert not any(name.startswith("on") for attributes in Reader(html).attributes for name in attributes)
        assert "\ufffd" not in html


def test_a_card_stays_small_whatever_the_tokens_are(cards):
    card = next(card for card in cards if card.groups)
    example = replace(
        card.groups[0].examples[0], tokens=(b"<" * 10_000, b"x"), acts=(1.0, 0.5), peak_at=0, ids=(), doc_edges=(), specials=()
    )
    heavy = replace(card.groups[0], examples=(example,) * 10)
    assert len(card_html(replace(card, groups=(heavy,))).encode()) < MAX_BYTES


def test_a_card_says_what_it_knows(cards):
    card = next(card for card in cards if card.label == "arabic script")
    text = Reader(card_html(card)).text
    for expected in ("feature 1", "arabic script", "density", "promotes", "suppresses", "Strongest", "Random active", card.origin):
        assert expected in text


def test_a_dead_feature_has_a_card():
    text = Reader(card_html(FeatureCard(id=3, n_active=0, n_tokens=1000, density=0.0, max_act=0.0, flags=("dead",)))).text
    assert "No examples: it fired on none of the 1,000 tokens read." in text
