"""Bytes to readable cells: nothing lost, nothing invisible, nothing cut inside a character."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages import TEXTS
from saescope.render.token_row import cells, mark, unmark, visible

text_tokens = st.text(max_size=60).flatmap(
    lambda text: st.lists(st.integers(0, len(text.encode())), max_size=12).map(lambda cuts: _cut(text.encode(), cuts))
)
byte_tokens = st.lists(st.binary(max_size=5), max_size=12)


def _cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(raw), *cuts})
    return [raw[a:b] for a, b in pairwise(edges)]


@given(st.binary(max_size=80))
def test_marking_is_one_to_one(raw):
    assert unmark(mark(raw)) == raw


@given(st.text(alphabet="⟨⟩⏎⇥U+2E8 0\n\t\u202e", max_size=30))
def test_text_that_looks_like_marks_comes_back(text):
    assert unmark(mark(text.encode())) == text.encode()


@given(st.one_of(byte_tokens, text_tokens))
def test_undoing_the_marks_of_a_row_returns_its_bytes(tokens):
    row = cells(tokens)
    assert unmark("".join(cell.text for cell in row)) == b"".join(tokens)


@given(st.one_of(byte_tokens, text_tokens), st.sets(st.integers(0, 12)))
def test_every_token_is_in_exactly_one_cell_and_no_cell_crosses_a_wall(tokens, walls):
    row = cells(tokens, walls)
    assert [i for cell in row for i in range(cell.start, cell.stop)] == list(range(len(tokens)))
    assert not any(cell.start < wall < cell.stop for cell in row for wall in walls)
    for cell in row:
        assert unmark(cell.text) == b"".join(tokens[cell.start : cell.stop])


@given(text_tokens)
def test_valid_text_has_no_undecodable_bytes_however_it_is_cut(tokens):
    plain = [piece.text for cell in cells(tokens) for piece in cell.pieces if piece.is_mark]
    assert all(text in "⏎⇥" or text.startswith("⟨U+") for text in plain)


@given(st.one_of(byte_tokens, text_tokens))
def test_nothing_shown_is_invisible_or_a_replacement(tokens):
    shown = "".join(cell.text for cell in cells(tokens))
    assert "\ufffd" not in shown
    assert not [char for char in shown if unicodedata.category(char) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}]


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if text])
def test_real_scripts_split_into_single_bytes_read_the_same(name):
    raw = TEXTS[name].encode()
    row = cells([raw[i : i + 1] for i in range(len(raw))])
    assert "".join(cell.text for cell in row) == mark(raw)
    assert not any("Ġ" in cell.text or "âĢ" in cell.text for cell in row)


def test_tokens_that_share_a_character_are_one_cell():
    row = cells([b"caf\xc3", b"\xa9", b" ok", b"\xe2", b"\x80\x99s"])
    assert [(cell.start, cell.stop, cell.text) for cell in row] == [(0, 2, "café"), (2, 3, " ok"), (3, 5, "’s")]


def test_characters_do_not_join_across_a_document_edge():
    assert [cell.text for cell in cells([b"\xc3", b"\xa9"], walls={1})] == ["⟨C3⟩", "⟨A9⟩"]


def test_marks():
    assert mark("a\nb\tc\u202e\u200b\x00".encode()) == "a⏎b⇥c⟨U+202E⟩⟨U+200B⟩⟨U+0000⟩"
    assert mark(b"\xe2\x80 \xff") == "⟨E2 80⟩ ⟨FF⟩"
    assert mark("\ufffd\u3164".encode()) == "⟨U+FFFD⟩⟨U+3164⟩"


@given(st.text(max_size=40))
def test_visible_is_idempotent_and_leaves_marks_alone(text):
    assert visible(visible(text)) == visible(text)
    assert visible(mark(text.encode("utf-8", "surrogatepass"))) == mark(text.encode("utf-8", "surrogatepass"))
