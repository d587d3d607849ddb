"""Mixed documents: the inner kind keeps its own label inside the outer one's."""

from collections import Counter

from saescope.data.babel import accepts
from saescope.data.babel.draw import Draw
from saescope.data.babel.families import LABELS
from saescope.data.babel.mixed import write_mixed
from saescope.data.babel.page import Page
from saescope.data.babel.recognise import recognise


def _mixed(i: int) -> Page:
    page = Page()
    write_mixed(page, Draw(6, i), 200 + 131 * i % 1300)
    return page


def _formats(page: Page) -> tuple[list[str], set[str]]:
    """The label on top of every byte, and the labels."""
    tops = [""] * page.size
    for a, b, n in page.spans():
        if LABELS[n][0] == "format":
            tops[a:b] = [LABELS[n][1]] * (b - a)
    return tops, set(tops) - {""}


def test_every_document_holds_two_kinds_and_ends_in_time() -> None:
    pairs: Counter[frozenset[str]] = Counter()
    for i in range(400):
        page = _mixed(i)
        text = page.text()
        raw = text.encode()
        tops, formats = _formats(page)
        assert 200 <= len(raw) <= 2000
        assert not text.endswith("\n")
        assert all(top or raw[k : k + 1].isspace() for k, top in enumerate(tops))
        assert accepts("mixed", text), text
        pairs[frozenset(formats if text.isascii() else formats | {"script"})] += 1
    assert {frozenset(pair) for pair in (("json", "base64"), ("prose", "script"), ("academic", "dna"), ("http", "hex"))} <= set(pairs)
    assert len(pairs) >= 12
    assert min(map(len, pairs)) == 2


def test_inner_spans_are_what_the_recogniser_finds() -> None:
    """Runs of noise: what the writer labelled and what the text shows are the same bytes."""
    found: Counter[str] = Counter()
    for i in range(300):
        page = _mixed(i)
        for kind in ("base64", "hex", "dna"):
            spans = sorted((a, b) for a, b, n in page.spans() if LABELS[n] == ("format", kind))
            if spans:
                assert recognise(kind, page.text()) == spans
                found[kind] += 1
    assert min(found[kind] for kind in ("base64", "hex", "dna")) >= 10


def test_quotation_is_a_quote_of_the_story() -> None:
    stories = [page for page in map(_mixed, range(100)) if "prose" in _formats(page)[1]]
    assert stories
    for page in stories:
        raw = page.text().encode()
        quotes = [raw[a:b].decode() for a, b, n in page.spans() if LABELS[n] == ("quote", "quote")]
        assert quotes
        assert all(quote[0] == quote[-1] == '"' for quote in quotes)
        assert {LABELS[n][0] for _, _, n in page.spans()} >= {"topic", "mood", "pos"}
