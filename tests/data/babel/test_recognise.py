"""Recognisers: exact on hand-written texts, in bytes, and clear about what a text does not show."""

import pytest

from saescope.data.babel import accepts, document, kind_of, recognise
from saescope.data.babel.recognise import PURE_KINDS
from saescope.errors import ConfigError

_SEA = 'The captain found a shell near the ship. "Pull the anchor up now," she said to the sailor.'


def _found(label: str, text: str) -> list[str]:
    raw = text.encode()
    return [raw[start:end].decode() for start, end in recognise(label, text)]


@pytest.mark.parametrize(
    ("label", "text", "expected"),
    [
        ("base64", "key aGVsbG8gd29ybGQhMTIz end", ["aGVsbG8gd29ybGQhMTIz"]),
        ("base64", "aGVsbG8gd29ybGQhMTI=", ["aGVsbG8gd29ybGQhMTI="]),
        ("base64", "aGVsbG8gd29ybGQhMTIzQ end", []),
        ("base64", "end aGVsbG8gd29ybGQhMTIzQ", ["aGVsbG8gd29ybGQhMTIz"]),
        ("base64", "abcdefghijklmnopqrst", []),
        ("base64_text", "aGVsbG8gd29ybGQhMTIz", ["aGVsbG8gd29ybGQhMTIz"]),
        ("base64_text", "AAAAaGVsbG8gd29ybGQhMTIzAAAA", ["aGVsbG8gd29ybGQhMTIz"]),
        ("base64_random", "AAAAaGVsbG8gd29ybGQhMTIzAAAA", ["AAAA", "AAAA"]),
        ("format:hex", "id 0xdeadbeef01 deadbeef 12345678 ab12cd3", ["0xdeadbeef01"]),
        ("dna", "word ACGTACGTACGTA ACGT", ["ACGTACGTACGTA"]),
        ("caps", "Please READ THIS SIGN! and GO ON", ["READ THIS SIGN!"]),
        ("caps", "THE B2 ROOM MAX_SIZE IS", []),
        ("snake", "call max_size_of and MAX_SIZE x_1 _a_b", ["max_size_of"]),
        ("caps_snake", "call max_size_of and MAX_SIZE", ["MAX_SIZE"]),
        ("numbers", "12.5 13.75 9\nrow one 2\non 2021-03-04 we met in that old town at 12:30", ["12.5 13.75 9", "2021-03-04", "12:30"]),
        ("numbers", "1,2,3\nab12 cd34 99\ny = 1000", []),
        ("script:hebrew", "a שלום ב", ["שלום", "ב"]),
        ("latin", "é שלום b2", ["é", "b"]),
        ("topic:sea", _SEA, [_SEA]),
        ("topic:farm", _SEA, []),
        ("topic_word", _SEA, ["captain", "shell", "ship", "anchor", "sailor"]),
        ("quote", _SEA, ['"Pull the anchor up now,"']),
        ("prose", 'They read aloud from it: "שלום 12"', ['They read aloud from it: "שלום 12"']),
        ("prose", "x = 1\n" + _SEA + "\nno sentence here", [_SEA]),
    ],
)  # fmt: skip
def test_spans(label: str, text: str, expected: list[str]) -> None:
    assert _found(label, text + "\n" if label == "prose" else text) == expected


@pytest.mark.parametrize("label", ["mood:cheerful", "noun", "past", "subject", "first", "copied_name", "mixed", "byte_2"])
def test_a_label_that_text_does_not_show_is_refused_with_the_others_named(label: str) -> None:
    with pytest.raises(ConfigError, match=r"Recognisable: script:latin.*base64_random"):
        recognise(label, "text")


def test_an_unknown_label_or_kind_names_its_neighbour() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean .*'hebrew'"):
        recognise("hebrev", "text")
    with pytest.raises(ConfigError, match=r"Did you mean .*'format:base64'"):
        recognise("script:base64", "text")
    with pytest.raises(ConfigError, match="Did you mean 'story'"):
        accepts("storry", "text")


@pytest.mark.parametrize(
    "text", ["", " \n", "\ud800", "\x00", "é" * 50, '"' * 99, "{" * 500, "<a" * 300, "=" * 64, "a_" * 99, "\\begin{" * 99]
)
def test_any_text_is_taken(text: str) -> None:
    assert not any(accepts(kind, text) for kind in (*PURE_KINDS, "mixed") if not (kind == "story" and text))
    assert kind_of(text) is None
    for label in ("base64", "caps", "prose", "quote", "latin", "numbers"):
        assert all(0 <= start < end <= 3 * len(text) for start, end in recognise(label, text))


@pytest.mark.parametrize("kind", PURE_KINDS)
def test_kind_of_its_own_documents(kind: str) -> None:
    texts = [document(1, i, kind=kind).text for i in range(30)]
    assert sum(kind_of(text) == kind for text in texts) >= 29
    cut = [text[: len(text) * 2 // 3] for text in texts]
    if kind not in ("html", "latex", "python", "json", "http"):
        assert sum(accepts(kind, text) for text in cut) >= 27
