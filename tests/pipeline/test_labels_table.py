"""The page's table of labels, from the report of a run."""

import json

import pytest

from saescope.errors import CorruptArtifact
from saescope.pipeline.labels_table import labels_table, named_latents
from saescope.render.labels import LabelRow
from saescope.render.panels import environment


def found(latent, precision, recall):
    return {"latent": latent, "precision": precision, "recall": recall, "distinct_tokens": 21, "texts": 20, "texts_with": 3}


def label(family, name, sae=None, neurons=None, rule=None):
    rows = {row: holder for row, holder in (("sae", sae), ("neurons", neurons)) if holder}
    return {"family": family, "label": name, "base": 0.01, "token_rule": rule, "rows": rows}


@pytest.fixture
def folder(tmp_path):
    labels = [
        label("script", "greek", found(5, 0.9, 0.1), found(3, 0.2, 0.5)),
        label("script", "arabic", found(7, 0.95, 0.8), found(4, 0.3, 0.6), {"precision": 0.99}),
        label("topic", "sea", found(7, 0.5, 0.5)),
        label("format", "dna", found(9, None, None)),
        label("line", "first", found(1, 1.0, 1.0)),
        label("mood", "tense"),
    ]
    report = {"labels": labels, "provenance": {"n_tokens_select": 1000, "n_tokens_report": 2000}}
    (tmp_path / "result.json").write_text(json.dumps(report))
    return tmp_path


def test_the_best_found_come_first(folder):
    table = labels_table(folder)
    assert [row.label for row in table.rows] == ["arabic", "sea", "greek", "dna", "tense"]  # lines say nothing of a text
    assert table.rows[0] == LabelRow("script", "arabic", 0.01, table.rows[0].latent, table.rows[0].neuron, 0.99)
    assert (table.rows[0].latent.id, table.rows[0].neuron.id) == (7, 4)
    assert table.rows[-1].latent is None
    assert named_latents(table) == [7, 5]  # each once, and none that never fired
    assert "1,000 tokens" in table.note


def test_no_report_is_no_table(tmp_path, folder):
    assert labels_table(tmp_path / "nowhere") is None
    assert named_latents(None) == []
    (folder / "result.json").write_text("{")
    with pytest.raises(CorruptArtifact):
        labels_table(folder)


def test_the_table_links_to_the_cards_that_are_there(folder):
    template = environment().from_string('{% import "labels.html" as concepts %}{{ concepts.labels(table, linked) }}')
    html = template.render(table=labels_table(folder), linked=frozenset({7}))
    assert '<a href="#f7">7</a>' in html
    assert "#f5" not in html
    assert "3 of 20" in html
