"""How numbers read, the same in the page, the notebook and the terminal."""

import math

NONE = "–"


def number(value: float | None) -> str:
    """Three significant digits without exponents in the everyday range: 1,234 · 14.2 · 0.0513 · 1.2e−5; a dash for None.

    An int is a count and is written whole.
    """
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    if isinstance(value, int):
        text = f"{value:,}"
    elif size >= 999.5:
        text = f"{value:,.0f}" if size < 1e9 else f"{value:.2e}"
    elif size and size < 1e-3:
        text = f"{value:.1e}".replace("e-0", "e-")
    else:
        text = f"{value:#.3g}".rstrip(".") if size else "0"
    return text.replace("-", "−")


def tick(value: float) -> str:
    """The shortest form, for the ends of axes: 8 · 0.5 · 0.0312."""
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


def percent(share: float | None) -> str:
    """A share as a percentage with two or three significant digits: 0.13 % · 81 % · 100 %."""
    if share is None or not math.isfinite(share):
        return NONE
    size = abs(share) * 100
    if size >= 9.95 or size == 0:
        return f"{share * 100:.0f} %".replace("-", "−")
    return (f"{share * 100:.2g} %" if size >= 1e-3 else f"{share * 100:.0e} %".replace("e-0", "e-")).replace("-", "−")


def share(value: float | None) -> str:
    """A score between 0 and 1, or a little above, with two decimals: 0.98; a dash for None."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.2f}"


def count(value: int | None) -> str:
    """1,234,567."""
    return NONE if value is None else f"{value:,}"


def short(value: int) -> str:
    """A count in at most four characters: 987 · 1.2k · 46k · 3.1M."""
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if value >= 0.9995 * size:
            return f"{value / size:.1f}{unit}" if value < 9.95 * size else f"{value / size:.0f}{unit}"
    return str(value)


def signed(value: float | None) -> str:
    """+1.23 and −0.45."""
    text = number(value)
    return f"+{text}" if value is not None and value > 0 else text
