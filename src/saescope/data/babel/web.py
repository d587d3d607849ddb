"""HTTP requests and lists of addresses: hosts, agents and folders stay with the document."""

from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.page import Page

HTTP, URL = NUMBER["format", "http"], NUMBER["format", "url"]

# A site: its name, its folders; what lies in a folder follows from it.
_SITES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("shop", ("products", "orders", "basket", "offers")),
    ("news", ("world", "sports", "culture", "letters")),
    ("library", ("books", "authors", "shelves", "loans")),
    ("weather", ("stations", "maps", "forecast", "storms")),
    ("music", ("albums", "songs", "artists", "charts")),
    ("travel", ("hotels", "flights", "trains", "guides")),
    ("school", ("courses", "teachers", "lessons", "exams")),
    ("bank", ("accounts", "payments", "cards", "loans")),
    ("photo", ("albums", "images", "cameras", "galleries")),
    ("cooking", ("recipes", "spices", "menus", "kitchens")),
    ("game", ("players", "levels", "scores", "teams")),
    ("garden", ("plants", "seeds", "tools", "seasons")),
)
_PREFIXES = ("www", "api", "data", "static", "my", "old")
_MIDDLES = ("river", "stone", "maple", "silver", "north", "cloud", "amber", "harbor", "summit", "falcon", "meadow", "copper")
_ENDINGS = (".com", ".org", ".net", ".info", ".example")
_LEAVES = (
    "list", "index", "search", "detail", "latest", "archive", "summary", "view", "edit", "public", "daily", "report", "history", "popular",
    "entry", "review", "topic", "table", "group", "price", "sample", "draft", "final", "notes",
)  # fmt: skip
_SUFFIXES: tuple[tuple[str, str], ...] = (
    (".html", "text/html"),
    (".json", "application/json"),
    (".xml", "application/xml"),
    (".png", "image/png"),
    (".css", "text/css"),
    ("", "*/*"),
)
_KEYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("page", ("1", "2", "3", "4", "5", "10", "20")),
    ("sort", ("name", "date", "price", "size", "rank")),
    ("lang", ("en", "de", "fr", "ar", "he", "ko", "el")),
    ("limit", ("10", "20", "50", "100")),
    ("order", ("asc", "desc")),
    ("format", ("full", "short", "raw")),
    ("user", ("anna", "bruno", "clara", "diego", "elena", "felix")),
)
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/118.0", "Mozilla/5.0 (Windows NT 10.0) Chrome/116.0", "Mozilla/5.0 (Macintosh) Safari/605.1",
    "curl/8.1.2", "Wget/1.21.3", "python-requests/2.31.0", "okhttp/4.11.0", "Crawler/2.4 (robots)",
)  # fmt: skip
_LANGUAGES = ("en", "de", "fr", "ar", "he", "ko", "el", "ru")
_CACHE = ("no-cache", "max-age=0", "max-age=3600", "no-store")
_READS, _SENDS = ("GET", "GET", "GET", "HEAD", "DELETE"), ("POST", "POST", "PUT", "PATCH")
_SCHEMES = ("http://", "https://", "https://", "ftp://")
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


class _Visit:
    """What stays the same in a document: host, folders, agent, language."""

    def __init__(self, draw: Draw):
        site, self.folders = draw.pick(_SITES)
        self.host = draw.pick(_PREFIXES) + "." + draw.pick(_MIDDLES) + "-" + site + draw.pick(_ENDINGS)
        self.agent = draw.pick(_AGENTS)
        self.language = draw.pick(_LANGUAGES)
        self.encoding = draw.below(2)
        self.token = str(1000 + draw.below(9000))

    def path(self, draw: Draw) -> tuple[str, str]:
        """(path, media type of what lies there)."""
        suffix, media = draw.pick(_SUFFIXES)
        path = "/" + draw.pick(self.folders) + "/"
        kind = draw.below(4)
        if kind == 0:
            path += str(10 + draw.below(90)) + "/"
        return path + draw.pick(_LEAVES) + suffix + (_query(draw, "?") if kind == 1 else ""), media


def _query(draw: Draw, before: str) -> str:
    """One or two keys with values, in the order of the table."""
    first = draw.below(len(_KEYS))
    key, values = _KEYS[first]
    text = before + key + "=" + draw.pick(values)
    if first + 1 < len(_KEYS) and draw.below(2):
        key, values = _KEYS[first + 1 + draw.below(len(_KEYS) - first - 1)]
        text += "&" + key + "=" + draw.pick(values)
    return text


def write_http(page: Page, draw: Draw, size: int) -> None:
    """Requests of one visitor to one host; the last one has a body, so that its headers end with a blank line."""
    visit = _Visit(draw)
    while page.size < size - 340:
        sends = draw.chance(35)
        _request(page, draw, visit, sends)
        page.write("\n\n" if sends else "")
    _request(page, draw, visit, True)
    while page.size < 200:
        page.write("\n\n")
        _request(page, draw, visit, True)
    page.mark(0, HTTP)


def http_request(page: Page, draw: Draw, body: str | None = None, header: str | None = None) -> int | None:
    """One request with its label; it ends with the body, `body` if given, or with the blank line of a request without one.

    `header` is the value of one more header, X-Request-Id. Place of the piece that holds `body`, else
    `header`, and nothing else; None without them.
    """
    at = page.here
    place = _request(page, draw, _Visit(draw), body is not None or draw.chance(50), body, header)
    page.mark(at, HTTP)
    return place


def _request(page: Page, draw: Draw, visit: _Visit, sends: bool, body: str | None = None, header: str | None = None) -> int | None:
    write, place = page.write, None
    path, media = visit.path(draw)
    method = draw.pick(_SENDS if sends else _READS)
    write(method + " " + path + " HTTP/1.1\nHost: " + visit.host + "\nUser-Agent: " + visit.agent + "\nAccept: " + media + "\n")
    chosen = draw.below(8)
    if chosen & 1:
        write("Accept-Language: " + visit.language + "\n")
    if visit.encoding:
        write("Accept-Encoding: gzip\n")
    if chosen & 2:
        write("Cookie: session=" + visit.token + "\n")
    if chosen & 4:
        write("Referer: https://" + visit.host + "/" + draw.pick(visit.folders) + "\n")
    if method in ("GET", "HEAD"):
        write("Cache-Control: " + draw.pick(_CACHE) + "\n")
    if header is not None:
        write("X-Request-Id: ")
        place = page.here
        write(header)
        write("\n")
    if sends:
        form = body is None and draw.below(2) == 1
        text = body if body is not None else _query(draw, "") if form else _pairs(draw)
        write("Content-Type: " + (_FORM if form else "text/plain" if body is not None else _JSON))
        write("\nContent-Length: " + str(len(text.encode())) + "\n\n")
        place = page.here if body is not None else place
        write(text)
    else:
        write("\n")
    return place


def _pairs(draw: Draw) -> str:
    """A JSON object of one or two pairs."""
    first = draw.below(len(_KEYS) - 1)
    chosen = (first, first + 1 + draw.below(len(_KEYS) - first - 1))[: 1 + draw.below(2)]
    return "{" + ", ".join('"' + _KEYS[k][0] + '": "' + draw.pick(_KEYS[k][1]) + '"' for k in chosen) + "}"


def url(draw: Draw) -> str:
    """An address: scheme://host/path."""
    return _address(draw, _Visit(draw), draw.pick(_SCHEMES))


def _address(draw: Draw, visit: _Visit, scheme: str) -> str:
    return scheme + visit.host + visit.path(draw)[0]


def write_url(page: Page, draw: Draw, size: int) -> None:
    """Addresses on two or three hosts, one on each line."""
    visits = [(_Visit(draw), draw.pick(_SCHEMES)) for _ in range(2 + draw.below(2))]
    while True:
        visit, scheme = draw.pick(visits)
        page.write(_address(draw, visit, scheme))
        if page.size >= size:
            break
        page.write("\n")
    page.mark(0, URL)
