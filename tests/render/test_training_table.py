"""The table of SAEs in training."""

import io

from rich.console import Console

from saescope.render.training_table import loss, training_notes, training_ranges, training_table


def text(rows, width=100) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, no_color=True).print(training_table(rows))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_loss_is_the_sum_of_the_terms_and_of_nothing_else():
    assert loss({"mse": 2.0, "auxk": 0.5, "fvu": 9.0, "l0": 9.0, "lr": 9.0, "resampled": 9}) == 2.5
    assert loss({"fvu": 1.0}) is None


def test_rows_with_unknown_facts():
    lines = text({"a": {"fvu": None, "l0": 0.0, "dead": 1.0}, "b" * 80: {}})
    assert lines[1].split() == ["a", "–", "0", "100", "%", "–", "–"]
    assert lines[2].startswith("bbb")
    assert "…" in lines[2]
    assert lines[2].split()[1:] == ["–"] * 5


def test_notes_have_a_column_only_where_there_are_some():
    fine, poor = {"fvu": 0.1, "window": 1e-3}, {"fvu": 0.1, "window": 0.0}
    assert training_notes(fine) == []
    assert training_notes(poor) == ["window 0: thresholds hardly learn"]
    assert "window" not in "".join(text({"a": fine}))
    assert [("window" in line) for line in text({"a": fine, "b": poor})] == [False, False, True]


def test_names_are_text_not_markup():
    assert text({"[red]x[/]": {}})[1].startswith("[red]x[/]")


def test_ranges():
    rows = {"a": {"fvu": 0.1, "l0": 16.0, "dead": 0.0}, "b": {"fvu": None, "l0": 16.0, "dead": 0.5}, "c": {}}
    assert training_ranges(rows) == "3 SAEs  fvu 0.100  L0 16.0  dead 0 % .. 50 %"
