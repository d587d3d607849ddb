"""The two-column card on a terminal and on the page: what it says, at any width, with any text."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

import pages
from markup import Reader
from saescope.draws import draws
from saescope.render.before_after import BeforeAfterView, MeasureCell, MeasureRow, TextsColumn, before_after_text
from saescope.web.export import run_page_html


@pytest.fixture(scope="module")
def view() -> BeforeAfterView:
    rng = draws(0, "before and after")
    columns = [
        TextsColumn(
            title=title,
            how="given; 34 % of all its texts: topic:sea",
            examples=tuple(pages.example(rng, "top", top) for _ in range(5)),
            labels=("topic:sea", "", "topic:farm", "", pages.HOSTILE),
            max_act=top,
        )
        for title, top in (("neuron 17", 3.0), ("feature 1234", 8.0))
    ]
    silent = tuple(replace(example, acts=(0.0,) * len(example.acts), peak=0.0) for example in columns[0].examples)
    columns.append(TextsColumn(title="random texts", how="no two of one document", examples=silent))
    kappa = MeasureRow(
        name="topic κ",
        about="(m - base) / (1 - base).",
        better="higher",
        neuron=MeasureCell(0.12, 1.5, 0.44, 0.03),
        feature=MeasureCell(0.98, 23.4, 1.0, 0.81),
        random=0.05,
        random_sd=0.04,
        neurons=0.13,
        latents=0.77,
    )
    unknown = replace(kappa, name="topic N_eff", better="lower", neuron=MeasureCell(None), random=None, random_sd=None)
    notes = ("50 texts each, on 3,312 report documents.", "the text has no selection documents")
    return BeforeAfterView(columns=tuple(columns), measures=(kappa, unknown), n_texts=50, n_neurons=498, n_latents=3901, notes=notes)


def printed(view, width=80) -> str:
    file = io.StringIO()
    Console(file=file, width=width, no_color=True).print(before_after_text(view))
    return file.getvalue()


EVERYWHERE = (
    *("50 texts each", "neuron", "17", "feature", "1234", "0.120", "z +1.50", "44 %", "0.980", "z +23.4", "81 %"),
    *("0.0500", "± 0.0400", "0.130", "498", "0.770", "3,901", "–", "topic:sea", "3,312 report documents", "no selection documents"),
)


def test_the_terminal_says_everything_at_80_columns(view):
    text = printed(view)
    for expected in EVERYWHERE:
        assert expected in text, expected
    assert max(map(len, filter(str.isascii, text.splitlines()))) <= 80
    assert "topic κ   " in text  # not broken into two lines
    assert text.count("«") >= 15


def test_the_page_says_everything(view):
    parsed = Reader(run_page_html(replace(pages.run_page(20, 2), before_after=view)))
    text = " ".join(parsed.text.split())
    for expected in (*EVERYWHERE, "Before and after", "all neurons", "higher means more agreement", "(m - base) / (1 - base)."):
        assert expected in text, expected
    assert not [name for attributes in parsed.attributes for name in attributes if name.startswith("on") or name == "style"]
    assert not {"img", "iframe"} & set(parsed.tags)
    assert any("t32" in a.get("class", "") for a in parsed.attributes)
    ids = [a["id"] for a in parsed.attributes if "id" in a]
    assert len(ids) == len(set(ids))
    assert any(a.get("href") == "#before-after" for a in parsed.attributes)


def test_a_page_without_it_says_nothing_of_it():
    html = run_page_html(pages.run_page(20, 2))
    assert "before-after" not in html
    assert "Before and after" not in html
