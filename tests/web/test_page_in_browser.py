"""The static page in Chromium: opened from a file, in both themes, wide and narrow, with and without JavaScript."""

import os
import re
import shutil
from itertools import pairwise

import pytest

import pages
from saescope.web.export import write_run_page

pytestmark = pytest.mark.browser
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
CONTRASTS = """() => {
  const parse = (text) => { const n = text.match(/[-\\d.e]+/g).map(Number), s = text.startsWith("color(") ? 1 : 255;
    return [n[0] / s, n[1] / s, n[2] / s, n[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = (c) => c.slice(0, 3).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const row = document.querySelector(".r"), panel = parse(getComputedStyle(row.closest(".card")).backgroundColor), found = [];
  for (const hue of ["t", "n"]) for (let k = 1; k <= 32; k++) {
    const token = document.createElement("b");
    token.className = hue + k;
    row.append(token);
    const style = getComputedStyle(token), ground = over(parse(style.backgroundColor), panel), ink = parse(style.color);
    const [a, b] = [light(ground), light(ink)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), ground.slice(0, 3).join()]);
    token.remove();
  }
  return found;
}"""


@pytest.fixture(scope="module")
def chromium():
    path = os.environ.get("SAESCOPE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        if os.environ.get("SAESCOPE_REQUIRE_BROWSER") == "1":
            pytest.fail("no Chromium: set SAESCOPE_CHROMIUM, or put chromium on PATH")
        pytest.skip("no Chromium (set SAESCOPE_CHROMIUM, or apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_run_page(path, pages.run_page(600, 16))
    return path.as_uri()


@pytest.fixture
def visit(chromium, address):
    """Opens the page; a request elsewhere, a dialog, a console error or an exception fails the test."""
    contexts, problems = [], []

    def open_page(width=1400, height=900, anchor="", **options):
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.on("request", lambda r: None if r.url.split("#")[0] == address or r.url == "data:," else problems.append(r.url))
        page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append("dialog"), dialog.dismiss()))
        page.goto(address + anchor)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.mark.parametrize("width", [360, 800, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_and_text_contrasts_on_every_computed_tint(visit, width, theme):
    page = visit(width, color_scheme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = page.evaluate(CONTRASTS)
    assert min(ratio for ratio, _ in found) >= 4.5
    assert len({ground for _, ground in found}) == 64  # every step is its own colour


def test_filter_sort_and_jump(visit):
    page = visit()
    assert page.inner_text("#shown") == "All 600 features."
    page.fill("#q", "density<1e-3 -is:dead max>5")
    densities = [float(text.split()[0].replace("−", "-")) for text in page.locator("#table tbody tr td:nth-child(2)").all_inner_texts()]
    assert densities
    assert max(densities) < 0.1
    page.click("#table th:nth-child(3) button")
    largest = [float(text) for text in page.locator("#table tbody tr td:nth-child(3)").all_inner_texts()]
    assert largest == sorted(largest, reverse=True)
    assert min(largest) >= 5
    assert page.get_attribute("#table th:nth-child(3)", "aria-sort") == "descending"
    page.fill("#q", "#11")
    page.click("#table tbody a")
    assert page.url.endswith("#f11")
    page.wait_for_function("Math.abs(document.querySelector('#f11').getBoundingClientRect().top) < 40")


def test_the_numbers_of_the_script_read_as_those_of_the_file(visit):
    read = "[...document.querySelectorAll('#table tbody tr')].slice(0, 100).map((row) => row.innerText)"
    with_scripts, without = visit().evaluate(read), visit(java_script_enabled=False)
    rows = without.locator("#table tbody tr").all_inner_texts()
    assert [re.sub(r"\s+", " ", row) for row in with_scripts] == [re.sub(r"\s+", " ", row) for row in rows[:100]]


def test_scrolling_brings_all_rows(visit):
    page = visit()
    for _ in range(12):
        page.evaluate("document.getElementById('box').scrollTop = 1e6")
        page.wait_for_timeout(30)
    assert page.locator("#table tbody tr").count() == 600


def test_tokens_by_keyboard(visit):
    page = visit()
    page.focus("#f0 .ex .r b.p")
    value = page.inner_text("#tip")
    assert re.match(r"[\d.]+ · id \d+|\d+ tokens: ", value)
    assert page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "tip"
    page.keyboard.press("ArrowDown")
    assert (
        page.evaluate(
            "[...document.querySelectorAll('#f0 .examples > .beside > .ex:first-child .r')].indexOf(document.activeElement.closest('.r'))"
        )
        == 1
    )
    assert page.evaluate("document.querySelectorAll('#f0 .examples > .beside > .ex:first-child b[tabindex=\"0\"]').length") == 1
    page.keyboard.press("Escape")
    assert page.is_hidden("#tip")


def test_context_and_theme(visit):
    page = visit(color_scheme="light")
    far = page.locator(".r .f").first
    assert far.is_hidden()
    page.check("#c32")
    assert far.is_visible()
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_arabic_letters_join_across_tokens(visit):
    """A word in pieces is as wide as the whole word: isolated letter forms would be wider."""
    page = visit()
    widths = page.evaluate("""() => ["الحقوق", "ال<b class=t9>حق</b>و<b class='t3 p'>ق</b>"].map((html) => {
      const row = document.querySelector(".r").cloneNode(false), inner = document.createElement("span");
      inner.append(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
      row.append(inner); document.querySelector(".ex li").append(row);
      return inner.getBoundingClientRect().width; })""")
    assert widths[0] == pytest.approx(widths[1], abs=0.6)


def test_without_javascript_the_page_reads(visit):
    page = visit(java_script_enabled=False)
    assert page.is_hidden("#search")
    assert page.locator("#table tbody tr").count() == 200
    assert page.locator(".card").count() == 16
    assert page.locator("#f0 .ex").first.is_visible()
    assert "need JavaScript" in page.inner_text("#shown")


def test_the_accessibility_tree_names_what_can_be_used(visit):
    page = visit()
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    used = {"button", "link", "searchbox", "radio", "img", "image", "region"}
    shown = [{key: node.get(key, {}).get("value") for key in ("role", "name")} for node in nodes if not node.get("ignored")]
    assert {node["role"] for node in shown} >= used - {"img", "image"}
    nameless = [node["role"] for node in shown if node["role"] in used and not node["name"]]
    assert nameless == []
    levels = [int(level) for level in page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5')].map((h) => h.tagName[1])")]
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert page.locator("th:not([scope])").count() == 0
