"""Documents of two kinds, one inside the other: base64 in JSON, other scripts quoted in a story, DNA in a citation, hex in HTTP."""

from collections.abc import Callable

from saescope.data.babel.cased import CAPS, CAPS_SNAKE, SNAKE, caps_sentence, caps_snake_name, snake_name
from saescope.data.babel.citations import academic_citation, legal_citation
from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.noise import base64_run, dna_run, hex_run
from saescope.data.babel.page import Page
from saescope.data.babel.records import json_object
from saescope.data.babel.scripts import phrase
from saescope.data.babel.story import QUOTE, Story
from saescope.data.babel.web import http_request, url

BASE64, HEX, DNA, URL, LEGAL, JSON = (NUMBER["format", name] for name in ("base64", "hex", "dna", "url", "legal", "json"))
Inner = Callable[[Draw], str]
_SCRIPTS = ("arabic", "arabic", "arabic", "hebrew", "hebrew", "hangul", "hangul", "cyrillic", "greek", "han", "devanagari", "thai")


def _base64(draw: Draw) -> str:
    return base64_run(draw, 20 + 4 * draw.below(16))


def _hex(draw: Draw) -> str:
    return hex_run(draw, 16 + 8 * draw.below(4))


def _dna(draw: Draw) -> str:
    return dna_run(draw, draw.between(16, 60))


def _foreign(draw: Draw) -> str:
    return phrase(draw.pick(_SCRIPTS), draw, draw.between(3, 8))


def _object(draw: Draw) -> str:
    page = Page()
    json_object(page, draw)
    return page.text()


_JSON_VALUES: tuple[tuple[Inner, int | None], ...] = (
    (_base64, BASE64), (_base64, BASE64), (_base64, BASE64), (_hex, HEX), (_foreign, None), (url, URL), (snake_name, SNAKE),
    (caps_snake_name, CAPS_SNAKE),
)  # fmt: skip
_QUOTED: tuple[tuple[Inner, int | None], ...] = (
    (_foreign, None), (_foreign, None), (_foreign, None), (_foreign, None), (caps_sentence, CAPS), (url, URL), (legal_citation, LEGAL),
    (_dna, DNA),
)  # fmt: skip
_BODIES: tuple[tuple[Inner, int | None], ...] = ((_hex, HEX), (_hex, HEX), (_object, JSON), (_base64, BASE64))
_TITLED: tuple[tuple[Inner, int | None], ...] = ((_dna, DNA), (_dna, DNA), (_dna, DNA), (_hex, HEX))


def write_mixed(page: Page, draw: Draw, size: int) -> None:
    """One kind in another."""
    chosen = draw.below(100)
    if chosen < 28:
        _records(page, draw, size)
    elif chosen < 58:
        _quoting_story(page, draw, size)
    elif chosen < 78:
        _citations(page, draw, size)
    else:
        _requests(page, draw, size)


def _records(page: Page, draw: Draw, size: int) -> None:
    """JSON objects with values of one other kind."""
    inner, label = draw.pick(_JSON_VALUES)
    while True:
        _labelled(page, json_object(page, draw, inner(draw)), label)
        if page.size >= size:
            return
        page.write("\n")


def _citations(page: Page, draw: Draw, size: int) -> None:
    """References with a sequence in the title."""
    inner, label = draw.pick(_TITLED)
    while True:
        _labelled(page, academic_citation(page, draw, inner(draw)), label)
        if page.size >= size:
            return
        page.write("\n")


def _requests(page: Page, draw: Draw, size: int) -> None:
    """Requests whose body is of another kind, or that carry a number in hexadecimal digits."""
    inner, label = draw.pick(_BODIES)
    while True:
        _labelled(page, http_request(page, draw, body=inner(draw)), label)
        if page.size >= size - 150 and page.size >= 200:
            return
        page.write("\n\n")


def _quoting_story(page: Page, draw: Draw, size: int) -> None:
    """A story in which somebody reads or says something of another kind, each time in a paragraph of its own."""
    story = Story(page, draw)
    inner, label = draw.pick(_QUOTED)
    story.opening()
    while True:
        for _ in range(draw.between(1, 3)):
            story.sentence()
        story.paragraph()
        story.quoting()
        _quotation(page, inner(draw), label)
        if page.size >= size and story.own >= story.foreign + 2:
            break
        story.paragraph()
    story.end()


def _quotation(page: Page, text: str, label: int | None) -> None:
    opened = page.here
    page.write('"')
    place = page.here
    page.write(text)
    page.write('"')
    page.mark(opened, QUOTE)
    _labelled(page, place, label)


def _labelled(page: Page, place: int | None, label: int | None) -> None:
    """The label on the one piece at a place."""
    if place is not None and label is not None:
        page.marks.append((place, place + 1, label))
