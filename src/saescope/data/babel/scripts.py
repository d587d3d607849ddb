"""Documents in other scripts than the Latin one: invented languages with real letters, agreement and particles."""

from functools import lru_cache

from saescope.data.babel.draw import Draw
from saescope.data.babel.language import Language, Speaker
from saescope.data.babel.languages_inflected import cyrillic, devanagari, greek
from saescope.data.babel.languages_rooted import arabic, hebrew
from saescope.data.babel.languages_syllabic import han, hangul, thai
from saescope.data.babel.page import Page
from saescope.errors import ConfigError, did_you_mean

LANGUAGES = {
    "arabic": arabic,
    "hebrew": hebrew,
    "hangul": hangul,
    "cyrillic": cyrillic,
    "greek": greek,
    "han": han,
    "devanagari": devanagari,
    "thai": thai,
}


def phrase(script: str, draw: Draw, n_words: int) -> str:
    """n words of one clause or several, without a mark at the end. Raises: ConfigError."""
    language = _language(script)
    speaker, words = Speaker(language, draw), list[str]()
    while len(words) < n_words:
        words += speaker.clause()
    return language.gap.join(words[:n_words])


def write_arabic(page: Page, draw: Draw, size: int) -> None:
    _write("arabic", page, draw, size)


def write_hebrew(page: Page, draw: Draw, size: int) -> None:
    _write("hebrew", page, draw, size)


def write_hangul(page: Page, draw: Draw, size: int) -> None:
    _write("hangul", page, draw, size)


def write_cyrillic(page: Page, draw: Draw, size: int) -> None:
    _write("cyrillic", page, draw, size)


def write_greek(page: Page, draw: Draw, size: int) -> None:
    _write("greek", page, draw, size)


def write_han(page: Page, draw: Draw, size: int) -> None:
    _write("han", page, draw, size)


def write_devanagari(page: Page, draw: Draw, size: int) -> None:
    _write("devanagari", page, draw, size)


def write_thai(page: Page, draw: Draw, size: int) -> None:
    _write("thai", page, draw, size)


@lru_cache
def _language(script: str) -> Language:
    if script not in LANGUAGES:
        raise ConfigError(f"{script!r} has no language here.{did_you_mean(script, LANGUAGES)} Scripts: {', '.join(LANGUAGES)}.")
    return LANGUAGES[script]()


def _write(script: str, page: Page, draw: Draw, size: int) -> None:
    """Sentences in paragraphs of a few; the script is seen from the letters, so nothing is marked."""
    speaker = Speaker(_language(script), draw)
    left = draw.between(3, 6)
    while True:
        sentence = speaker.sentence()
        left -= 1
        if page.size + len(sentence.encode()) > size:
            page.write(sentence.rstrip())
            return
        if not left:
            left = draw.between(3, 6)
            sentence = sentence.rstrip() + "\n"
        page.write(sentence)
