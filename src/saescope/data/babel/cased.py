"""Lines whose form is their kind: numbers with dates and times, notices in capitals, identifiers in snake case and in capitals."""

from collections.abc import Callable

from saescope.data.babel.cased_words import (
    ASPECTS,
    AUDIENCES,
    CAPS_FEATURES,
    CAPS_QUANTITIES,
    CAPS_STATES,
    CAPS_SUBJECTS,
    DUTIES,
    HOURS,
    OFFICES,
    PERMITS,
    PLACES,
    SNAKE_FIELDS,
    SNAKE_STATES,
    SNAKE_SUBJECTS,
    STATES,
)  # fmt: skip
from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.page import Page
from saescope.data.babel.words_topics import plural

NUMBERS, CAPS, SNAKE, CAPS_SNAKE = (NUMBER["format", name] for name in ("numbers", "caps", "snake", "caps_snake"))
_TWO = tuple(f"{n:02d}" for n in range(100))
_LEVELS = (2, 7, 12, 20, 35, 48, 60, 75, 90, 110, 240, 360, 500, 980)
_UNITS = ("", "kg", "mm", "cm", "km", "ms", "mb", "hz", "kw", "eur", "usd", "pt", "db")


class _Columns:
    """The values of one document: for every column a level that all its rows stay near, a number of decimals, and a unit."""

    def __init__(self, draw: Draw, n: int):
        self.draw = draw
        self.columns = [(draw.pick(_LEVELS), draw.below(3), draw.pick(_UNITS)) for _ in range(n)]

    def row(self) -> str:
        """A space and a value for each column."""
        draw, out = self.draw, []
        for level, decimals, unit in self.columns:
            out.append(f" {level + draw.below(4)}")
            if decimals:
                out.append("." + ("05" if decimals == 1 else ("00", "25", "50", "75"))[draw.below(2 * decimals)])
            out.append(unit)
        return "".join(out)


def write_numbers(page: Page, draw: Draw, size: int) -> None:
    """Rows of a log or of a table: date or year, time, values; what a row begins with follows from the row before it."""
    start = page.here
    page.write(number_rows(draw, size))
    page.mark(start, NUMBERS)


def number_rows(draw: Draw, size: int) -> str:
    """Rows of at least `size` characters."""
    shape, columns = draw.below(4), _Columns(draw, draw.between(2, 4))
    year, month, day = draw.between(1950, 2029), draw.between(1, 12), draw.between(1, 28)
    hour, minute, step = draw.below(24), 5 * draw.below(12), draw.pick((5, 10, 15, 20, 30))
    second = draw.pick(("00", "15", "30", "45"))
    rows, left = [], size
    while left > 0:
        if shape == 0:
            head = f"{year}-{_TWO[month]}-{_TWO[day]} {_TWO[hour]}:{_TWO[minute]}:{second}"
        elif shape == 1:
            head = f"{_TWO[hour]}:{_TWO[minute]}"
        elif shape == 2:
            head = f"{_TWO[day]}/{_TWO[month]}/{year}"
        else:
            head = str(year)
        rows.append(head + columns.row())
        left -= len(rows[-1]) + (left < size)
        minute += step
        hour, minute = (hour + minute // 60) % 24, minute % 60
        if shape == 2:
            day = day % 28 + 1
        elif shape == 3:
            year = year + 1 if year < 2049 else 1950
    return "\n".join(rows)


def write_caps(page: Page, draw: Draw, size: int) -> None:
    """A notice in capitals: one office speaks to one audience about two places."""
    start = page.here
    office, audience, places = draw.pick(OFFICES), draw.pick(AUDIENCES), (draw.pick(PLACES), draw.pick(PLACES))
    closing = f"\nBY ORDER OF THE {office}"
    page.write(f"NOTICE TO ALL {audience} OF THE {office}")
    left = size - page.size - len(closing)
    while left > 0:
        line = caps_sentence(draw, audience, draw.pick(places))
        page.write("\n" + line)
        left -= len(line) + 1
    page.write(closing)
    page.mark(start, CAPS)


def caps_sentence(draw: Draw, audience: str | None = None, place: str | None = None) -> str:
    """One line of a notice."""
    audience, place = audience or draw.pick(AUDIENCES), place or draw.pick(PLACES)
    verb, things = draw.pick(DUTIES)
    thing, other, hour, shape = draw.pick(things), draw.pick(things), draw.pick(HOURS), draw.below(10)
    if shape < 2:
        return f"ALL {audience} MUST {verb} THE {thing} BEFORE {hour}"
    if shape == 2:
        return f"DO NOT {verb} THE {thing} IN THE {place} WITHOUT {draw.pick(PERMITS)}"
    if shape == 3:
        return f"THE {place} IS {draw.pick(STATES)} UNTIL {hour}"
    if shape == 4:
        return f"THE {thing} OF THE {place} WILL BE {draw.pick(STATES)} AFTER {hour}"
    if shape == 5:
        return f"PLEASE {verb} YOUR {thing} AND THE {other} OF THE {place}"
    if shape == 6:
        return f"{audience} WITHOUT {draw.pick(PERMITS)} ARE NOT ALLOWED TO {verb} THE {thing}"
    if shape == 7:
        return f"WARNING THE {place} AND ITS {thing} ARE {draw.pick(STATES)}"
    if shape == 8:
        return f"NO {audience} MAY ENTER THE {place} BETWEEN {hour} AND {draw.pick(HOURS)}"
    return f"EITHER {verb} THE {thing} OR LEAVE THE {place} BY {hour}"


def write_snake(page: Page, draw: Draw, size: int) -> None:
    """Lists of identifiers about a few subjects and their fields."""
    subjects, fields = [draw.pick(SNAKE_SUBJECTS) for _ in range(3)], [draw.pick(SNAKE_FIELDS) for _ in range(6)]
    _listed(page, draw, size, SNAKE, lambda: snake_name(draw, draw.pick(subjects), draw.pick(fields)))


def snake_name(draw: Draw, subject: str | None = None, field: str | None = None) -> str:
    """An identifier: the first word decides what the last one can be."""
    subject, field = subject or draw.pick(SNAKE_SUBJECTS), field or draw.pick(SNAKE_FIELDS)
    shape = draw.below(8)
    if shape < 3:
        return f"{('get', 'set', 'load', 'save', 'read', 'update')[draw.below(6)]}_{subject}_{field}"
    if shape == 3:
        return f"{('is', 'was', 'mark')[draw.below(3)]}_{subject}_{draw.pick(SNAKE_STATES)}"
    if shape == 4:
        return f"{('sort', 'group', 'list')[draw.below(3)]}_{plural(subject)}_by_{field}"
    if shape == 5:
        return f"{('count', 'find', 'merge')[draw.below(3)]}_{draw.pick(SNAKE_STATES)}_{plural(subject)}"
    if shape == 6:
        return f"{subject}_{field}"
    return f"{('max', 'min', 'old', 'new')[draw.below(4)]}_{subject}_{field}"


def write_caps_snake(page: Page, draw: Draw, size: int) -> None:
    """Lists of constants about a few subjects."""
    subjects, aspects = [draw.pick(CAPS_SUBJECTS) for _ in range(3)], [draw.pick(ASPECTS) for _ in range(4)]
    _listed(page, draw, size, CAPS_SNAKE, lambda: caps_snake_name(draw, draw.pick(subjects), draw.pick(aspects)))


def caps_snake_name(draw: Draw, subject: str | None = None, aspect: str | None = None) -> str:
    """A constant: the first word decides what the last one can be."""
    subject, aspect = subject or draw.pick(CAPS_SUBJECTS), aspect or draw.pick(ASPECTS)
    shape = draw.below(6)
    if shape < 2:
        return f"{('MAX', 'MIN', 'DEFAULT', 'INITIAL')[draw.below(4)]}_{subject}_{aspect}_{draw.pick(CAPS_QUANTITIES)}"
    if shape == 2:
        return f"{('ENABLE', 'ALLOW', 'USE', 'FORCE')[draw.below(4)]}_{subject}_{draw.pick(CAPS_FEATURES)}"
    if shape == 3:
        return f"{('ERROR', 'STATUS', 'EVENT')[draw.below(3)]}_{subject}_{draw.pick(CAPS_STATES)}"
    if shape == 4:
        return f"{subject}_{aspect}_{draw.pick(CAPS_QUANTITIES)}"
    return f"{subject}_{draw.pick(CAPS_STATES)}_{('COUNT', 'TIME', 'CODE')[draw.below(3)]}"


def _listed(page: Page, draw: Draw, size: int, label: int, name: Callable[[], str]) -> None:
    """Names in one layout until `size` bytes are full."""
    start = page.here
    before, between, per_line = (("", "", 1), ("- ", "", 1), ("", " ", 3), ("", " -> ", 2))[draw.below(4)]
    while True:
        page.write(before + between.join([name() for _ in range(per_line)]))
        if page.size >= size:
            break
        page.write("\n")
    page.mark(start, label)
