import pytest

from saescope.render.numbers import count, number, percent, signed, tick


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (float("nan"), "–"), (0.0, "0"), (1234.5, "1,234"), (14.23, "14.2"), (0.05134, "0.0513"), (1.234e-5, "1.2e−5")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_counts_are_whole():
    assert (number(12), number(-4096), count(1234567), count(None)) == ("12", "−4,096", "1,234,567", "–")


@pytest.mark.parametrize(
    ("share", "text"), [(0.0013, "0.13 %"), (0.81, "81 %"), (1.0, "100 %"), (0.0, "0 %"), (3e-7, "3e−5 %"), (None, "–")]
)
def test_shares_are_percentages(share, text):
    assert percent(share) == text


def test_signs_and_ticks():
    assert (signed(1.5), signed(-0.25), signed(None)) == ("+1.50", "−0.250", "–")
    assert (tick(8.0), tick(0.5), tick(-2.1), tick(0.03125)) == ("8", "0.5", "−2.1", "0.0312")
