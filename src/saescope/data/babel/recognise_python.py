"""Python that `ast.parse` takes, in maximal runs of lines."""

import ast
import re
import warnings

_INDENT = re.compile(r"[ \t]*")
_CONTINUES = re.compile(r"(?:else|elif|except|finally)\b|[)\]}]")
"""A line that belongs to the statement before it though it is not indented deeper."""
_OPEN = ("was never closed", "unterminated triple-quoted")
"""What the parser says of a statement that may go on in the next line though it is not indented."""
_MOST_LINES, _MOST_CHARACTERS = 60, 8_000
"""Of one piece that the parser reads: keeps the time linear. A longer body is read in several pieces."""
_JOINS = 3
"""Brackets or strings of one statement that may reach over unindented lines."""
_BLOCKS = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.For,
    ast.While,
    ast.If,
    ast.Import,
    ast.ImportFrom,
    ast.Return,
    ast.With,
)
_COMPUTED = (ast.BinOp, ast.BoolOp, ast.Call, ast.Compare, ast.ListComp, ast.DictComp, ast.SetComp, ast.Lambda, ast.Subscript)


def python(text: str) -> list[tuple[int, int]]:
    """Maximal runs of lines that parse and hold a real statement, in characters.

    Real: def, class, import, for, while, if, return, with, or an assignment that computes something. Words, numbers, tuples
    and `key = value` parse too, and are none. Where a line is wrong, the lines before and after it are tried by themselves,
    less the indentation that they share.
    """
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = _runs(lines)
    return [(starts[first], starts[last] - 1) for first, last in runs]


def _runs(lines: list[str]) -> list[tuple[int, int]]:
    """(first line, line after the last) of the runs."""
    found: list[tuple[int, int, bool]] = []
    at, indent, joins = 0, "", False
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        here = _indent(lines[at])
        good, real = _piece(lines, at, here)
        if good and joins and here == indent:
            first, _, before = found.pop()
            found.append((first, at + good, before or real))
        elif good:
            found.append((at, at + good, real))
        at, indent, joins = at + (good or 1), here, good > 0
    return [(first, end) for first, end, real in found if real]


def _indent(line: str) -> str:
    found = _INDENT.match(line)
    return found.group() if found else ""


def _next(lines: list[str], at: int, indent: str) -> int:
    """The line after the statement that begins at `at`: deeper lines and `else` belong to it; blank lines at its end do not."""
    last, decorated = at + 1, lines[at].startswith("@", len(indent))
    for k in range(at + 1, min(at + _MOST_LINES, len(lines))):
        line = lines[k]
        if not line.strip():
            continue
        if not line.startswith(indent):
            break
        if not line[len(indent)].isspace() and not _CONTINUES.match(line, len(indent)):
            if not decorated:
                break
            decorated = line.startswith("@", len(indent))
        last = k + 1
    return last


def _piece(lines: list[str], at: int, indent: str) -> tuple[int, bool]:
    """How many lines from `at` parse, none of them blank at the end, and whether one is a real statement."""
    last, joins = _next(lines, at, indent), 0
    while last > at:
        real, message, wrong = _parse([line[len(indent) :] for line in lines[at:last]])
        if not message:
            return last - at, real
        if joins < _JOINS and last < len(lines) and any(words in message for words in _OPEN):
            joins += 1
            if (closing := _closing(lines, at, last)) is not None:
                last = _next(lines, closing, indent)
                continue
        joins = _JOINS
        last = min(last - 1, at + wrong - 1)
        while last > at and not lines[last - 1].strip():
            last -= 1
    return 0, False


def _closing(lines: list[str], at: int, last: int) -> int | None:
    """The first line from `last` with which brackets and triple quotes are even, counted without regard to strings."""
    brackets, quotes = 0, 0
    for k in range(at, min(last + _MOST_LINES, len(lines))):
        line = lines[k]
        brackets += sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
        quotes += line.count('"""') + line.count("'''")
        if k >= last and brackets <= 0 and quotes % 2 == 0:
            return k
    return None


def _parse(lines: list[str]) -> tuple[bool, str, int]:
    """(holds a real statement, what is wrong or nothing, the line where, from 1)."""
    text = "\n".join(lines)
    if len(text) > _MOST_CHARACTERS:
        return False, "too long", len(lines)
    try:
        tree = ast.parse(text + "\n")
    except SyntaxError as error:
        return False, error.msg or "wrong", min(max(error.lineno or 1, 1), len(lines))
    except (ValueError, RecursionError, MemoryError) as error:
        return False, type(error).__name__, 1
    return any(_is_real(node) for node in ast.walk(tree)), "", 0


def _is_real(node: ast.AST) -> bool:
    return isinstance(node, (*_BLOCKS, ast.AugAssign)) or (isinstance(node, ast.Assign) and isinstance(node.value, _COMPUTED))
