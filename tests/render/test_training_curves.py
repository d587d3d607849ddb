"""Which charts a run's records make."""

import math

import pytest

from saescope.render.training_curves import ALONE, MOST_POINTS, TITLES, training_curves


def records(n=5, names=("a",), **more):
    """Records of n steps; `more` are facts by name: a value, or a function of (number of the record, number of the SAE)."""

    def facts(i, k):
        own = {"mse": 10.0 / i, "auxk": 0.0, "l0": 16.0, "fvu": (k + 1) / i, "dead": 0.0, "dead_after_tokens": 500, "lr": 1e-3}
        return own | {name: value(i, k) if callable(value) else value for name, value in more.items()}

    saes = [{name: facts(i, k) for k, name in enumerate(names)} for i in range(1, n + 1)]
    return [{"step": 10 * i, "tokens": 1000 * i, "skipped_steps": 0, "saes": entry} for i, entry in enumerate(saes, 1)]


def keys(*args, **kwargs):
    return [panel.key for panel in training_curves(*args, **kwargs).panels]


def test_what_there_is_in_its_order():
    """Without what never changed (auxk, skipped steps), but for the three that always say something, and lr."""
    assert keys(records()) == ["fvu", "l0", "dead", "mse", "lr"]


def test_new_facts_are_drawn_without_being_known():
    more = {"frobnication": lambda i, k: i**2, "sparsity": lambda i, k: 1 / i, "sparsity_scale": lambda i, k: i / 5, "resampled": 0}
    curves = training_curves(records(**more))
    assert [panel.key for panel in curves.panels] == ["fvu", "l0", "dead", "mse", "frobnication", "sparsity", "sparsity_scale", "lr"]
    panel = curves.panels[4]
    assert (panel.title, panel.about, panel.end) == ("frobnication", "", "25.0")
    assert panel.curves[0].points == tuple((1000.0 * i, i**2, i**2, i**2) for i in range(1, 6))


def test_settings_and_what_is_no_number_are_left_out():
    more = {"input_scale": lambda i, k: i, "scales": {"x": 1.0}, "ok": lambda i, k: i > 2, "text": lambda i, k: str(i)}
    assert keys(records(**more)) == keys(records())


def test_gaps_are_left_out():
    gaps = {1: None, 2: math.nan, 3: math.inf}
    panel = training_curves(records(fvu=lambda i, k: gaps.get(i, 0.5))).panels[0]
    assert [point[0] for point in panel.curves[0].points] == [4000.0, 5000.0]
    assert keys(records(fvu=None))[0] == "l0"


def test_several_saes_keep_their_style_where_one_lacks_a_fact():
    curves = training_curves(records(names=("a", "b", "c"), auxk=lambda i, k: None if k == 0 else i))
    assert curves.names == ("a", "b", "c")
    by_key = {panel.key: panel for panel in curves.panels}
    assert [(curve.name, curve.style) for curve in by_key["fvu"].curves] == [("a", 0), ("b", 1), ("c", 2)]
    assert [(curve.name, curve.style) for curve in by_key["auxk"].curves] == [("b", 1), ("c", 2)]
    assert by_key["fvu"].end == "0.200 .. 0.600"
    assert by_key["dead"].end == "0 %"


def test_one_of_several():
    curves = training_curves(records(names=("a", "b")), only="b")
    assert curves.names == ("b",)
    assert [(curve.name, curve.style) for panel in curves.panels[:1] for curve in panel.curves] == [("b", ALONE)]
    assert training_curves(records(), only="b") is None


def test_an_unfinished_run_and_one_without_records():
    assert training_curves([]) is None
    assert training_curves([{"step": 1, "loss": 2.0}], only="a") is None  # another job's records
    one = training_curves(records(1))
    assert (one.tokens, one.n_records) == (1000, 1)
    assert all(len(curve.points) == 1 for panel in one.panels for curve in panel.curves)


@pytest.mark.parametrize("n", [MOST_POINTS, MOST_POINTS + 1, 1000])
def test_many_records_are_means_with_their_range(n):
    curves = training_curves(records(n, fvu=lambda i, k: float(i)))
    points = curves.panels[0].curves[0].points
    per_point = curves.per_point
    assert len(points) == math.ceil(n / per_point) <= MOST_POINTS
    assert points[0] == (1000.0 * per_point, (1 + per_point) / 2, 1.0, float(per_point))
    assert points[-1][0] == 1000.0 * n
    assert points[-1][3] == n


def test_skipped_steps_appear_when_there_are_some():
    told = records()
    told[-1]["skipped_steps"] = 2
    assert keys(told)[-1] == "skipped_steps"


def test_every_known_fact_has_a_title_and_a_definition():
    assert all(title and about for title, about in TITLES.values())
