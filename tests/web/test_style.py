"""The stylesheet: contrast of text on every tint in both themes, computed from its own custom properties; nothing external."""

import re

import pytest

from saescope.render.rows import STEPS
from saescope.web.export import stylesheet

CSS = stylesheet()
LEAST = 4.5


def properties(selector: str) -> dict[str, str]:
    """The colours that a rule sets."""
    block = CSS[CSS.index(selector) :]
    return dict(re.findall(r"(--[\w-]+):\s*(#[0-9a-f]{6})", block[: block.index("}")]))


THEMES = {"light": properties(":root {"), "dark": properties(':root:not([data-theme="light"]) {')}


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def mix(over: tuple[float, ...], under: tuple[float, ...], share: float) -> tuple[float, ...]:
    return tuple(a * share + b * (1 - share) for a, b in zip(over, under, strict=True))


def luminance(colour: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    bright, dim = sorted((luminance(a), luminance(b)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_the_toggle_uses_the_colours_of_the_system_theme():
    assert properties(':root[data-theme="dark"] {') == THEMES["dark"]
    assert THEMES["dark"].keys() == THEMES["light"].keys()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("hue", ["--hot", "--cold"])
def test_text_is_readable_on_all_tints(theme, hue):
    base, per_step = map(float, re.search(r"var\(--hot\) calc\(([\d.]+)% \+ var\(--a\) \* ([\d.]+)%\)", CSS).groups())
    assert base + per_step * STEPS == pytest.approx(100)
    colours = {name: rgb(value) for name, value in THEMES[theme].items()}
    for tint in range(STEPS + 1):
        share = (base + per_step * tint) / 100 if tint else 0.0
        for ground in ("--panel", "--bg"):
            assert contrast(colours["--ink"], mix(colours[hue], colours[ground], share)) >= LEAST, (tint, ground)


@pytest.mark.parametrize("theme", THEMES)
def test_small_text_is_readable_everywhere_it_stands(theme):
    colours = {name: rgb(value) for name, value in THEMES[theme].items()}
    grounds = [colours[name] for name in ("--bg", "--panel", "--faint")]
    for hue, share in re.findall(r"--tone: color-mix\(in srgb, var\((--\w+)\) (\d+)%, transparent\)", CSS):
        grounds.append(mix(colours[hue], colours["--panel"], int(share) / 100))
    assert len(grounds) == 5
    for ground in grounds:
        assert contrast(colours["--soft"], ground) >= LEAST
        assert contrast(colours["--link"], ground) >= LEAST
    assert contrast(colours["--ink"], colours["--warn"]) >= LEAST
    assert contrast(colours["--bg"], colours["--ink"]) >= LEAST


def test_every_step_has_a_class():
    for k in range(1, STEPS + 1):
        assert f".t{k},.n{k}{{--a:{k}}}" in CSS


def test_colours_are_custom_properties_only_and_nothing_is_fetched():
    rules = re.sub(r"(?s)/\*.*?\*/|:root[^{]*\{[^}]*\}", "", CSS)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?=[;\s,)}])|rgb\(|hsl\(", rules)
    assert not re.search(r"url\(|@import|https?:|//", CSS)
    assert len(CSS.encode()) < 20_000
