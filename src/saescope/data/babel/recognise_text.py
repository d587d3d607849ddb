"""Where noise, cased words, numbers and prose are in a text: spans of character offsets, found without knowing who wrote it."""

import re
from base64 import b64decode
from collections.abc import Callable
from itertools import pairwise

CharacterSpans = list[tuple[int, int]]

_BASE64 = re.compile(r"(?<![\w+/=])([A-Za-z0-9+/]{12,})(={0,2})(?![\w=])")
_HEX = re.compile(r"(?<![0-9A-Za-z_])(?:0x)?([0-9a-f]{8,}|[0-9A-F]{8,})(?![0-9A-Za-z_])")
_DNA = re.compile(r"[ACGT]{12,}")
_CAPS = re.compile(r"(?<![\w])[A-Z]+(?:'[A-Z]+)?(?:[.,:;!?]?[ \n]+[A-Z]+(?:'[A-Z]+)?(?![\w])){2,}[.,:;!?]?")
_SNAKE = re.compile(r"(?<![A-Za-z0-9_])[a-z]+(?:_[a-z]+)+(?![A-Za-z0-9_])")
_CAPS_SNAKE = re.compile(r"(?<![A-Za-z0-9_])[A-Z]+(?:_[A-Z]+)+(?![A-Za-z0-9_])")
_MOMENT = re.compile(r"(?<![\w.:/-])(?:\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\d\d:\d\d(?::\d\d)?)(?![\w:/-])")
_LINE = re.compile(r"[^\n]+")
_NUMBER_WORD = re.compile(r"[-+$(]?\d[\d.,:/%+-]*[a-z]{0,3}[.,;:)]?$")
_PROSE_WORD = re.compile(r"""["'(]?[A-Za-z][a-z]*(?:['-][A-Za-z]?[a-z]+)*[.,;:!?)]*["']?[.,]?$""")
_FOREIGN_QUOTE = re.compile(r'"[^"\n]*[^\x00-\x7f"\n][^"\n]*"')
_QUOTE = re.compile(r'"[^"\n]+"')


def base64_spans(text: str) -> CharacterSpans:
    """Runs of at least 16 characters, padding counted, with upper case, lower case and a digit, that decode; a run cut by the end of the
    text is taken up to its last whole group."""
    spans = []
    for match in _BASE64.finditer(text):
        start, end = match.span()
        rest = (end - start) % 4
        if rest and (end < len(text) or match[2]):
            continue
        run = match[1]
        if end - rest - start >= 16 and run.upper() != run != run.lower() and any(c.isdigit() for c in run):
            spans.append((start, end - rest))
    return spans


def base64_text_spans(text: str) -> CharacterSpans:
    """Parts of base64 runs, at least four groups of four characters long, whose bytes are printable."""
    spans = []
    for start, end in base64_spans(text):
        raw = b64decode(text[start:end])
        good = 0
        for at in range(0, len(raw) + 3, 3):
            group = raw[at : at + 3]
            if group and all(32 <= byte < 127 or byte == 10 for byte in group):
                good += 1
                continue
            if good >= 4:
                stop = start + at // 3 * 4
                spans.append((stop - good * 4, stop))
            good = 0
    return spans


def base64_random_spans(text: str) -> CharacterSpans:
    """What base64 runs have besides text."""
    spans, of_text = [], base64_text_spans(text)
    for start, end in base64_spans(text):
        for first, last in of_text:
            if start <= first < end:
                if first > start:
                    spans.append((start, first))
                start = last
        if start < end:
            spans.append((start, end))
    return spans


def hex_spans(text: str) -> CharacterSpans:
    """At least 8 digits of one case, an even number, a letter and a digit among them; cut by the end of the text, the last whole byte."""
    spans = []
    for match in _HEX.finditer(text):
        run, end = match[1], match.end()
        odd = len(run) % 2
        if not run.isalpha() and not run.isdigit() and (not odd or (end == len(text) and len(run) > 8)):
            spans.append((match.start(), end - odd))
    return spans


def number_spans(text: str) -> CharacterSpans:
    """Lines of two numbers or more, units allowed, at least half of their characters digits or signs inside a number; dates and times
    anywhere."""
    spans: CharacterSpans = []
    for line in _LINE.finditer(text):
        words = line[0].split()
        with_digits = [word for word in words if any(c.isdigit() for c in word)]
        numeric = sum(not c.isalpha() for word in with_digits for c in word)
        if (
            len(with_digits) > 1
            and all(map(_NUMBER_WORD.match, with_digits))
            and numeric * 2 >= sum(map(len, words))
            and not _is_csv(line[0])
        ):
            spans.append(_stripped(line))
        else:
            spans += [(line.start() + m.start(), line.start() + m.end()) for m in _MOMENT.finditer(line[0])]
    return spans


def prose_spans(text: str) -> CharacterSpans:
    """Lines of sentences: a capital or a quotation mark first and a mark last (the text's last line may be cut); of at least four words
    nine in ten are plain, half start small and at most one in twenty has a digit. What is quoted in another script counts as one word."""
    spans = []
    for line in _LINE.finditer(text):
        words = _FOREIGN_QUOTE.sub('"foreign"', line[0]).split()
        if len(words) < 4 or not (words[0][0].isupper() or words[0][0] == '"'):
            continue
        if words[-1][-1] not in '.!?"' and line.end() < len(text):
            continue
        plain = sum(_PROSE_WORD.match(word) is not None for word in words)
        small = sum(word[0].islower() or word[:1] == '"' for word in words)
        digits = sum(any(c.isdigit() for c in word) for word in words)
        if plain * 10 >= len(words) * 9 and small * 2 >= len(words) and digits * 20 <= len(words):
            spans.append(_stripped(line))
    return spans


def quote_spans(text: str) -> CharacterSpans:
    """Quotation marks in prose and what stands between them."""
    return [(at + m.start(), at + m.end()) for at, end in prose_spans(text) for m in _QUOTE.finditer(text[at:end])]


def _all_of(pattern: re.Pattern[str]) -> Callable[[str], CharacterSpans]:
    return lambda text: [match.span() for match in pattern.finditer(text)]


def _stripped(line: re.Match[str]) -> tuple[int, int]:
    inner = line[0].strip()
    start = line.start() + line[0].index(inner)
    return start, start + len(inner)


def _is_csv(line: str) -> bool:
    return sum(a == "," and b != " " for a, b in pairwise(line)) >= 2


FINDERS: dict[str, Callable[[str], CharacterSpans]] = {
    "base64": base64_spans,
    "base64_text": base64_text_spans,
    "base64_random": base64_random_spans,
    "hex": hex_spans,
    "dna": _all_of(_DNA),
    "numbers": number_spans,
    "caps": _all_of(_CAPS),
    "snake": _all_of(_SNAKE),
    "caps_snake": _all_of(_CAPS_SNAKE),
    "prose": prose_spans,
    "quote": quote_spans,
}
