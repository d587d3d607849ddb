"""Numbers, notices and identifiers: every line has the form of its kind and the document its label."""

import itertools
import re

import pytest

from saescope.data.babel import cased
from saescope.data.babel.draw import Draw
from saescope.data.babel.families import LABELS
from saescope.data.babel.page import Page
from saescope.data.babel.words_topics import topic_of_word

_NUMBER = r"[\d.]+[a-z]*"
FORMS = {
    "numbers": (cased.write_numbers, rf"(\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d|\d\d:\d\d|\d\d/\d\d/\d{{4}}|\d{{4}})( {_NUMBER}){{2,4}}"),
    "caps": (cased.write_caps, r"[A-Z]+( [A-Z]+){2,}"),
    "snake": (cased.write_snake, r"(- )?[a-z]+(_[a-z]+)+(( | -> )[a-z]+(_[a-z]+)+)*"),
    "caps_snake": (cased.write_caps_snake, r"(- )?[A-Z]+(_[A-Z]+)+(( | -> )[A-Z]+(_[A-Z]+)+)*"),
}


@pytest.mark.parametrize("kind", FORMS)
def test_form_size_and_label(kind: str) -> None:
    write, form = FORMS[kind]
    texts = set()
    for i in range(200):
        page, size = Page(), 200 + 131 * i % 1300
        write(page, Draw(2, i), size)
        text = page.text()
        assert size <= len(text) <= size + 130
        assert text.isascii()
        assert all(re.fullmatch(form, line) for line in text.split("\n")), text
        assert [(a, b, LABELS[n]) for a, b, n in page.spans()] == [(0, len(text), ("format", kind))]
        assert sum(c.isdigit() for c in text) * 2 >= len("".join(text.split())) or kind != "numbers"
        texts.add(text)
    assert len(texts) == 200


def test_rows_follow_from_the_rows_before() -> None:
    """One date per log, equal steps of time, years one after the other, the same units in every row."""
    shapes = set()
    for i in range(100):
        lines = [line.split() for line in cased.number_rows(Draw(4, i), 500).split("\n")]
        assert len({tuple(re.sub(r"[\d.]", "", word) for word in line[-2:]) for line in lines}) == 1
        head = lines[0][0]
        shapes.add(re.sub(r"\d", "0", head))
        if "-" in head:
            assert {line[0] for line in lines} == {head}
        times = [60 * int(t[:2]) + int(t[3:5]) for line in lines for t in line if re.fullmatch(r"\d\d:\d\d(:\d\d)?", t)]
        assert len({(b - a) % 1440 for a, b in itertools.pairwise(times)}) <= 1
        if head.isdigit():
            assert {int(b[0]) - int(a[0]) for a, b in itertools.pairwise(lines)} <= {1, 1950 - 2049}
    assert shapes == {"0000-00-00", "00:00", "00/00/0000", "0000"}


def test_notices_use_no_topic_words() -> None:
    for i in range(300):
        page = Page()
        cased.write_caps(page, Draw(7, i), 1000)
        assert not set(re.findall("[a-z]+", page.text().lower())) & set(topic_of_word())


def test_notices_keep_their_office_and_audience() -> None:
    for i in range(50):
        page = Page()
        cased.write_caps(page, Draw(8, i), 600)
        lines = page.text().split("\n")
        audience, office = re.fullmatch(r"NOTICE TO ALL (\w+) OF THE ([A-Z ]+)", lines[0]).groups()  # type: ignore[union-attr]
        assert lines[-1] == f"BY ORDER OF THE {office}"
        assert all(line.startswith(f"ALL {audience} ") for line in lines if line.startswith("ALL "))
