"""Charts: the right bars, an accessible name, and nothing a strict policy would refuse."""

import re
import xml.etree.ElementTree as ET

from saescope.render.svg import activation_histogram, density_map, logit_histogram, position_histogram, sparkline
from saescope.render.view_models import ActivationHistogram, FeatureRow, LogitHistogram


def bars(svg: str) -> list[tuple[float, float]]:
    """(x, height) of every bar of the first path."""
    path = re.search(r'class="bar2?"[^>]* d="([^"]*)"', svg).group(1)
    return [(float(x), float(h)) for x, h in re.findall(r"M([\d.]+) [\d.]+v-([\d.]+)", path)]


def log_bins(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(f"b{i}", 0) for i in range(64))


def test_strong_activations_stand_right_and_every_count_is_seen():
    svg = activation_histogram(ActivationHistogram(log=log_bins(b0=1, b15=1000), top=16.0), width=320, height=100)
    assert bars(svg) == [(0.0, 82.0), (300.0, 1.0)]  # four octaves of four bins: the strongest quarter is the last of sixteen
    assert ">16<" in svg
    assert ">1<" in svg


def test_empty_histograms_draw():
    for chart in (
        activation_histogram(ActivationHistogram(log=(0,) * 64, top=1.0)),
        logit_histogram(LogitHistogram(counts=(0,) * 40, lo=-1.0, hi=1.0)),
        logit_histogram(LogitHistogram(counts=(5,), lo=0.0, hi=0.0)),
        position_histogram((0, 0, 0)),
        sparkline(()),
    ):
        ET.fromstring(chart)
    assert density_map([FeatureRow(0, 0.0, 0.0)]) == ""


def test_the_map_counts_living_features():
    rows = [FeatureRow(i, 10 ** -(1 + i % 4), 0.5 + i) for i in range(50)] + [FeatureRow(50, 0.0, 0.0)]
    svg = density_map(rows)
    assert "50 living features" in ET.fromstring(svg).find("title").text
    assert re.findall(r"M-?\d+ (-?\d+)h", svg)
    assert all(int(y) >= 0 for y in re.findall(r"M\d+ (-?\d+)h", svg))
    ET.fromstring(density_map(rows[:1]))


def test_charts_pass_a_strict_policy():
    svg = activation_histogram(ActivationHistogram(log=log_bins(b3=4), top=2.0)) + sparkline((1, 2, 3))
    assert not re.search(r"style=|\bid=|\bon\w+=|href|url\(", svg)
    assert '<svg viewBox="0 0 300 92" role="img"><title>Activations of 4 active tokens' in svg
