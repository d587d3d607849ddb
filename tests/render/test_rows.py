"""A row of markup: tints, groups, escapes; its text is the window's bytes."""

from hypothesis import given
from hypothesis import strategies as st

from markup import Reader
from pages import HOSTILE
from saescope.render.rows import inline_row_html, readable, row_html, step, tint_class, token_html
from saescope.render.token_row import unmark
from saescope.render.view_models import ExampleView


def view(tokens, acts, peak_at=0, **more):
    return ExampleView(tokens=tuple(tokens), acts=tuple(acts), peak_at=peak_at, **more)


windows = st.lists(st.tuples(st.binary(max_size=4), st.sampled_from([0.0, 0.0, 0.5, 2.0, -1.0])), min_size=1, max_size=40)


@given(windows, st.data())
def test_the_text_of_a_row_is_the_bytes_of_its_window(window, data):
    tokens, acts = zip(*window, strict=True)
    index = st.integers(0, len(tokens) - 1)
    example = view(tokens, acts, data.draw(index), doc_edges=(data.draw(index),), specials=(data.draw(index),))
    page = Reader(row_html(example, 2.0))
    assert unmark(page.text) == b"".join(tokens)
    assert set(page.tags) <= {"b", "small", "span", "u", "i", "wbr"}


def test_hostile_text_stays_text():
    raw = HOSTILE.encode()
    example = view([raw[i : i + 3] for i in range(0, len(raw), 3)], [1.0] * len(range(0, len(raw), 3)))
    for markup in (row_html(example, 1.0), inline_row_html(example, 1.0)):
        assert not {"script", "img", "svg"} & set(Reader(markup).tags)
    assert unmark(Reader(row_html(example, 1.0)).text) == raw


def test_silent_tokens_are_one_run_of_text():
    assert row_html(view([b"a", b" b", b" c", b" d"], [0, 0, 0, 1.5], 3, ids=(1, 2, 3, 4)), 3.0) == (
        'a b c<b class="t16 p" title="1.50 · id 4" tabindex=0> d</b>'
    )


def test_a_shared_character_is_one_cell_with_the_strongest_tint_and_every_value():
    row = Reader(row_html(view([b"\xe2", b"\x80", b"\x99"], [0.5, 4.0, 0], 1), 4.0))
    assert row.text == "’"
    assert row.attributes[0]["class"] == "t32 p k3 k"
    assert row.attributes[0]["title"] == "3 tokens: E2 → 0.500, 80 → 4.00, 99 → 0"


def test_a_newline_is_followed_by_a_place_to_break():
    assert "<small>⏎</small><wbr>" in row_html(view([b"a\n"], [0.0]), 1.0) or "⏎" in row_html(view([b"a\n"], [1.0]), 1.0)
    assert row_html(view([b"x", b"a\nb"], [1.0, 0.0]), 1.0).endswith("a<small>⏎</small><wbr>b")


def test_document_edges_and_special_tokens_are_drawn():
    row = row_html(view([b"<s>", b"a", b"b"], [0, 1, 0], 1, doc_edges=(2,), specials=(0,)), 1.0)
    assert row.startswith("<u ")
    assert row.index("role=separator") > row.index("</b>")


def test_context_far_from_the_peak_is_set_apart():
    row = Reader(row_html(view([b"x"] * 65, [0.0] * 32 + [1.0] + [0.0] * 32, 32), 1.0))
    assert [a["class"] for tag, a in zip(row.tags, row.attributes, strict=True) if tag == "span"] == ["f", "m", "m", "f"]
    assert Reader(row_html(view([b"x"] * 65, [0.0] * 32 + [1.0] + [0.0] * 32, 32), 1.0, context=4)).text == "x" * 9


@given(st.floats(-10, 10), st.floats(0, 10))
def test_steps_are_between_0_and_32_and_zero_only_when_silent(act, max_act):
    assert 0 <= step(act, max_act) <= 32
    assert (step(act, max_act) == 0) == (act == 0 or max_act == 0)


def test_negative_activations_have_their_own_hue():
    assert (tint_class(-1.0, 2.0), tint_class(1.0, 2.0), tint_class(0.0, 2.0)) == ("n16", "t16", "")


def test_inline_rows_survive_the_loss_of_style():
    row = Reader(inline_row_html(view([b"a", b" cat"], [0, 3.25], 1), 4.0))
    assert row.tags == ["mark", "sub"]
    assert row.text == "a cat3.25"


def test_lists_show_spaces_and_nothing_invisible():
    assert readable(" the") == "␣the"
    assert readable("  ") == "␣␣"
    assert readable("a b\u202e⟨E2 80⟩\ud800") == "a b⟨U+202E⟩⟨E2 80⟩⟨ED A0 80⟩"
    assert token_html(" <b>⏎") == "<small>␣</small>&lt;b&gt;<small>⏎</small>"
