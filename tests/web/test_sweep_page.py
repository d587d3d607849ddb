"""The page of a sweep: offline, under a strict policy, and safe with names that want to be markup."""

import base64
import hashlib
import re

import pytest

from markup import Reader
from saescope.render.plot import Axis, Curve, Panel, figure
from saescope.render.sweep import SweepCell, SweepColumn, SweepPage, SweepRow
from saescope.render.view_models import Fact
from saescope.web.export import write_sweep_page


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> str:
    row = SweepRow(
        name="<img src=x>-l0-4",
        at="blocks.0.mlp_post",
        d_sae=4096,
        cells=(SweepCell(0.125, 0.1, 0.15), SweepCell(0.013, share=True), SweepCell(None)),
        links=(("seed 0", "saes/a/index.html"), ("seed 1", "saes/b/index.html")),
    )
    page = SweepPage(
        title="gpt2 blocks.*.mlp_post",
        facts=(Fact("Model", "gpt2", "revision x"),),
        columns=(SweepColumn("delta CE", "nats/token"), SweepColumn("silent"), SweepColumn("FVU")),
        rows=(row,),
        note="On 100 predictions.",
        figure=figure([Panel("here", Axis("L0"), Axis("loss"), (Curve(((1, 2),)),))], [], title="points"),
        command="saescope sweep gpt2 --at 'blocks.*.mlp_post'",
    )
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_sweep_page(path, page)
    return path.read_text()


def test_it_shows_what_it_was_given(html):
    text = Reader(html).text
    for word in (
        "gpt2",
        "revision x",
        "<img src=x>-l0-4",
        "0.125",
        "0.100 .. 0.150",
        "1.3 %",
        "–",
        "4,096",
        "On 100 predictions.",
        "points",
    ):
        assert word in text
    assert 'href="saes/b/index.html"' in html


def test_nothing_leaves_the_machine_and_hostile_text_is_text(html):
    parsed = Reader(html)
    addresses = [a[name] for a in parsed.attributes for name in ("src", "href", "srcset", "action") if name in a]
    assert all(address.startswith(("#", "data:", "saes/")) for address in addresses)
    assert "img" not in parsed.tags
    assert not [name for attributes in parsed.attributes for name in attributes if name.startswith("on") or name == "style"]


def test_the_policy_allows_exactly_the_blocks_of_the_page(html):
    policy = next(a["content"] for a in Reader(html).attributes if a.get("http-equiv") == "Content-Security-Policy")
    blocks = re.findall(r'<style>(.*?)</style>|<script type="module">(.*?)</script>', html, re.S)
    hashes = ["sha256-" + base64.b64encode(hashlib.sha256((a or b).encode()).digest()).decode() for a, b in blocks]
    assert len(hashes) == 2
    assert sorted(hashes) == sorted(re.findall(r"sha256-[A-Za-z0-9+/=]+", policy))
