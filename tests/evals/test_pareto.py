"""Points of many SAEs, what may not stand beside what, and how they look."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from saescope.errors import ConfigError, ProvenanceMismatch
from saescope.evals.pareto import METRICS, Trained, points, refuse_incomparable, settings, to_json
from saescope.evals.pareto_report import pareto_figure, pareto_rows, pareto_table
from saescope.evals.result import EvalResult, Metric

SAID = {
    **{"weights_sha256": "a" * 64, "tokenizer_sha256": "b" * 64, "dtype": "float32", "hook_point": "blocks.1.resid_post"},
    **{"corpus_sha256": "c" * 64, "context_length": 32, "packing": "documents", "bos_prepended": True, "bos": "excluded"},
    **{"n_documents": 9, "n_tokens": 900, "config": {"fidelity_tokens": 100, "dead_tokens": 1000}},
}


def result(l0=16.0, delta=0.1, at=SAID["hook_point"], n_latents=64, recovered=0.9, **said) -> EvalResult:
    numbers = {
        "sparsity.l0": l0,
        "fidelity.delta_ce": delta,
        "fidelity.recovered.zero": recovered,
        "fidelity.recovered.mean": 0.8,
        "reconstruction.fvu": 0.2,
        "sparsity.n_latents": n_latents,
    }
    row = {key: Metric(value) for key, value in numbers.items()} | {"sparsity.dead": Metric(n_latents / 4, n=1000)}
    return EvalResult(rows={"sae": row}, provenance=SAID | {"hook_point": at} | said)


@pytest.fixture
def swept():
    """topk and relu at three L0, two seeds each."""
    results, trained = {}, {}
    for architecture, worse in (("topk", 1.0), ("relu", 2.0)):
        for l0 in (64, 16, 32):
            for seed in (0, 1):
                name = f"{architecture}-l0-{l0}-s{seed}"
                results[name] = result(l0 + seed, worse * 2 / l0 * (1 + 0.1 * seed))
                trained[name] = Trained(architecture=architecture, options={"l0": l0}, seed=seed, tokens=4096)
    return points(results, trained)


def texts(svg: str) -> list[str]:
    return [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


def test_a_point_has_the_numbers_of_its_result():
    (point,) = points({"a": result()}, {"a": Trained(architecture="gated", seed=3, tokens=10)})
    assert (point.name, point.architecture, point.d_sae, point.at, point.seed, point.tokens) == (
        "a", "gated", 64, "blocks.1.resid_post", 3, 10
    )  # fmt: skip
    assert (point.l0, point.delta_ce, point.recovered_zero, point.recovered_mean, point.fvu) == (16.0, 0.1, 0.9, 0.8, 0.2)
    assert (point.silent, point.silent_tokens) == (0.25, 1000)


def test_points_are_in_order_of_architecture_and_l0(swept):
    assert [point.name for point in swept][:3] == ["relu-l0-16-s0", "relu-l0-16-s1", "relu-l0-32-s0"]
    assert [point.architecture for point in swept] == ["relu"] * 6 + ["topk"] * 6


def test_settings_join_seeds(swept):
    first, *_ = joined = settings(swept)
    assert [setting.name for setting in joined] == [f"{name}-l0-{l0}" for name in ("relu", "topk") for l0 in (16, 32, 64)]
    spread = first.spread("delta_ce")
    assert (spread.low, spread.mean, spread.high) == pytest.approx((0.25, 0.2625, 0.275))
    assert [point.seed for point in first.points] == [0, 1]


def test_results_that_say_nothing_of_their_making_are_not_joined():
    joined = settings(points({"a": result(), "b": result()}))
    assert [setting.name for setting in joined] == ["a", "b"]


def test_a_number_that_a_seed_lacks_has_no_mean():
    made = Trained(architecture="topk")
    found = points({"a-s0": result(), "a-s1": result(recovered=None)}, {"a-s0": made, "a-s1": replace(made, seed=1)})
    (setting,) = settings(found)
    assert setting.mean("recovered_zero") is None
    assert setting.mean("l0") == 16.0


@pytest.mark.parametrize(
    ("field", "value", "about"),
    [
        ("weights_sha256", "d" * 64, "another model: weights_sha256 is aaaaaaaaaaaa of a, but dddddddddddd of b.*--model"),
        ("corpus_sha256", "d" * 64, "another text.*--text"),
        ("context_length", 64, "another text: context_length is 32 of a, but 64 of b"),
        ("hook_point", "blocks.0.mlp_out", "another hook point"),
        ("n_tokens", 901, "another tokens.*--activation-tokens"),
        ("config", {"fidelity_tokens": 99, "dead_tokens": 1000}, "config.fidelity_tokens is 100 of a, but 99 of b"),
    ],
)
def test_what_cannot_be_compared_is_refused(field, value, about):
    with pytest.raises(ProvenanceMismatch, match=about):
        refuse_incomparable(
            {"a": result(), "b": result(**{field: value})} if field != "hook_point" else {"a": result(), "b": result(at=value)}
        )


def test_seeds_of_the_bootstrap_and_other_rows_do_not_matter():
    refuse_incomparable({"a": result(seed=0, sae_sha256="x"), "b": result(seed=1, sae_sha256="y")})
    with pytest.raises(ConfigError, match="no result"):
        refuse_incomparable({})


def test_hook_points_are_compared_among_themselves_only():
    found = points({"a": result(at="blocks.1.mlp_out"), "b": result(at="blocks.0.mlp_out"), "c": result(at="blocks.1.mlp_out", l0=3.0)})
    assert [point.name for point in found] == ["c", "a", "b"]
    with pytest.raises(ProvenanceMismatch):
        points({"a": result(at="x"), "b": result(at="y"), "c": result(at="x", corpus_sha256="0")})


def test_json_has_points_and_settings(swept):
    said = json.loads(json.dumps(to_json(swept), allow_nan=False))
    assert said["schema"] == "saescope.pareto/1"
    assert len(said["points"]) == 12
    assert said["points"][0]["options"] == {"l0": 16}
    assert said["settings"][0]["points"] == ["relu-l0-16-s0", "relu-l0-16-s1"]
    assert said["settings"][0]["delta_ce"] == pytest.approx({"mean": 0.2625, "low": 0.25, "high": 0.275})
    assert set(METRICS) < set(said["settings"][0])


# --- how they look ---


def test_the_table_has_a_line_per_setting(swept):
    from rich.console import Console

    console = Console(width=90, no_color=True)
    with console.capture() as captured:
        console.print(pareto_table(swept))
    lines = [line.split() for line in captured.get().splitlines() if "-l0-" in line]
    assert lines[0] == ["relu-l0-16", "64", "16.5", "0.263", "±0.01", "0.900", "0.800", "0.200", "25", "%"]
    assert len(lines) == 6
    assert "…" not in captured.get()


def test_rows_of_the_page_link_every_seed(swept):
    rows = pareto_rows(swept, {point.name: f"saes/{point.name}/index.html" for point in swept})
    assert rows[0].links == (("seed 0", "saes/relu-l0-16-s0/index.html"), ("seed 1", "saes/relu-l0-16-s1/index.html"))
    assert (rows[0].cells[1].low, rows[0].cells[1].high) == pytest.approx((0.25, 0.275))
    assert rows[0].cells[-1].share
    assert pareto_rows(swept, {})[0].links == ()


def curves(svg: str) -> list[tuple[str, str, int]]:
    """Stroke, dash and number of points of every curve with several points."""
    found = re.findall(r'class="curve" fill="none" stroke="([^"]*)" stroke-width="1.5"(?: stroke-dasharray="([^"]*)")? d="M([^"]*)"', svg)
    return [(stroke, dash, path.count("L") + 1) for stroke, dash, path in found]


def test_the_figure_joins_each_architecture_in_two_panels(swept):
    svg = pareto_figure(swept)
    drawn = curves(svg)[2:]  # the first two are the legend's
    assert len(drawn) == 4
    assert {n for _, _, n in drawn} == {3}
    assert len({stroke for stroke, _, _ in drawn}) == 2
    said = texts(svg)
    assert {"relu", "topk", "blocks.1.resid_post", "L0, latents per token", "loss recovered (zero ablation)"} <= set(said)
    assert "delta CE, nats per token" in said
    assert svg.count('class="dot"') == 24  # each seed, in both panels


def test_an_architecture_has_the_same_colour_in_every_figure(swept):
    both, alone = pareto_figure(swept), pareto_figure([point for point in swept if point.architecture == "topk"])
    assert {stroke for stroke, *_ in curves(alone)} < {stroke for stroke, *_ in curves(both)}


def test_widths_differ_by_their_line(swept):
    wider = [replace(point, d_sae=128, name=f"{point.name}-w") for point in swept]
    svg = pareto_figure([*swept, *wider])
    assert {"64 latents", "128 latents"} <= set(texts(svg))
    assert len(curves(svg)[2:]) == 8
    assert len({dash for _, dash, _ in curves(svg)}) == 2


def test_hook_points_are_facets_and_stand_on_the_axis_where_there_is_one_sae_each(swept):
    there = [replace(point, at="blocks.0.mlp_out") for point in swept]
    assert ET.fromstring(pareto_figure([*swept, *there])).get("viewBox").endswith(str(18 + 11 + 2 * 232))
    layers = [replace(swept[0], at=f"blocks.{i}.mlp_out", name=f"l{i}", d_sae=64 * (i + 1)) for i in range(3)]
    svg = pareto_figure(layers)
    assert "hook point: blocks.0.mlp_out .. blocks.2.mlp_out" in texts(svg)
    assert [n for _, _, n in curves(svg)[1:]] == [3, 3]


def test_a_loss_that_falls_below_the_clean_one_has_a_linear_axis(swept):
    better = [replace(point, delta_ce=-0.01 if point.l0 > 60 else point.delta_ce) for point in swept]
    assert len(curves(pareto_figure(better))) == len(curves(pareto_figure(swept)))


def test_undefined_ratios_fall_back_to_the_mean_ablation(swept):
    assert "loss recovered (mean ablation)" in texts(pareto_figure([replace(point, recovered_zero=None) for point in swept]))
