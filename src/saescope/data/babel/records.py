"""JSON and CSV: records about a few things that recur in the document; some columns follow from the thing, the others are free."""

from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.page import Page
from saescope.data.babel.schemas import SCHEMAS, Free, Schema

JSON, CSV = NUMBER["format", "json"], NUMBER["format", "csv"]
DEPTH = tuple(NUMBER["depth", f"depth_{k}"] for k in (1, 2, 3, 4))
_MONTHS = tuple(f"{year}-{month:02}-" for year in range(2015, 2025) for month in range(1, 13))
_DAYS = tuple(f"{day:02}" for day in range(1, 29))
_CENTS = (".00", ".25", ".50", ".75", ".90", ".99")
_BOOLEANS = ("true", "false")
_TEXT = ("date", "words")
"""Kinds of free values that JSON writes in quotes."""


class _Table:
    """The columns of one document, its things, and how a value is drawn."""

    def __init__(self, draw: Draw):
        schema: Schema = draw.pick(SCHEMAS)
        self.keys = schema.keys
        self.things = draw.shuffled(schema.things)[: 3 + draw.below(3)]
        self.group = schema.group
        start = draw.below(len(schema.free))
        chosen = sorted((start + k) % len(schema.free) for k in range(1 + draw.below(3)))
        self.free = [schema.free[k] for k in chosen]
        self.month = draw.pick(_MONTHS)
        self.words = {free.key: draw.shuffled(free.words)[: 2 + draw.below(2)] for free in self.free if free.words}

    def value(self, draw: Draw, free: Free) -> str:
        if free.kind == "words":
            return draw.pick(self.words[free.key])
        if free.kind == "date":
            return self.month + draw.pick(_DAYS)
        if free.kind == "bool":
            return draw.pick(_BOOLEANS)
        number = str(free.low + draw.below(free.high - free.low))
        return number + draw.pick(_CENTS) if free.kind == "price" else number


def write_json(page: Page, draw: Draw, size: int) -> None:
    """Objects of one schema: one on each line, or in an array."""
    table, array, nested = _Table(draw), draw.chance(40), draw.chance(50)
    page.write("[\n  " if array else "")
    while True:
        _object(page, draw, table, array, nested, None)
        if page.size >= size - 2:
            break
        page.write(",\n  " if array else "\n")
    if array:
        page.write("\n]")
        page.mark(0, DEPTH[0])
    page.mark(0, JSON)


def json_object(page: Page, draw: Draw, value: str | None = None) -> int | None:
    """One flat object on one line, with its labels; `value` replaces one string value.

    Place of the piece that holds `value` and nothing else, None without it.
    """
    at = page.here
    place = _object(page, draw, _Table(draw), False, False, value)
    page.mark(at, JSON)
    return place


def _object(page: Page, draw: Draw, table: _Table, inside: bool, nested: bool, value: str | None) -> int | None:
    """An object; `inside` an array it begins one deeper."""
    at, write, place = page.here, page.write, None
    thing = draw.pick(table.things)
    replaced = draw.below(len(thing)) if value is not None else -1
    write('{"' + table.group + '": ' if nested else "")
    inner = page.here
    write('{"')
    for k, key in enumerate(table.keys):
        write(key + '": "')
        if value is not None and k == replaced:
            place = page.here
            write(value)
        else:
            write(thing[k])
        write('", "' if k < len(thing) - 1 else '"')
    if nested:
        write("}")
        page.mark(inner, DEPTH[1 + inside])
    for free in table.free:
        text = table.value(draw, free)
        write(', "' + free.key + ('": "' + text + '"' if free.kind in _TEXT else '": ' + text))
    write("}")
    page.mark(at, DEPTH[inside])
    return place


def write_csv(page: Page, draw: Draw, size: int) -> None:
    """A header and rows of as many columns."""
    table = _Table(draw)
    page.write(",".join([*table.keys, *(free.key for free in table.free)]))
    while page.size < size or page.here < 4:
        cells = [*draw.pick(table.things)[: len(table.keys)], *(table.value(draw, free) for free in table.free)]
        page.write("\n" + ",".join(cells))
    page.mark(0, CSV)
