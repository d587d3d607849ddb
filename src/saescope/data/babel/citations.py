"""Academic references and legal citations: field, people and cases stay with the document; volume and reporter follow the year."""

from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.page import Page

ACADEMIC, LEGAL = NUMBER["format", "academic"], NUMBER["format", "legal"]

_SURNAMES = tuple(
    """
Abbott Adler Bauer Becker Brandt Carver Chen Cohen Crane Dalton Duarte Ellis Falk Fischer Foster Gallo Gupta Haas Hansen Hughes
Ito Jensen Kaplan Keller Kim Klein Kumar Lang Larsen Levin Lopez Marsh Mason Meyer Moreau Nakano Nolan Olsen Owens Park Peters
Quint Ramos Reyes Rossi Sato Schmidt Singh Stone Tanaka Torres Vogel Wagner Walsh Weber Wong Yates Young Zeller Zhang
""".split()
)
_INITIALS = tuple("ABCDEFGHJKLMNPRSTW")

# A field: journals with the year before their first volume; what is studied, of what, in what.
_FIELDS: tuple[tuple[tuple[tuple[str, int], ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    ((("Journal of Cell Research", 1950), ("Annals of Biology", 1930), ("Genome Letters", 1960)),
     ("Growth", "Division", "Repair", "Regulation", "Structure", "Evolution"),
     ("membrane proteins", "plant genes", "yeast enzymes", "bacterial cells", "muscle fibers", "immune receptors"),
     ("fruit flies", "young mice", "cold water", "human tissue", "marine worms")),
    ((("Physics Reports", 1940), ("Journal of Applied Optics", 1955), ("Quantum Letters", 1960)),
     ("Scattering", "Decay", "Motion", "Interference", "Emission", "Transport"),
     ("slow neutrons", "polarized light", "heavy ions", "sound waves", "charged particles", "cold atoms"),
     ("thin films", "strong fields", "magnetic traps", "layered crystals", "dilute gases")),
    ((("Review of Trade", 1945), ("Journal of Public Economics", 1958), ("Market Studies", 1935)),
     ("Prices", "Demand", "Taxes", "Wages", "Savings", "Growth"),
     ("rural households", "small firms", "open markets", "farm workers", "savings banks", "import quotas"),
     ("growing cities", "poor regions", "wartime", "island states", "coastal towns")),
    ((("Brain and Behavior", 1948), ("Journal of Memory", 1952), ("Child Psychology", 1938)),
     ("Attention", "Memory", "Learning", "Emotion", "Perception", "Fatigue"),
     ("visual patterns", "spoken words", "repeated tasks", "familiar faces", "number lists", "moral choices"),
     ("young children", "older adults", "night workers", "bilingual speakers", "school classes")),
    ((("Acta Chemica", 1932), ("Journal of Catalysis Studies", 1956), ("Polymer Notes", 1960)),
     ("Synthesis", "Reduction", "Stability", "Oxidation", "Diffusion", "Kinetics"),
     ("organic acids", "metal oxides", "porous polymers", "nickel salts", "carbon chains", "amino esters"),
     ("boiling water", "ionic liquids", "sealed vessels", "dry solvents", "dilute alcohol")),
    ((("Annals of Geometry", 1936), ("Journal of Number Theory Notes", 1959), ("Discrete Structures", 1954)),
     ("Bounds", "Proofs", "Limits", "Symmetry", "Counting", "Convergence"),
     ("prime gaps", "random graphs", "convex bodies", "finite groups", "modular forms", "sparse matrices"),
     ("higher dimensions", "compact spaces", "finite fields", "normed spaces", "planar maps")),
    ((("Climate Dynamics Letters", 1957), ("Journal of Glaciers", 1947), ("Ocean Studies", 1939)),
     ("Warming", "Melting", "Drift", "Erosion", "Storage", "Cycles"),
     ("polar ice", "deep currents", "river deltas", "summer rainfall", "coastal winds", "forest carbon"),
     ("the northern seas", "mountain valleys", "the last century", "tropical zones", "desert basins")),
    ((("History Quarterly", 1931), ("Journal of Ancient Trade", 1951), ("Archive Studies", 1946)),
     ("Letters", "Revolts", "Laws", "Rituals", "Markets", "Guilds"),
     ("medieval towns", "royal courts", "temple priests", "river merchants", "village elders", "exiled poets"),
     ("early Egypt", "the late empire", "northern Italy", "the silk roads", "occupied provinces")),
)  # fmt: skip
_OPENINGS = ("", "", "On the ", "Notes on ", "A study of ", "New models of ", "Testing ")


class _Shelf:
    """What stays the same in a list of references: the field and a circle of authors."""

    def __init__(self, draw: Draw):
        self.journals, self.aspects, self.subjects, self.settings = draw.pick(_FIELDS)
        self.people = [draw.pick(_SURNAMES) + ", " + draw.pick(_INITIALS) + "." for _ in range(4 + draw.below(3))]


def write_academic(page: Page, draw: Draw, size: int) -> None:
    """References of one field, one on each line."""
    shelf = _Shelf(draw)
    while True:
        _reference(page, draw, shelf, None)
        if page.size >= size:
            break
        page.write("\n")
    page.mark(0, ACADEMIC)


def academic_citation(page: Page, draw: Draw, title_word: str | None = None) -> int | None:
    """One reference with its label; `title_word` stands as a word of the title.

    Place of the piece that holds `title_word` and nothing else, None without it.
    """
    at = page.here
    place = _reference(page, draw, _Shelf(draw), title_word)
    page.mark(at, ACADEMIC)
    return place


def _reference(page: Page, draw: Draw, shelf: _Shelf, title_word: str | None) -> int | None:
    """`Authors (year). Title. Journal vol:pages.`"""
    write, people = page.write, shelf.people
    first, n = draw.below(len(people)), draw.below(3)
    write(people[first])
    if n:
        write((" and " if n == 1 else ", ") + people[first - 1])
    if n == 2:
        write(" and " + people[first - 2])
    year = 1962 + draw.below(62)
    write(" (" + str(year) + "). ")
    opening, aspect = draw.pick(_OPENINGS), draw.pick(shelf.aspects)
    write(opening + (aspect.lower() if opening else aspect) + " of ")
    place = None
    if title_word is not None:
        place = page.here
        write(title_word)
        write(" in ")
    write(draw.pick(shelf.subjects))
    if draw.below(2):
        write(" in " + draw.pick(shelf.settings))
    journal, before = draw.pick(shelf.journals)
    page_number = 11 + draw.below(480)
    write(". " + journal + " " + str(year - before) + ":" + str(page_number) + "-" + str(page_number + 4 + draw.below(20)) + ".")
    return place


_PARTIES = tuple(
    """
Alder Barlow Bishop Calder Conway Drake Emery Farrow Gibson Harlow Hollis Ingram Jarvis Kendall Lowell Merritt Norwood Osborne
Pruitt Quigley Rawlins Sawyer Thorne Upton Vance Wheeler Yardley
""".split()
)
_STATES = ("Ohio", "Texas", "Maine", "Nevada", "Oregon", "Kansas", "Georgia", "Iowa", "United States", "Virginia")
# A matter of law: the other side of its cases, what is said of it, what the court did.
_MATTERS: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (("Railway Co.", "Steamship Co.", "Freight Co."), ("the carrier", "the railway", "the shipper"),
     ("owes a duty of care", "must deliver in time", "bears the loss", "may limit its liability")),
    (("Insurance Co.", "Trust Co.", "Bank"), ("the insurer", "the policy", "the trustee"),
     ("must be read in good faith", "covers the damage", "owes an account", "may not deny the claim")),
    (("Mining Co.", "Lumber Co.", "Power Co."), ("the owner", "the lease", "the tenant"),
     ("must repair the land", "ends by notice", "may enter the premises", "owes the rent")),
    (_STATES, ("the search", "the warrant", "the officer"),
     ("requires probable cause", "was unreasonable", "must be announced", "may follow consent")),
    (_STATES, ("the statute", "the speaker", "the permit"),
     ("burdens free speech", "serves a public interest", "is vague on its face", "may be regulated in time and place")),
    (("School District", "City Council", "Board of Education"), ("the board", "the district", "the teacher"),
     ("must give notice", "denied a fair hearing", "may set the course", "owes equal treatment")),
)  # fmt: skip
_SIGNALS = ("See ", "See also ", "Cf. ", "But see ", "Accord ")
_HELD = ("holding", "finding", "noting", "stating")
_FRAMES = (
    "The court relied on ",
    "The rule is settled. ",
    "We follow ",
    "Counsel cites ",
    "The issue was decided in ",
    "The brief rests on ",
)
# Years up to which a reporter was used, for the courts of the states and the country.
_REPORTERS: tuple[tuple[int, str, str], ...] = ((1924, "U.S.", "F."), (1993, "U.S.", "F.2d"), (2030, "U.S.", "F.3d"))


def _case(draw: Draw, parties: tuple[str, ...]) -> tuple[str, str, str]:
    """(name, reporter, year) of a case: the volume grows with the year."""
    year = 1900 + draw.below(120)
    _, high, federal = next(row for row in _REPORTERS if year <= row[0])
    reporter = (high if draw.below(2) else federal) + " " + str(10 + draw.below(890))
    return draw.pick(_PARTIES) + " v. " + draw.pick(parties), str(180 + 3 * (year - 1900) + draw.below(3)) + " " + reporter, str(year)


def write_legal(page: Page, draw: Draw, size: int) -> None:
    """Sentences of a brief about one matter; a case that was cited comes back."""
    parties, subjects, rulings = draw.pick(_MATTERS)
    cases = [_case(draw, parties) for _ in range(3)]
    write = page.write
    while True:
        name, where, year = draw.pick(cases) if draw.below(2) else _case(draw, parties)
        framed = not draw.below(3)
        write(draw.pick(_FRAMES if framed else _SIGNALS))
        write(name + ", " + where + " (" + year + ")")
        if not framed or draw.below(2):
            write(" (" + draw.pick(_HELD) + " that " + draw.pick(subjects) + " " + draw.pick(rulings) + ")")
        write(".")
        if page.size >= size:
            break
        write("\n" if not draw.below(4) else " ")
    page.mark(0, LEGAL)


def legal_citation(draw: Draw) -> str:
    """`Name v. Name, 123 U.S. 456 (1987)`."""
    name, where, year = _case(draw, draw.pick(_MATTERS)[0])
    return name + ", " + where + " (" + year + ")"
