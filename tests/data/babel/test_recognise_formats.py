"""Recognisers of the structured formats, on texts written by hand, on every kind's documents, on cut and on hostile text."""

import ast
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saescope.data.babel import citations, code, latex, markup, records, web
from saescope.data.babel.draw import Draw
from saescope.data.babel.page import Page
from saescope.data.babel.recognise_formats import RECOGNISERS

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
PROSE = "Anna walked to the harbor. It was late, and the boats were gone.\n(She said nothing.) Return home, she thought, if you can.\n"
YES = {
    "python": [
        "x = 1\ny = x + 2",
        "import os",
        "def f(a):\n    return a\n\n\nprint(f(3))",
        "@cache\ndef f():\n    pass",
        "for x in y:\n    z(x)",
        "try:\n    f()\nexcept ValueError:\n    x = f() + 1",
        "value = f(\n1,\n2,\n)",
        'text = """\nWhat is this?\n""" + tail',
        "total += 1",
    ],
    "json": ['{"a": 1}', "[1, 2]", '[\n  {"a": [true, null]},\n  {"b": "}"}\n]'],
    "html": ["<p>Hello</p>", '<ul class="a">\n<li>one</li><li><b>two</b></li>\n</ul>', "<p>one<br>two</p>", '<img src="a.png"/>'],
    "csv": ["a,b,c\n1,2,3\n4,5,6", "a,b,c\n1,,3\nx y,5,6\n7,8,9"],
    "latex": ["\\begin{a}x\\end{a}", "\\begin{a}\n\\begin{b}\\frac{1}{2}\\end{b}\n\\end{a}", "\\section{One {two}}"[:12] + "}"],
    "http": ["GET / HTTP/1.1\nHost: a.b\n\n", "POST /a?b=c HTTP/1.0\nHost: a.b\nContent-Length: 3\n\nabc"],
    "url": ["http://a.b/c", "ftp://a-b.c:80/d/e.html?f=1&g=2"],
    "academic": [
        "Kim, A. (1999). On trees. Journal of Trees 12:3-9.",
        "Kim, A. B., Lee, C. and Cohen, D. (2003a). Growth of things in water. Annals of Water 4(2):117.",
    ],
    "legal": [
        "Baker v. Able, 123 U.S. 456 (1987)",
        "See Baker v. City of Able, 12 F.3d 4, 9 (2001)",
        "Cf. State Bank v. Ohio, 12 F. 4 (1901) (holding that the state may sue)",
    ],
}
NO = {
    "python": ["hello", "12, 13", "x = 1", "max_size = 30\nname = 'a'", PROSE, "def f(:\n", "Host: www", '{"a": 1}', "a,b,c\nd,e,f\ng,h,i"],
    "json": ["{}", "[]", '{"a": 1', "{a: 1}", "[1, 2", "[NaN]", PROSE],
    "html": ["<p>Hello", "<p>Hello</b>", "a < b > c", "</p>", PROSE],
    "csv": ["a,b,c\n1,2,3", "a,b\n1,2\n3,4", "a,b,c\n1,2\n4,5,6", "a, b, c\n1, 2, 3\n4, 5, 6", PROSE * 3],
    "latex": ["\\begin{a}x", "\\begin{a}x\\end{b}", "\\begin{a}{\\end{a}", "$5 and $6", PROSE],
    "http": ["GET / HTTP/1.1\n\n", "GET / HTTP/1.1\nHost: a", "Get well", "get / HTTP/1.1\nHost: a\n\n", PROSE],
    "url": ["www.a.b/c", "http://", "http://a.b", PROSE],
    "academic": ["Kim, A. (1999). On trees.", "Kim (1999). On trees. Journal of Trees 12:3.", PROSE],
    "legal": ["Baker v. Able", "Baker v. Able, 123 U.S. 456", "baker v. able, 123 U.S. 456 (1987)", PROSE],
}


def made(kind: str, i: int, size: int) -> str:
    page = Page()
    WRITERS[kind](page, Draw(11, i), size)
    return page.text()


def share(label: str, text: str) -> float:
    """Of the non-space characters, those in matches."""
    matched = sum(len("".join(text[start:end].split())) for start, end in RECOGNISERS[label](text))
    return matched / len("".join(text.split()))


@pytest.mark.parametrize(("label", "text"), [(label, text) for label, all_of in YES.items() for text in all_of])
def test_complete_text_is_matched_whole_and_in_prose(label, text):
    assert RECOGNISERS[label](text) == [(0, len(text))]
    around = PROSE + "\n" + text + "\n" + PROSE
    found = RECOGNISERS[label](around)
    assert [around[start:end] for start, end in found] == [text]


@pytest.mark.parametrize(("label", "text"), [(label, text) for label, all_of in NO.items() for text in all_of])
def test_what_is_not_complete_is_not_matched(label, text):
    assert RECOGNISERS[label](text) == []


def test_around_what_is_wrong_the_rest_is_matched():
    text = "def f(a):\n    b = a + 1\n    b = = 2\n    for x in a:\n        b += x\n    return b\n"
    assert [text[a:b] for a, b in RECOGNISERS["python"](text)] == [
        "def f(a):\n    b = a + 1",
        "    for x in a:\n        b += x\n    return b",
    ]
    text = "x = f(1)\nreturn return\ny = f(2)"
    assert [text[a:b] for a, b in RECOGNISERS["python"](text)] == ["x = f(1)", "y = f(2)"]
    text = '[\n{"a": 1},\n{"b": 2},\n{"c": '
    assert [text[a:b] for a, b in RECOGNISERS["json"](text)] == ['{"a": 1}', '{"b": 2}']
    text = "<div><p>one</p><ul><li>two</li>"
    assert [text[a:b] for a, b in RECOGNISERS["html"](text)] == ["<p>one</p>", "<li>two</li>"]


def test_a_long_body_is_matched_through():
    text = "def f(a):\n" + "".join(f"    a = a + {k}\n" for k in range(500)) + "    return a"
    assert share("python", text) == 1


@pytest.mark.parametrize("kind", WRITERS)
def test_own_documents_are_accepted_and_no_others(kind):
    documents = [made(kind, i, 200 + 13 * i % 1300) for i in range(100)]
    assert min(share(kind, text) for text in documents) >= 0.5
    for label in RECOGNISERS:
        if label != kind:
            assert max(share(label, text) for text in documents) < 0.5


@pytest.mark.parametrize("kind", WRITERS)
def test_most_of_a_cut_document_is_matched(kind):
    for i in range(20):
        text = made(kind, i, 1400)[:1100]
        assert share(kind, text) >= 0.5


def checked(text: str) -> None:
    """Matches are in order, apart and not empty; Python that was matched parses."""
    for label, find in RECOGNISERS.items():
        before = 0
        for start, end in find(text):
            assert before <= start < end <= len(text)
            before = end
            if label == "python":
                ast.parse(textwrap.dedent(text[start:end]))


PIECES = [
    "def ",
    "f(",
    "x",
    " = ",
    "1",
    "+",
    ":",
    "\n",
    "\n    ",
    "\n\t",
    "else:",
    "@",
    "{",
    "}",
    "[",
    "]",
    ",",
    '"',
    '"""',
    "<p",
    ">",
    "</p>",
    "\\begin{a}",
    "\\end{a}",
    "GET / HTTP/1.1\n",
    "A: b\n",
    "http://a/",
    " v. ",
    "Kim, A.",
    "(1999)",
    "\r",
    "\x00",
    "\x0c",
    "é",
    "\ud800",
    "\\",
    "#",
    "'",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_is_taken(text):
    checked(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 3000,
        "[" * 3000,
        '{"a":' * 3000,
        "-" * 3000 + "1",
        "<p>" * 1000,
        "<a " * 1000,
        "\\begin{a}" * 500,
        "Kim, A. " * 500,
        "A b " * 1000,
        "x = " + "1+" * 1500 + "1",
        "(\n" * 500,
        "if x:\n" * 300,
        "".join(" " * k + "x y\n" for k in range(100)),
        "9" * 6000,
        "[" + "9" * 6000 + "]",
        '"' * 3000,
        "x = 1 \ny = f(1)",
        "http://" * 500,
        "GET / HTTP/1.1\n" + "A: b\n" * 800,
        "a,b,c\n" * 600,
        "Of Of Of v. " * 300,
    ],
)
def test_hostile_text_is_taken(text):
    checked(text)


def test_python_with_warnings_is_python():
    text = "x = '\\d'\ny = f(1) is 2"
    assert RECOGNISERS["python"](text) == [(0, len(text))]
