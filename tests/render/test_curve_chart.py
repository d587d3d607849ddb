"""The charts of a run's course as markup."""

import re
from xml.etree import ElementTree

import pytest

from markup import Reader
from saescope.render.curve_chart import BANDED, HEIGHT, LEFT, WIDTH, curve_chart, curve_key
from saescope.render.panels import environment
from saescope.render.plot import COLOURS
from saescope.render.training_curves import CurvePanel, TrainingCurve, training_curves

HOSTILE = '</svg><img src=x onerror=alert(1)>"'


def panel(*values, key="mse", bands=0.0):
    """A panel with one curve for each sequence of values, a point every 1,000 tokens."""

    def curve(i, course):
        points = tuple((1000.0 * (j + 1), value, value - bands, value + bands) for j, value in enumerate(course))
        return TrainingCurve(f"sae {i}", i, points)

    return CurvePanel(key, tuple(curve(i, course) for i, course in enumerate(values)))


def numbers_in(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?[\d.]+", path)]


def lines(chart) -> list[list[tuple[float, float]]]:
    """The corners of each curve."""
    paths = re.findall(r'stroke-linecap="round" d="M([^"h]*)', str(chart))
    return [[tuple(map(float, corner.split())) for corner in path.split("L")] for path in paths]


def labels(chart) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", str(chart))


def test_a_curve_falls_where_its_values_fall_and_stays_inside():
    chart = curve_chart(panel([4.0, 3.0, 2.0]))
    ((a, b, c),) = lines(chart)
    assert a[0] < b[0] < c[0] <= WIDTH
    assert a[1] < b[1] < c[1] <= HEIGHT
    assert b[1] - a[1] == pytest.approx(c[1] - b[1], abs=0.11)  # linear
    assert all(x >= LEFT for x, _ in (a, b, c))
    assert {"0", "2", "4", "3.0k"} <= set(labels(chart))


def test_a_wide_range_has_a_log_axis_a_share_never():
    wide = [100.0, 10.0, 1.0]
    ((a, b, c),) = lines(curve_chart(panel(wide)))
    assert b[1] - a[1] == pytest.approx(c[1] - b[1], abs=0.11)
    assert "log axis" in curve_chart(panel(wide))
    assert "log axis" not in curve_chart(panel(wide, key="dead"))
    assert "log axis" not in curve_chart(panel([100.0, 0.0]))


def test_shares_are_percentages():
    assert {"20 %", "40 %", "60 %"} <= set(labels(curve_chart(panel([0.0, 0.6], key="dead"))))


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [1e-9, 1e9], [-1.0, 1.0], [3.0, 3.0]])
def test_flat_single_and_extreme_courses_have_a_chart(values):
    chart = curve_chart(panel(values))
    ElementTree.fromstring(str(chart))
    assert all(0 <= y <= HEIGHT for line in lines(chart) for _, y in line)
    assert not re.search(r"nan|inf", str(chart))


def test_curves_differ_by_colour_then_by_dash():
    n = len(COLOURS) + 1
    chart = str(curve_chart(panel(*[[1.0 + i, 2.0 + i] for i in range(n)])))
    strokes = re.findall(r'<path fill="none" (stroke=[^/]*?)stroke-linecap', chart)
    assert len(strokes) == len(set(strokes)) == n
    assert "dasharray" not in strokes[0]
    assert "dasharray" in strokes[-1]
    assert all(part in curve_key(n - 1) for part in strokes[-1].split())


def test_bands_show_the_range_of_few_curves():
    few, many = panel([1.0, 2.0], bands=0.5), panel(*[[1.0, 2.0]] * (BANDED + 1), bands=0.5)
    assert str(curve_chart(few)).count("fill-opacity") == 1
    assert "fill-opacity" not in str(curve_chart(many))
    band = re.search(r'fill-opacity="0.15" d="M([^"]*)z"', str(curve_chart(few))).group(1)
    assert len(numbers_in(band)) == 8


def test_a_screen_reader_is_told_the_ends():
    said = Reader(curve_chart(panel([4.0, 2.0], [8.0, 6.0], [1.0], [1.0], [1.0], key="fvu"))).text
    assert "FVU against tokens: sae 0 from 4.00 to 2.00; sae 1 from 8.00 to 6.00" in said
    assert "and 1 more" in said


def colour_luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", ["#faf9f6", "#131210"], ids=["light", "dark"])
def test_curves_stand_out_in_both_themes(ground):
    for colour in COLOURS:
        bright, dim = sorted(map(colour_luminance, (colour, ground)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 3


def test_the_section_of_the_page():
    told = [
        {"tokens": 1000 * i, "step": i, "saes": {name: {"fvu": 1 / i, "l0": 16.0, "dead": 0.0, "lr": 1e-3} for name in ("a", HOSTILE)}}
        for i in range(1, 400)
    ]
    macro = environment().get_template("training.html").module.training
    html = macro(training_curves(told))
    read = Reader(html)
    assert read.tags.count("svg") == 4 + 2
    assert {"img", "script", "style"}.isdisjoint(read.tags)
    assert not any("style" in attributes for attributes in read.attributes)
    assert HOSTILE in read.text
    assert "mean of 4 records" in " ".join(read.text.split())
    alone = Reader(macro(training_curves(told[:50], only="a")))
    assert alone.tags.count("svg") == 4
    assert "Each point is one batch." in " ".join(alone.text.split())
