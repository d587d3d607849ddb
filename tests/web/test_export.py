"""The static page as a file: whole, offline, small, and safe with text that wants to be markup."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import pages
import saescope
from markup import Reader
from saescope import errors
from saescope.render.rows import readable
from saescope.render.view_models import EvalTable, FeatureRow, RunPage
from saescope.web.export import EXAMPLES, STATIC_ROWS, feature_data, run_page_html, script_safe_json, short, spark, write_run_page

PACKAGE = Path(saescope.__file__).parent


@pytest.fixture(scope="module")
def page() -> RunPage:
    return pages.run_page(600, 24)


@pytest.fixture(scope="module")
def html(page) -> str:
    return run_page_html(page)


def data_of(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S).group(1))


def test_nothing_leaves_the_machine(html):
    addresses = [a[name] for a in Reader(html).attributes for name in ("src", "href", "srcset", "action", "data") if name in a]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)


def test_hostile_text_is_text(html):
    parsed = Reader(html)
    assert parsed.tags.count("script") == 4
    assert not {"img", "iframe", "object"} & set(parsed.tags)
    assert not [name for attributes in parsed.attributes for name in attributes if name.startswith("on") or name == "style"]
    assert "onerror=alert(1)" in parsed.text
    assert "{{7*7}}" in parsed.text  # a label is data, never a template


def test_the_policy_allows_exactly_the_blocks_of_the_page(html):
    policy = next(a["content"] for a in Reader(html).attributes if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    blocks = re.findall(r'<style>(.*?)</style>|<script type="module">(.*?)</script>', html, re.S)
    hashes = ["sha256-" + base64.b64encode(hashlib.sha256((a or b).encode()).digest()).decode() for a, b in blocks]
    assert len(hashes) == 4
    assert sorted(hashes) == sorted(re.findall(r"sha256-[A-Za-z0-9+/=]+", policy))


def test_no_mojibake_and_nothing_invisible(html):
    assert not re.search("\ufffd|Ġ|âĢ|[\x00-\x08\x0b-\x1f\u200b\u202e\u2028]", html)


def test_every_card_and_row_is_reachable(page, html):
    ids = [a["id"] for a in Reader(html).attributes if "id" in a]
    assert len(ids) == len(set(ids))
    assert {f"f{card.id}" for card in page.cards} <= set(ids)
    links = {a["href"] for a in Reader(html).attributes if a.get("href", "").startswith("#")}
    assert {link[1:] for link in links} <= set(ids)


def test_without_scripts_the_first_rows_and_all_results_are_there(page, html):
    static = html[html.index('id="table"') : html.index("</table>", html.index('id="table"'))]
    assert static.count("<tr>") == STATIC_ROWS + 1
    text = Reader(html).text
    for expected in (
        "missing: saescope eval runs/demo --rows untrained",
        "same as clean",
        "is better",
        "0.0753 .. 0.0867",
        "412 documents",
    ):
        assert expected in text


def test_the_data_of_the_table_is_every_feature(page, html):
    data = data_of(html)
    assert data == json.loads(json.dumps(feature_data(page.features)))
    row = page.features[10]
    assert (data["id"][10], data["density"][10]) == (10, pytest.approx(row.density, rel=1e-3))
    assert [data["texts"][k] for k in data["logits"][10]] == [readable(text) for text in row.top_logits]
    assert sum(1 for flags in data["flags"] if flags & 1) == sum("dead" in row.flags for row in page.features)


def test_cards_of_a_page_are_cut_where_the_bundle_keeps_more(page):
    card = page.cards[0]
    many = replace(card, top_logits=card.top_logits * 3, groups=tuple(replace(g, examples=g.examples * 4) for g in card.groups))
    assert [len(group.examples) for group in short(many).groups] == [EXAMPLES[group.kind] for group in card.groups]
    assert short(many).top_logits == card.top_logits
    assert short(many).groups[0].examples == card.groups[0].examples


def test_json_cannot_close_its_script():
    text = script_safe_json({"a": "</script><!--\u2028&"})
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == {"a": "</script><!--\u2028&"}


def test_sparklines_run_from_weak_to_strong():
    assert spark((35, 0, 1)) == "10z"
    assert spark((10_000, 1)) == "1z"
    assert spark((0, 0)) == spark(()) == ""


def test_an_empty_run_has_a_page(tmp_path):
    page = RunPage(title="nothing", facts=(), table=EvalTable((), ()), features=(FeatureRow(0, 0.0, 0.0, flags=("dead",)),))
    size = write_run_page(tmp_path / "index.html", page)
    assert (tmp_path / "index.html").stat().st_size == size


def test_a_page_that_cannot_be_written_says_so(tmp_path, page):
    (tmp_path / "index.html").mkdir()
    with pytest.raises((errors.ArtifactError, OSError)):
        write_run_page(tmp_path / "index.html", RunPage(title="", facts=(), table=EvalTable((), ()), features=()))
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]  # nothing half written stays


def test_the_default_page_is_below_6_megabytes():
    """4,096 features and 200 cards of 10 top and 10 random examples; the cards are counted from 16 of them."""
    bare, some = (len(run_page_html(pages.run_page(4096, n_cards, more=False)).encode()) for n_cards in (0, 16))
    assert bare + 200 / 16 * (some - bare) < 6e6


def test_thirty_thousand_features_stay_light():
    rows = pages.run_page(1000, 0).features
    assert len(script_safe_json(feature_data(rows)).encode()) / len(rows) < 110


@pytest.mark.parametrize(
    "path", sorted([*PACKAGE.glob("render/templates/**/*.html"), *PACKAGE.glob("web/**/*.html"), *PACKAGE.glob("web/static/*")])
)
def test_sources_name_no_address_and_trust_no_text(path):
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)
    assert "|safe" not in source.replace(" ", "")
    assert "autoescape false" not in source
    assert "innerHTML" not in source
    assert source.count("\n") <= 300
