"""HTML: lists, tables, paragraphs and boxes about one theme, nested at most three deep, every byte in one of four states."""

from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.page import Page

HTML = NUMBER["format", "html"]
TAG, ATTRIBUTE, TEXT, CLOSE = (NUMBER["rule", f"html_{state}"] for state in ("tag", "attribute", "text", "close"))
DEPTH = tuple(NUMBER["depth", f"depth_{k}"] for k in (1, 2, 3, 4))

# A theme: things, what they are like, what one does with them.
_THEMES: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("shoes", "jackets", "gloves", "scarves", "hats", "belts"),
        ("warm", "cheap", "leather", "woolen", "new"),
        ("buy", "compare", "return"),
    ),
    (
        ("articles", "letters", "reports", "columns", "reviews", "essays"),
        ("long", "recent", "weekly", "short", "local"),
        ("read", "share", "print"),
    ),
    (
        ("songs", "albums", "concerts", "singers", "bands", "choirs"),
        ("loud", "famous", "live", "acoustic", "rare"),
        ("play", "download", "rate"),
    ),
    (
        ("recipes", "soups", "cakes", "spices", "sauces", "breads"),
        ("fresh", "spicy", "quick", "sweet", "simple"),
        ("cook", "taste", "save"),
    ),
    (
        ("flights", "hotels", "islands", "museums", "beaches", "tours"),
        ("sunny", "quiet", "guided", "direct", "distant"),
        ("book", "visit", "cancel"),
    ),
    (
        ("lessons", "teachers", "exams", "classes", "grades", "courses"),
        ("easy", "advanced", "open", "evening", "written"),
        ("join", "study", "repeat"),
    ),
    (
        ("servers", "networks", "files", "backups", "systems", "passwords"),
        ("secure", "fast", "remote", "private", "old"),
        ("install", "update", "delete"),
    ),
    (
        ("players", "teams", "matches", "trophies", "leagues", "coaches"),
        ("strong", "young", "national", "final", "junior"),
        ("follow", "watch", "support"),
    ),
    (("roses", "seeds", "hedges", "lawns", "bulbs", "ferns"), ("green", "early", "tall", "wild", "tender"), ("plant", "water", "trim")),
    (
        ("books", "authors", "novels", "poems", "libraries", "stories"),
        ("old", "printed", "modern", "classic", "translated"),
        ("borrow", "order", "reserve"),
    ),
)
_CLASSES = (
    "box", "card", "menu", "main", "side", "note", "item", "wide", "dark", "light", "small", "large", "first", "active", "panel", "header",
    "footer", "content", "button", "column", "banner", "center", "hidden", "round",
)  # fmt: skip
_OPENINGS = ("All", "Our", "Some", "Many", "These", "Your")
_VERBS = ("are", "look", "seem", "were", "stay")
_PLACES = ("here", "today", "this week", "in the shop", "every day", "on this page", "near you")


class _Site:
    """What stays the same in a document: its theme and three classes."""

    def __init__(self, draw: Draw):
        self.things, self.qualities, self.actions = draw.pick(_THEMES)
        first = draw.below(len(_CLASSES))
        self.classes = tuple(_CLASSES[first - k * (1 + draw.below(6))] for k in range(3))

    def style(self, draw: Draw) -> str:
        """An attribute, or none."""
        return 'class="' + draw.pick(self.classes) + '"' if draw.below(3) else ""

    def phrase(self, draw: Draw) -> str:
        return draw.pick(self.qualities) + " " + draw.pick(self.things)


def write_html(page: Page, draw: Draw, size: int) -> None:
    """Blocks of about 200 bytes until the size is reached."""
    site = _Site(draw)
    blocks = (_list, _list, _table, _paragraph, _paragraph, _box)
    while True:
        draw.pick(blocks)(page, draw, site)
        if page.size >= size:
            break
        page.write("\n")
    page.mark(0, HTML)


def _open(page: Page, name: str, attribute: str = "") -> int:
    """An opening tag; its place."""
    at = page.here
    if attribute:
        page.word("<" + name, TAG)
        page.word(" " + attribute + ">", ATTRIBUTE)
    else:
        page.word("<" + name + ">", TAG)
    return at


def _close(page: Page, name: str, at: int, depth: int) -> None:
    page.word("</" + name + ">", CLOSE)
    page.mark(at, DEPTH[depth - 1])


def _element(page: Page, name: str, attribute: str, text: str, depth: int) -> None:
    at = _open(page, name, attribute)
    page.word(text, TEXT)
    _close(page, name, at, depth)


def _link(page: Page, draw: Draw, site: _Site, depth: int) -> None:
    thing = draw.pick(site.things)
    _element(page, "a", 'href="/' + thing + "/" + draw.pick(site.qualities) + '"', draw.pick(site.actions) + " " + thing, depth)


def _list(page: Page, draw: Draw, site: _Site) -> None:
    name = "ol" if draw.below(3) == 0 else "ul"
    links, style = draw.below(3) == 0, site.style(draw)
    # Items with links have no class: no token then holds the end of one state and the beginning of the next.
    at = _open(page, name, site.style(draw))
    for _ in range(2 + draw.below(4)):
        page.write("\n  ")
        if links:
            item = _open(page, "li")
            _link(page, draw, site, 3)
            _close(page, "li", item, 2)
        else:
            _element(page, "li", style, site.phrase(draw), 2)
    page.write("\n")
    _close(page, name, at, 1)


def _table(page: Page, draw: Draw, site: _Site) -> None:
    style, columns = site.style(draw), 2 + draw.below(2)
    at = _open(page, "table", site.style(draw))
    for row in range(2 + draw.below(2)):
        page.write("\n")
        line = _open(page, "tr")
        cell = "td" if row else "th"
        page.write("\n  ")
        _element(page, cell, style, draw.pick(site.things), 3)
        for _ in range(columns - 1):
            page.write("\n  ")
            _element(page, cell, style, str(10 + draw.below(90)) if row else draw.pick(site.qualities), 3)
        page.write("\n")
        _close(page, "tr", line, 2)
    page.write("\n")
    _close(page, "table", at, 1)


def _paragraph(page: Page, draw: Draw, site: _Site, depth: int = 1) -> None:
    at = _open(page, "p", site.style(draw))
    page.word(draw.pick(_OPENINGS) + " " + draw.pick(site.things) + " " + draw.pick(_VERBS) + " ", TEXT)
    _element(page, ("em", "strong", "b")[draw.below(3)], "", draw.pick(site.qualities), depth + 1)
    page.word(" " + draw.pick(_PLACES), TEXT)
    if draw.below(2):
        page.word(" and you can ", TEXT)
        _link(page, draw, site, depth + 1)
        page.word(" " + draw.pick(_PLACES), TEXT)
    _close(page, "p", at, depth)


def _box(page: Page, draw: Draw, site: _Site) -> None:
    at = _open(page, "div", 'id="' + draw.pick(site.things) + '"')
    page.write("\n  ")
    _element(page, ("h1", "h2", "h3")[draw.below(3)], site.style(draw), site.phrase(draw).capitalize(), 2)
    for _ in range(1 + draw.below(2)):
        page.write("\n  ")
        _paragraph(page, draw, site, 2)
    page.write("\n")
    _close(page, "div", at, 1)
