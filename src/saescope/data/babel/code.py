"""Python: imports, functions, small classes and loops about one theme; every document parses."""

from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.page import Page

PYTHON = NUMBER["format", "python"]
DEPTH = tuple(NUMBER["depth", f"depth_{k}"] for k in (1, 2, 3, 4))
"""By levels of indentation: the body of a function is depth_1, its loops depth_2."""

# Theme: modules, one thing, many things, its fields.
_THEMES: tuple[tuple[tuple[str, ...], str, str, tuple[str, ...]], ...] = (
    (("math", "decimal"), "order", "orders", ("price", "count", "total", "discount", "weight", "tax", "address")),
    (("heapq", "itertools"), "node", "nodes", ("edge", "parent", "distance", "depth", "label", "cost", "degree")),
    (("re", "string"), "token", "tokens", ("length", "prefix", "suffix", "start", "kind", "offset", "text")),
    (("math", "random"), "player", "players", ("score", "level", "health", "speed", "armor", "lives", "team")),
    (("time", "statistics"), "sensor", "sensors", ("value", "limit", "mean", "delay", "noise", "signal", "unit")),
    (("decimal", "datetime"), "account", "accounts", ("balance", "rate", "fee", "deposit", "owner", "credit", "debt")),
    (("math", "array"), "pixel", "pixels", ("red", "green", "blue", "alpha", "width", "height", "shade")),
    (("os", "pathlib"), "folder", "folders", ("path", "size", "name", "owner", "mode", "age", "backup")),
    (("socket", "json"), "packet", "packets", ("port", "header", "payload", "ttl", "source", "target", "retry")),
    (("datetime", "calendar"), "event", "events", ("day", "month", "hour", "place", "guest", "minute", "title")),
    (("math", "fractions"), "vector", "vectors", ("x", "y", "z", "norm", "angle", "scale", "axis")),
    (("collections", "random"), "card", "cards", ("suit", "rank", "hand", "deck", "stake", "turn", "pile")),
    (("queue", "threading"), "job", "jobs", ("worker", "priority", "state", "queue", "result", "timeout", "attempt")),
    (("random", "bisect"), "plant", "plants", ("water", "light", "height", "leaf", "root", "season", "soil")),
)
_VERBS = (
    "add", "apply", "build", "check", "clean", "collect", "count", "filter", "find", "group", "load", "make", "merge", "move",
    "parse", "pick", "read", "reset", "scale", "sort", "split", "sum", "update", "write",
)  # fmt: skip
_TARGETS = ("total", "result", "best", "found", "output", "current", "answer", "seen")
_SUFFIXES = ("List", "Store", "Reader", "Table", "Group", "Box", "Index")
_OPERATORS = ("+", "-", "*")
_COMPARE = ("<", ">", "<=", ">=", "==", "!=")
_NUMBERS = ("0", "1", "2", "3", "4", "5", "8", "10", "12", "16", "20", "24", "32", "50", "64", "100", "128", "1000")
_ADVICE = ("must not be empty", "is too small", "is too large", "is not known", "must be positive", "was used before")
_DOC = ("Return the", "Find the", "Collect every", "Change the", "Compare the", "Add up the")

# Slots: f this function, xs many, x one, a b fields, t a local name, o c n m operators and numbers, v a verb, w advice.
_INNER = (
    "%(t)s = 0\nfor %(x)s in %(xs)s:\n    %(t)s += %(x)s.%(a)s",
    "for %(x)s in %(xs)s:\n    if %(x)s.%(a)s %(c)s %(b)s:\n        %(t)s.append(%(x)s.%(a)s)",
    "for %(x)s in %(xs)s:\n    %(x)s.%(a)s = %(x)s.%(a)s %(o)s %(n)s",
    "for i in range(len(%(xs)s)):\n    if %(xs)s[i] %(c)s %(n)s:\n        %(xs)s[i] = %(b)s",
    "for i, %(x)s in enumerate(%(xs)s):\n    print(i, %(x)s.%(b)s)",
    "%(t)s = [%(x)s.%(a)s for %(x)s in %(xs)s]",
    "%(t)s = [%(x)s for %(x)s in %(xs)s if %(x)s.%(a)s %(c)s %(n)s]",
    "%(t)s = {%(x)s.%(a)s: %(x)s.%(b)s for %(x)s in %(xs)s}",
    "%(t)s = sorted(%(xs)s, key=lambda %(x)s: %(x)s.%(a)s)",
    "%(t)s = sum(%(x)s.%(a)s for %(x)s in %(xs)s)",
    "%(t)s = max(%(a)s, %(b)s) %(o)s %(n)s",
    "%(a)s = %(b)s %(o)s %(n)s",
    "%(b)s = %(a)s %(o)s %(b)s",
    "if %(b)s %(c)s %(n)s:\n    return %(t)s",
    "if %(a)s %(c)s %(b)s:\n    %(a)s = %(n)s\nelse:\n    %(a)s = %(m)s",
    "if not %(xs)s:\n    return None",
    'if %(a)s %(c)s %(n)s:\n    raise ValueError("%(a)s %(w)s")',
    "while %(b)s %(c)s %(n)s:\n    %(b)s %(o)s= %(m)s",
    "while %(xs)s:\n    %(x)s = %(xs)s.pop()\n    if %(x)s.%(a)s %(c)s %(n)s:\n        break",
    "%(t)s = %(module)s.%(v)s(%(xs)s, %(a)s)",
    "assert %(a)s %(c)s %(n)s",
    "# %(b)s %(w)s",
)
_RETURNS = ("return %(t)s", "return %(a)s %(o)s %(b)s", "return %(t)s, %(b)s", "return len(%(xs)s)", "return %(t)s %(c)s %(n)s")
_METHODS = (
    "def %(v)s_%(a)s(self):\n    return self.%(a)s %(o)s self.%(b)s",
    "def %(v)s_%(b)s(self, %(t)s):\n    self.%(b)s = %(t)s %(o)s %(n)s",
    "def %(v)s(self, %(xs)s):\n    for %(x)s in %(xs)s:\n        self.%(a)s += %(x)s.%(a)s",
    "def is_%(v)s(self):\n    return self.%(a)s %(c)s %(n)s",
    "def %(v)s_all(self, %(b)s):\n    if %(b)s %(c)s self.%(b)s:\n        return self.%(a)s\n    return %(n)s",
)
_MAIN = (
    "%(xs)s = [%(n)s, %(m)s]",
    "%(t)s = %(f)s(%(xs)s, %(n)s, %(m)s)",
    "print(%(f)s(%(xs)s, %(a)s, %(b)s))",
    "for %(x)s in %(xs)s:\n    print(%(x)s.%(a)s)",
    "%(a)s = %(n)s",
    "%(b)s = %(a)s %(o)s %(n)s",
    "if %(a)s %(c)s %(n)s:\n    %(b)s = %(f)s(%(xs)s, %(a)s, %(m)s)",
)
_HEAD = "def %(f)s(%(xs)s, %(a)s, %(b)s):"
_CLASS = "class %(C)s:\n    def __init__(self, %(a)s, %(b)s):\n        self.%(a)s = %(a)s\n        self.%(b)s = %(b)s"

_Lines = tuple[tuple[int, str], ...]


def _levelled(template: str) -> _Lines:
    """(levels of indentation, line) of a template. Lines bring the newline before them: a document ends without one."""
    return tuple(((len(line) - len(line.lstrip(" "))) // 4, line) for line in template.split("\n"))


INNER, RETURNS, METHODS, MAIN = (tuple(map(_levelled, group)) for group in (_INNER, _RETURNS, _METHODS, _MAIN))
HEAD, CLASS = _levelled(_HEAD), _levelled(_CLASS)
_INDENT = ("\n", "\n    ")


def write_python(page: Page, draw: Draw, size: int) -> None:
    """A module of about `size` bytes: imports, then functions, classes and main lines that use them."""
    modules, one, many, fields = draw.pick(_THEMES)
    slots = {"x": one, "xs": many, "module": modules[0]}
    page.write("import " + modules[0])
    if draw.below(2):
        page.write("\nimport " + modules[1])
    _names(draw, slots, fields)
    while page.size < size:
        page.write("\n")
        what = draw.below(8)
        if what < 5:
            _names(draw, slots, fields)
            _function(page, draw, slots)
        elif what < 6:
            _names(draw, slots, fields)
            _class(page, draw, slots)
        else:
            for _ in range(2 + draw.below(3)):
                _lines(page, draw, draw.pick(MAIN), slots, 0)
    page.mark(0, PYTHON)


def _names(draw: Draw, slots: dict[str, str], fields: tuple[str, ...]) -> None:
    """New names of a function or class: it speaks of two of the theme's fields."""
    a = draw.below(7)
    slots["a"], slots["b"] = fields[a], fields[a - 1 - draw.below(6)]
    slots["t"] = draw.pick(_TARGETS)
    verb = draw.pick(_VERBS)
    slots["f"] = verb + "_" + (slots["xs"] if draw.below(2) else slots["a"])
    slots["C"] = slots["x"].capitalize() + draw.pick(_SUFFIXES)


def _function(page: Page, draw: Draw, slots: dict[str, str]) -> None:
    _lines(page, draw, HEAD, slots, 0)
    if not draw.below(3):
        page.word(f'\n    """{draw.pick(_DOC)} {slots["a"]} of {slots["xs"]}."""', DEPTH[0])
    for _ in range(1 + draw.below(3)):
        _lines(page, draw, draw.pick(INNER), slots, 1)
    _lines(page, draw, draw.pick(RETURNS), slots, 1)


def _class(page: Page, draw: Draw, slots: dict[str, str]) -> None:
    _lines(page, draw, CLASS, slots, 0)
    for _ in range(1 + draw.below(2)):
        page.write("\n")
        _lines(page, draw, draw.pick(METHODS), slots, 1)


def _lines(page: Page, draw: Draw, lines: _Lines, slots: dict[str, str], level: int) -> None:
    """Lines of a template at a level of indentation, the small choices drawn anew."""
    slots["o"], slots["c"], slots["w"], slots["v"] = draw.pick(_OPERATORS), draw.pick(_COMPARE), draw.pick(_ADVICE), draw.pick(_VERBS)
    slots["n"], slots["m"] = draw.pick(_NUMBERS), draw.pick(_NUMBERS)
    indent = _INDENT[level]
    for own, line in lines:
        if own + level:
            page.word(indent + line % slots, DEPTH[min(own + level, 4) - 1])
        else:
            page.write(indent + line % slots)
