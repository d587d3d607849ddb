"""Noise of known entropy: base64, hexadecimal digits, DNA.

A document is one unbroken run of independent, equally likely characters (base64 of text excepted).
"""

from base64 import b64encode
from string import ascii_lowercase, ascii_uppercase, digits

from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.page import Page

_BASE64, _HEX, _DNA = NUMBER["format", "base64"], NUMBER["format", "hex"], NUMBER["format", "dna"]
BASE64_ALPHABET = (ascii_uppercase + ascii_lowercase + digits + "+/").encode()
HEX_ALPHABET = b"0123456789abcdef"
DNA_ALPHABET = b"ACGT"

# Lengths of 2, 5 and 8 letters: with its space such a word fills whole groups of three bytes, so that it looks the same in base64 wherever
# it stands in its sentence; two "the" and one full stop close the third group.
_NOUNS = (
    "river tower stone horse table chair cloud field train house plant apple clock glass ocean paper queen radio sheep spoon storm truck "
    "wagon wheel camel lemon piano robot mountain umbrella elephant building"
).split()
_ADJECTIVES = (
    "small large quiet brown green white black young heavy sweet empty happy clean sharp round dusty noisy proud quick early".split()
)
_VERBS = "moves turns waits sings falls rests stays looks walks jumps grows hides leans leaps burns swims sinks drops".split()
_PREPOSITIONS = "in on at by under above after along below".split()


def write_base64_text(page: Page, draw: Draw, size: int) -> None:
    """Base64 of English sentences; a document keeps to a few words."""
    _one_run(page, base64_of_text(draw, size), _BASE64)


def write_base64_random(page: Page, draw: Draw, size: int) -> None:
    """Base64 of random bytes: 6 bits per character."""
    _one_run(page, _padded(draw, size), _BASE64)


def write_hex(page: Page, draw: Draw, size: int) -> None:
    """Hexadecimal digits, an even number: 4 bits per character."""
    _one_run(page, hex_run(draw, size), _HEX)


def write_dna(page: Page, draw: Draw, size: int) -> None:
    """The letters ACGT: 2 bits per character."""
    _one_run(page, dna_run(draw, size), _DNA)


def base64_run(draw: Draw, n: int) -> str:
    """Base64 of random bytes: n characters, rounded up to whole groups and to 16, upper case, lower case and a digit among them."""
    n = max(16, -(-n // 4) * 4)
    while True:
        run = draw.characters(BASE64_ALPHABET, n)
        if not run.isalpha() and run.upper() != run != run.lower() and any(c.isdigit() for c in run):
            return run


def hex_run(draw: Draw, n: int) -> str:
    """n lower-case hexadecimal digits, rounded up to an even number and to 8, a letter and a digit among them."""
    n = max(8, n + n % 2)
    while True:
        run = draw.characters(HEX_ALPHABET, n)
        if not run.isalpha() and not run.isdigit():
            return run


def dna_run(draw: Draw, n: int) -> str:
    """n bases, at least 12."""
    return draw.characters(DNA_ALPHABET, max(12, n))


def base64_of_text(draw: Draw, n: int) -> str:
    """Base64 of English sentences, at least n characters, with its padding."""
    nouns, verbs = [draw.pick(_NOUNS) for _ in range(5)], [draw.pick(_VERBS) for _ in range(4)]
    adjectives, prepositions = [draw.pick(_ADJECTIVES) for _ in range(4)], [draw.pick(_PREPOSITIONS) for _ in range(3)]
    words: list[str] = []
    length = 0
    while length * 4 < n * 3:
        sentence = [
            "the",
            draw.pick(adjectives),
            draw.pick(nouns),
            draw.pick(verbs),
            draw.pick(prepositions),
            "the",
            draw.pick(nouns) + ".",
        ]
        length += sum(map(len, sentence)) + len(sentence)
        words += sentence
    return b64encode(" ".join(words).encode()).decode()


def _padded(draw: Draw, n: int) -> str:
    """Base64 of 3k, 3k + 1 or 3k + 2 random bytes: the bits that padding leaves over are zero."""
    run = base64_run(draw, n)
    padding = draw.below(3)
    if padding == 1:
        return run[:-2] + "AEIMQUYcgkosw048"[draw.below(16)] + "="
    return run[:-3] + "AQgw"[draw.below(4)] + "==" if padding else run


def _one_run(page: Page, run: str, label: int) -> None:
    page.word(run, label)
