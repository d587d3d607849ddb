"""Exact recognisers of the structured formats: what of a text is complete in its format, on character offsets.

They know the formats, not the generator: `ast.parse`, `json.loads`, balanced tags and environments, equal columns, and grammars
of requests, addresses and citations. Of text that is cut at its end they match what is complete.
"""

import json
import re
from collections.abc import Callable, Iterator

from saescope.data.babel.recognise_python import python

Match = tuple[int, int]
"""(start, end) in characters."""


def _no_constant(name: str) -> float:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_OPENER = re.compile(r"\{\s*\"|\[\s*[\[{\"0-9tfn-]")


def json_values(text: str) -> list[Match]:
    """Maximal objects and arrays of at least one item. Gives up on a text that opens far more values than it closes."""
    found, at = [], 0
    patience = 10_000 + 8 * len(text)
    while patience > 0 and (opener := _OPENER.search(text, at)):
        at = opener.start()
        try:
            _, end = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            patience -= error.pos - at
            at += 1
        except (ValueError, RecursionError):
            patience -= 20_000
            at += 1
        else:
            found.append((at, end))
            at = end
    return found


_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z-]+(?:=\"[^\"<>]*\"|='[^'<>]*')?)*)\s*(/?)>")
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


def html(text: str) -> list[Match]:
    """Maximal elements whose tags are balanced; `<br>` and its kind need no closing."""
    elements: list[Match] = []
    stack: list[tuple[str, int]] = []
    for tag in _TAG.finditer(text):
        closes, name, _, alone = tag.groups()
        name = name.lower()
        if closes:
            if stack and stack[-1][0] == name:
                elements.append((stack.pop()[1], tag.end()))
            else:
                stack.clear()
        elif alone or name in _VOID:
            elements.append(tag.span())
        else:
            stack.append((name, tag.start()))
    return _outermost(elements)


_ENVIRONMENT = re.compile(r"\\(begin|end)\{([a-zA-Z]+\*?)\}")
_SECTION = re.compile(r"\\(?:sub){0,2}section\*?\{[^{}\n]+\}")


def latex(text: str) -> list[Match]:
    """Maximal balanced environments whose braces are balanced too, and headings."""
    found: list[Match] = [heading.span() for heading in _SECTION.finditer(text)]
    stack: list[tuple[str, int, int]] = []
    for edge in _ENVIRONMENT.finditer(text):
        kind, name = edge.groups()
        if kind == "begin":
            stack.append((name, edge.start(), edge.end()))
        elif stack and stack[-1][0] == name:
            _, start, inner = stack.pop()
            if _balanced_braces(text[inner : edge.start()]):
                found.append((start, edge.end()))
        else:
            stack.clear()
    return _outermost(found)


def _balanced_braces(text: str) -> bool:
    depth = 0
    for brace in re.findall(r"\\[{}]|[{}]", text):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return False
    return depth == 0


def _outermost(spans: list[Match]) -> list[Match]:
    """Those that lie in no other, in order. Spans nest or are apart."""
    out: list[Match] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not out or start >= out[-1][1]:
            out.append((start, end))
    return out


_CELLS = re.compile(r"(?:[^\s,][^,\n]*)?(?:,(?:[^\s,][^,\n]*)?){2,}")


def csv(text: str) -> list[Match]:
    """Runs of at least three lines with the same number of commas, two or more, and no space after a comma."""
    found: list[Match] = []
    run: list[Match] = []
    commas = 0
    for start, end in _lines(text):
        line = text[start:end]
        here = line.count(",") if _CELLS.fullmatch(line) else 0
        if here != commas:
            found += _long_enough(run)
            run, commas = [], here
        if here:
            run.append((start, end))
    return found + _long_enough(run)


def _long_enough(run: list[Match]) -> list[Match]:
    return [(run[0][0], run[-1][1])] if len(run) >= 3 else []


def _lines(text: str) -> Iterator[Match]:
    """(start, end) of each line without its newline."""
    at = 0
    for line in text.split("\n"):
        yield at, at + len(line)
        at += len(line) + 1


_REQUEST = re.compile(
    r"^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /[!-~]* HTTP/\d(?:\.\d)?\n"  # request line
    r"((?:[A-Za-z][A-Za-z0-9-]*: [^\n]*\S\n)+)"  # headers
    r"\n",  # blank line
    re.MULTILINE,
)
_LENGTH = re.compile(r"^Content-Length: (\d{1,9})$", re.MULTILINE | re.IGNORECASE)


def http(text: str) -> list[Match]:
    """Requests with their headers, the blank line, and as many bytes of body as Content-Length says, up to a blank line."""
    found: list[Match] = []
    for request in _REQUEST.finditer(text):
        start, end = request.span()
        if length := _LENGTH.search(request.group(1)):
            body = text[end:].split("\n\n", 1)[0]
            end += len(body.encode("utf-8", "replace")[: int(length.group(1))].decode("utf-8", "ignore"))
        found.append((start, end))
    return found


_ADDRESS = re.compile(r"\b(?:https?|ftp|wss?)://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?/[A-Za-z0-9/._~%?&=#+-]*[A-Za-z0-9/]")

_AUTHOR = r"(?<![A-Za-z])[A-Z][A-Za-z'-]+, (?:[A-Z]\.[ -]?){1,3}"
_ACADEMIC = re.compile(
    rf"(?:{_AUTHOR}(?:, |,? and |,? & )?){{1,30}} ?\((?:1[6-9]|20)\d\d[a-z]?\)\. "  # Authors (year).
    r"[A-Z][^.\n]{3,200}\. "  # Title.
    r"[A-Z][A-Za-z &]{2,60} \d{1,4}(?:\(\d{1,3}\))?:\d{1,5}(?:-\d{1,5})?\."  # Journal vol:pages.
)
_PARTY = r"[A-Z][A-Za-z'.&-]*(?:(?: (?:of|the|and|&))? [A-Z][A-Za-z'.&-]*){0,5}"
_LEGAL = re.compile(
    r"(?<![A-Za-z])(?:(?:See also|But see|See|Cf\.|Accord) )?"  # signal
    rf"{_PARTY} v\. {_PARTY}, "  # Name v. Name,
    r"\d{1,4} (?:U\.S\.|S\. Ct\.|F\.(?:2d|3d|4th)?|F\. Supp\.(?: [23]d)?) \d{1,4}(?:, \d{1,4})?"  # volume, reporter, page
    r" \((?:1[789]|20)\d\d\)"  # (year)
    r"(?: \((?:holding|finding|noting|stating|explaining|rejecting) that [^()\n]{3,120}\))?"  # what the court held
)


def _all(pattern: re.Pattern[str]) -> Callable[[str], list[Match]]:
    return lambda text: [found.span() for found in pattern.finditer(text)]


RECOGNISERS: dict[str, Callable[[str], list[Match]]] = {
    "python": python,
    "json": json_values,
    "html": html,
    "csv": csv,
    "latex": latex,
    "http": http,
    "url": _all(_ADDRESS),
    "academic": _all(_ACADEMIC),
    "legal": _all(_LEGAL),
}
"""Matches by label, in order and apart. No text raises."""
