"""Writers of the structured formats: documents are valid in their format, and labels say what an independent reading says."""

import ast
import csv
import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from saescope.data.babel import citations, code, latex, markup, records, web
from saescope.data.babel.draw import Draw
from saescope.data.babel.families import FAMILIES, LABELS, NUMBER
from saescope.data.babel.page import Page

WRITERS = {
    "python": code.write_python,
    "json": records.write_json,
    "html": markup.write_html,
    "csv": records.write_csv,
    "latex": latex.write_latex,
    "http": web.write_http,
    "url": web.write_url,
    "academic": citations.write_academic,
    "legal": citations.write_legal,
}
SIZES = (200, 260, 400, 700, 1100, 1500)
N = 60


def made(kind: str, i: int, size: int | None = None) -> Page:
    page = Page()
    WRITERS[kind](page, Draw(3, i), size or SIZES[i % len(SIZES)])
    return page


def texts(kind: str) -> list[str]:
    return [made(kind, i).text() for i in range(N)]


def painted(page: Page, family: str) -> list[str]:
    """Label of each byte, or the empty string."""
    out = [""] * page.size
    for start, end, number in page.spans():
        if LABELS[number][0] == family:
            out[start:end] = [LABELS[number][1]] * (end - start)
    return out


@pytest.mark.parametrize("kind", WRITERS)
class TestEveryWriter:
    def test_size_is_about_what_was_asked_and_always_allowed(self, kind):
        for i in range(N):
            wanted = SIZES[i % len(SIZES)]
            page = made(kind, i)
            assert 200 <= page.size <= 2000
            # an HTTP document ends with a whole request, so that its mean size is what was asked, not its least
            assert wanted - (200 if kind == "http" else 10) <= page.size <= wanted + 450
            assert not page.text().endswith("\n")
            assert page.text().isascii()

    def test_same_draw_same_document(self, kind):
        first, second = made(kind, 5), made(kind, 5)
        assert (first.text(), first.spans()) == (second.text(), second.spans())
        assert len(set(texts(kind))) == N

    def test_every_byte_carries_the_format(self, kind):
        for i in range(12):
            page = made(kind, i)
            assert set(painted(page, "format")) == {kind}


def test_python_documents_parse_and_depth_is_indentation():
    for i in range(N):
        page = made("python", i)
        assert ast.parse(page.text()).body
        depth, at = painted(page, "depth"), 0
        for line in page.text().split("\n"):
            levels = (len(line) - len(line.lstrip())) // 4
            if line:
                assert set(depth[at : at + len(line)]) == {f"depth_{levels}" if levels else ""}
            at += len(line) + 1


def test_json_documents_have_one_schema():
    nested = arrays = 0
    for text in texts("json"):
        arrays += text[0] == "["
        objects = json.loads(text) if text[0] == "[" else [json.loads(line) for line in text.split("\n")]
        assert len({tuple(item) for item in objects}) == 1
        nested += any(isinstance(value, dict) for value in objects[0].values())
    assert 0 < nested < N
    assert 0 < arrays < N


def test_json_depth_counts_brackets():
    for i in range(N):
        page = made("json", i)
        labels, open_brackets = painted(page, "depth"), 0
        for character, label in zip(page.text(), labels, strict=True):
            open_brackets += character in "{["
            assert label == (f"depth_{open_brackets}" if open_brackets else "")
            open_brackets -= character in "}]"


def test_csv_columns_are_equal_and_the_third_follows_from_the_first_two():
    follows: dict[tuple[str, str], str] = {}
    for text in texts("csv"):
        rows = list(csv.reader(io.StringIO(text)))
        assert len({len(row) for row in rows}) == 1
        assert len(rows) >= 4
        assert len(rows[0]) >= 4
        assert len({tuple(row[:3]) for row in rows[1:]}) <= 5
        for row in rows[1:]:
            assert follows.setdefault((row[0], row[1]), row[2]) == row[2]
    assert len(follows) > 80


class States(HTMLParser):
    """Depth of every tag, by an HTML parser that is not ours."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.deepest = 0

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.deepest = max(self.deepest, len(self.open))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_balanced_and_nests_at_most_three_deep():
    for text in texts("html"):
        parser = States()
        parser.feed(text)
        parser.close()
        assert not parser.open
        assert 1 <= parser.deepest <= 3


def html_state(text: str) -> list[str]:
    """State of each character by a regular expression over whole tags."""
    out = ["html_text"] * len(text)
    for tag in re.finditer(r"<(/?)(\w+)([^>]*)>", text):
        start, end = tag.span()
        out[start:end] = ["html_close" if tag[1] else "html_attribute" if tag[3] else "html_tag"] * (end - start)
        if tag[3] and not tag[1]:
            out[start : tag.end(2)] = ["html_tag"] * (tag.end(2) - start)
    return out


def test_html_states_and_depth():
    for i in range(N):
        page = made("html", i)
        text, depth = page.text(), 0
        rules, depths = painted(page, "rule"), painted(page, "depth")
        for at, (character, state) in enumerate(zip(text, html_state(text), strict=True)):
            depth += character == "<" and text[at + 1] != "/"
            if not character.isspace():
                assert rules[at] == state
                assert depths[at] == (f"depth_{depth}" if depth else "")
            depth -= character == ">" and state == "html_close"
        assert set(rules) >= set(FAMILIES["rule"][2:])


def test_latex_environments_close_in_order_and_depth_counts_them():
    for i in range(N):
        page = made("latex", i)
        text, depths, stack = page.text(), painted(page, "depth"), []
        at = 0
        for edge in re.finditer(r"\\(begin|end)\{(\w+)\}", text):
            assert {depths[k] for k in range(at, edge.start()) if not text[k].isspace()} <= {f"depth_{len(stack)}" if stack else ""}
            if edge[1] == "begin":
                stack.append(edge[2])
            else:
                assert stack.pop() == edge[2]
            at = edge.end()
        assert not stack
        assert text.count("{") == text.count("}")


def test_http_requests_keep_their_host_and_say_the_length_of_the_body():
    bodies = 0
    for text in texts("http"):
        assert len(set(re.findall(r"^Host: (.*)$", text, re.MULTILINE))) == 1
        for request in re.split(r"(?m)^(?=[A-Z]+ /\S* HTTP/1.1$)", text)[1:]:
            head, blank, body = request.partition("\n\n")
            assert blank
            assert ("Content-Length" in head) == bool(body.strip()) == (head.split()[0] in ("POST", "PUT", "PATCH"))
            if body.strip():
                bodies += 1
                assert int(head.rsplit("Content-Length: ", 1)[1]) == len(body.rstrip("\n"))
                if "json" in head.rsplit("Content-Type: ", 1)[1]:
                    assert json.loads(body)
    assert bodies >= N


def test_addresses_are_on_few_hosts():
    for text in texts("url"):
        parts = [urlsplit(line) for line in text.split("\n")]
        assert all(part.scheme in ("http", "https", "ftp") and part.netloc and len(part.path) > 1 for part in parts)
        assert 1 <= len({part.netloc for part in parts}) <= 3


def test_the_volume_of_a_journal_follows_its_year():
    first: dict[str, int] = {}
    for text in texts("academic"):
        for line in text.split("\n"):
            year, journal, volume, start, end = re.fullmatch(r".+ \((\d{4})\)\. [^.]+\. ([A-Z][\w ]+) (\d+):(\d+)-(\d+)\.", line).groups()
            assert first.setdefault(journal, int(year) - int(volume)) == int(year) - int(volume)
            assert int(start) < int(end)
    assert len(first) > 15


def test_reporters_follow_the_year():
    cited = 0
    for text in texts("legal"):
        for reporter, year in re.findall(r"v\. [A-Z][\w. ]+, \d+ (U\.S\.|F\.(?:2d|3d)?) \d+ \((\d{4})\)", text):
            cited += 1
            assert reporter == "U.S." or reporter == ("F." if int(year) <= 1924 else "F.2d" if int(year) <= 1993 else "F.3d")
        assert text.count(" v. ") >= 2
    assert cited > N


class TestPieces:
    def test_json_object(self):
        for i in range(30):
            page = Page()
            page.write("before ")
            place = records.json_object(page, Draw(1, i), "SECRET")
            assert place is not None
            assert page.parts[place] == "SECRET"
            assert "SECRET" in json.loads(page.text()[7:]).values()
            assert "\n" not in page.text()
            assert {label for *_, label in page.spans()} == {NUMBER["format", "json"], NUMBER["depth", "depth_1"]}
        assert records.json_object(Page(), Draw(1, 0)) is None

    def test_http_request(self):
        for i in range(30):
            page = Page()
            place = web.http_request(page, Draw(1, i), body="0a1b2c", header=None if i % 2 else "feed")
            assert place is not None
            assert page.parts[place] == "0a1b2c"
            assert page.text().endswith("Content-Length: 6\n\n0a1b2c")
            assert ("X-Request-Id: feed\n" in page.text()) == (i % 2 == 0)
        page = Page()
        place = web.http_request(page, Draw(1, 1), header="feed")
        assert place is not None
        assert page.parts[place] == "feed"
        assert set(painted(page, "format")) == {"http"}

    def test_academic_citation(self):
        page = Page()
        place = citations.academic_citation(page, Draw(1, 1), "ACGT")
        assert place is not None
        assert page.parts[place] == "ACGT"
        assert re.fullmatch(r".+ \(\d{4}\)\. [^.]* of ACGT in [^.]*\. .+ \d+:\d+-\d+\.", page.text())

    def test_url_and_legal_citation(self):
        for i in range(30):
            assert re.fullmatch(r"(https?|ftp)://[a-z.-]+/\S+", web.url(Draw(1, i)))
            assert re.fullmatch(r"[A-Z]\w+ v\. [\w. ]+, \d+ \S+ \d+ \(\d{4}\)", citations.legal_citation(Draw(1, i)))
