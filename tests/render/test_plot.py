"""Line plots: every point where it belongs, told apart without colour, and nothing a strict policy would refuse."""

import re
import xml.etree.ElementTree as ET

import pytest

from saescope.render.plot import COLOURS, DASHES, Axis, Curve, Key, Panel, figure, ticks


def panel(*curves: Curve, log: bool = False) -> Panel:
    return Panel("here", Axis("L0", log=log), Axis("loss"), curves)


def marks(svg: str) -> list[tuple[float, float]]:
    """Centres of the round markers."""
    return [(float(x), float(y)) for x, y in re.findall(r'<circle class="mark"[^>]* cx="([\d.]+)" cy="([\d.]+)"', svg)]


def texts(svg: str) -> list[str]:
    return [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


def test_points_stand_in_order_and_to_scale():
    svg = figure([panel(Curve(((30, 3.0), (10, 1.0), (20, 2.0))))], [], title="t")
    (x0, y0), (x1, y1), (x2, y2) = marks(svg)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y2  # larger is higher
    path = re.search(r'class="curve"[^>]* d="M([^"]*)"', svg).group(1)
    assert [float(place.split()[0]) for place in path.split("L")] == [x0, x1, x2]


def test_a_log_axis_has_equal_steps_for_equal_ratios_and_leaves_out_what_it_cannot_show():
    svg = figure([panel(Curve(((1, 1), (10, 1), (100, 1), (0, 1))), log=True)], [], title="t")
    (a, _), (b, _), (c, _) = marks(svg)
    assert b - a == pytest.approx(c - b, abs=0.2)
    assert {"1", "10", "100"} <= set(texts(svg))


def test_what_is_not_finite_is_left_out_and_nothing_draws_too():
    assert len(marks(figure([panel(Curve(((1, float("nan")), (2, 3))))], [], title="t"))) == 1
    assert "nothing to show" in texts(figure([panel(Curve(()))], [], title="t"))
    ET.fromstring(figure([], [], title="t"))


def test_a_single_point_and_equal_values_have_a_scale():
    for log in (False, True):
        assert len(marks(figure([panel(Curve(((5, 2),)), Curve(((5, 2),)), log=log)], [], title="t"))) == 2


def test_styles_differ_in_shape_and_not_in_colour_alone():
    shapes = set()
    for style, colour in enumerate(COLOURS):
        mark = re.search(r'<(circle|path) class="mark"[^>]*', figure([panel(Curve(((1, 1), (2, 2)), style=style))], [], title="t"))
        shapes.add(mark.group(0).replace(colour, "its colour"))
    assert len(shapes) == len(COLOURS)


def test_the_legend_names_every_style_and_dash():
    keys = [Key("topk", 2), Key("relu", 0), Key("4,096 latents", None, 1)]
    svg = figure([panel(Curve(((1, 1), (2, 2)), style=2, dash=1))], keys, title="t")
    assert texts(svg)[:3] == ["topk", "relu", "4,096 latents"]
    assert svg.count(f'stroke-dasharray="{DASHES[1]}"') == 2


def test_a_long_legend_breaks_into_lines():
    many = [Key(f"an architecture with a name {i}", i % 8) for i in range(9)]
    root = ET.fromstring(figure([panel(Curve(((1, 1),)))], many, title="t"))
    heights = {element.get("y") for element in root.iter() if (element.text or "").startswith("an arch")}
    assert len(heights) > 1


def test_panels_stand_in_rows_of_two():
    four = figure([panel(Curve(((1, 1), (2, 2))))] * 4, [], title="t")
    two = figure([panel(Curve(((1, 1), (2, 2))))] * 2, [], title="t")
    assert ET.fromstring(four).get("viewBox") == "0 0 712 464"
    assert ET.fromstring(two).get("viewBox") == "0 0 712 232"


def test_it_passes_a_strict_policy_and_says_its_title():
    svg = figure([panel(Curve(((1, 1),)))], [Key("<b>", 0)], title="L0 & loss")
    assert not re.search(r"style=|\bid=|\bon\w+=|href|url\(|xmlns", svg)
    assert ET.fromstring(svg).find("title").text == "L0 & loss"
    assert "&lt;b&gt;" in svg


def test_alone_it_is_a_file_with_a_ground():
    root = ET.fromstring(figure([panel(Curve(((1, 1),)))], [], title="t", alone=True))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}rect").get("fill") == "#ffffff"
    assert root.get("width") == "356"


def test_ticks_are_round_and_few():
    assert ticks(0.905, 1.0) == pytest.approx([0.92, 0.94, 0.96, 0.98, 1.0])
    assert ticks(-3, 40) == [0, 10, 20, 30, 40]
    assert ticks(0.9, 2.2, log=True) == [10, 20, 30, 50, 100]
    assert ticks(-6, 6, log=True) == pytest.approx([10.0**e for e in range(-6, 7, 2)])
    assert ticks(1.0, 1.05, log=True) == [10]


def test_large_numbers_are_short():
    svg = figure([panel(Curve(((1000, 0.5), (2_000_000, 0.05))), log=True)], [], title="t")
    assert {"1k", "10k", "100k", "1M"} <= set(texts(svg))


def test_whole_axes_have_no_ticks_between():
    plain = Panel("", Axis("x", whole=True), Axis("y"), (Curve(((0, 1), (1, 2))),))
    assert {"0", "1"} <= set(texts(figure([plain], [], title="t")))
    assert "0.2" not in texts(figure([plain], [], title="t"))
