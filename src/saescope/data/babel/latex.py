"""LaTeX: sections, environments and formulas in the symbols of one theme."""

from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.page import Page

LATEX = NUMBER["format", "latex"]
DEPTH = tuple(NUMBER["depth", f"depth_{k}"] for k in (1, 2, 3, 4))

# A theme: symbols, functions, objects, qualities.
_THEMES: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("x", "y", "z", "t"),
        ("f", "g", "h"),
        ("function", "limit", "sequence", "integral", "series"),
        ("continuous", "bounded", "smooth", "finite"),
    ),
    (
        ("a", "b", "c", "e"),
        ("\\phi", "\\psi", "\\theta"),
        ("group", "ring", "kernel", "module", "ideal"),
        ("normal", "simple", "cyclic", "free"),
    ),
    (
        ("u", "v", "w", "s"),
        ("d", "p", "q"),
        ("graph", "path", "tree", "matching", "cycle"),
        ("planar", "connected", "directed", "complete"),
    ),
    (
        ("\\mu", "\\sigma", "\\lambda", "\\nu"),
        ("P", "F", "E"),
        ("variable", "sample", "density", "moment", "process"),
        ("random", "discrete", "stationary", "biased"),
    ),
    (
        ("A", "B", "C", "D"),
        ("\\det", "\\rank", "\\trace"),
        ("matrix", "vector", "basis", "operator", "subspace"),
        ("square", "symmetric", "invertible", "diagonal"),
    ),
    (
        ("m", "r", "k", "l"),
        ("V", "T", "W"),
        ("force", "energy", "field", "orbit", "potential"),
        ("constant", "central", "external", "uniform"),
    ),
)
_INDICES = ("1", "2", "i", "j", "n")
_VERBS = ("is", "becomes", "remains", "stays")
_HEADINGS = ("On the", "The", "Every", "Another")
_LABELS = ("main", "first", "last", "basic", "small", "general")
_CLAIMS = ("theorem", "lemma", "definition", "remark", "corollary")
_JOINS = (" + ", " - ", " \\cdot ", " \\leq ")


class _Paper:
    """What stays the same in a document: the theme's words and three of its symbols."""

    def __init__(self, draw: Draw):
        symbols, self.functions, self.objects, self.qualities = draw.pick(_THEMES)
        self.symbols = draw.shuffled(symbols)[:3]

    def symbol(self, draw: Draw) -> str:
        return draw.pick(self.symbols) + "_{" + draw.pick(_INDICES) + "}"

    def term(self, draw: Draw) -> str:
        kind = draw.below(6)
        if kind == 0:
            return "\\frac{" + self.symbol(draw) + "}{" + self.symbol(draw) + "}"
        if kind == 1:
            return draw.pick(self.functions) + "(" + draw.pick(self.symbols) + ")"
        if kind == 2:
            return "\\sqrt{" + draw.pick(self.symbols) + "}"
        if kind == 3:
            return draw.pick(self.symbols) + "^{" + str(2 + draw.below(3)) + "}"
        return self.symbol(draw)

    def formula(self, draw: Draw) -> str:
        return self.symbol(draw) + " = " + self.term(draw) + draw.pick(_JOINS) + self.term(draw)

    def sentence(self, draw: Draw) -> str:
        """About 60 bytes with one inline formula."""
        words = (
            draw.pick(_HEADINGS) + " " + draw.pick(self.objects) + " $" + draw.pick(self.functions) + "(" + draw.pick(self.symbols) + ")$ "
        )
        return words + draw.pick(_VERBS) + " " + draw.pick(self.qualities)


def write_latex(page: Page, draw: Draw, size: int) -> None:
    """Sections, each of a heading and a few environments."""
    paper, left = _Paper(draw), 0
    while True:
        if not left:
            left = 2 + draw.below(3)
            page.write("\\section{" + draw.pick(_HEADINGS) + " " + draw.pick(paper.qualities) + " " + draw.pick(paper.objects) + "}\n")
            if draw.below(2):
                page.write(paper.sentence(draw) + ".\n")
        left -= 1
        draw.pick((_equation, _equation, _align, _items, _claim))(page, draw, paper, 1)
        if page.size >= size:
            break
        page.write("\n")
    page.mark(0, LATEX)


def _begin(page: Page, name: str, more: str = "") -> int:
    at = page.here
    page.write("\\begin{" + name + "}" + more + "\n")
    return at


def _end(page: Page, name: str, at: int, depth: int) -> None:
    page.write("\\end{" + name + "}")
    page.mark(at, DEPTH[depth - 1])


def _equation(page: Page, draw: Draw, paper: _Paper, depth: int) -> None:
    label = "\\label{eq:" + draw.pick(_LABELS) + "}" if draw.below(2) else ""
    at = _begin(page, "equation", label)
    page.write("  " + paper.formula(draw) + "\n")
    _end(page, "equation", at, depth)


def _align(page: Page, draw: Draw, paper: _Paper, depth: int) -> None:
    at = _begin(page, "align")
    for k in range(2 + draw.below(2)):
        page.write((" \\\\\n  " if k else "  ") + paper.symbol(draw) + " &= " + paper.term(draw) + draw.pick(_JOINS) + paper.term(draw))
    page.write("\n")
    _end(page, "align", at, depth)


def _items(page: Page, draw: Draw, paper: _Paper, depth: int) -> None:
    name = ("itemize", "enumerate")[draw.below(2)]
    at = _begin(page, name)
    for _ in range(2 + draw.below(3)):
        page.write("  \\item " + paper.sentence(draw) + "\n")
    _end(page, name, at, depth)


def _claim(page: Page, draw: Draw, paper: _Paper, depth: int) -> None:
    """A claim, sometimes with an equation inside."""
    name = draw.pick(_CLAIMS)
    at = _begin(page, name)
    page.write(paper.sentence(draw) + ".\n")
    if draw.below(2):
        _equation(page, draw, paper, depth + 1)
        page.write("\n")
    _end(page, name, at, depth)
