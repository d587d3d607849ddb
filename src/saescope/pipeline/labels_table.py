"""The page's table of labels, from the report that `concepts` leaves in a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saescope.disk import read_json
from saescope.errors import NotAnArtifact
from saescope.evals.concept_report import RESULT
from saescope.render.labels import Holder, LabelRow, LabelTable
from saescope.render.numbers import count

SAME_EVERYWHERE = ("line", "char_byte")
"""Families that say nothing of what a text is about."""


def labels_table(folder: Path) -> LabelTable | None:
    """The labels of a run whose features have some; None where there is no report. Raises: CorruptArtifact."""
    try:
        raw = read_json(folder / RESULT, missing=f"{folder} holds no labels.")
    except NotAnArtifact:
        return None
    rows = [_row(label) for label in raw["labels"] if label["family"] not in SAME_EVERYWHERE]
    rows.sort(key=lambda row: -_f1(row.latent))
    said = raw["provenance"]
    note = (
        f"Chosen on {count(said['n_tokens_select'])} tokens of selection documents, measured on {count(said['n_tokens_report'])} tokens of "
        "report documents. Best latent or neuron: of those with precision 0.8 or more the one of largest recall, else the most precise. "
        "Kinds: vocabulary entries it fires on. Texts: of its 20 strongest, those with the label within 16 tokens of the peak. "
        "Entries: precision of the best list of vocabulary entries with the latent's recall."
    )
    return LabelTable(tuple(rows), note)


def named_latents(table: LabelTable | None) -> list[int]:
    """Latents that stand for a label, the best first, each once."""
    return list(dict.fromkeys(row.latent.id for row in table.rows if row.latent and _f1(row.latent) > 0)) if table else []


def _row(label: Mapping[str, Any]) -> LabelRow:
    rule = (label.get("token_rule") or {}).get("precision")
    latent, neuron = (_holder(label["rows"].get(name)) for name in ("sae", "neurons"))
    return LabelRow(label["family"], label["label"], label["base"], latent, neuron, rule)


def _holder(found: Mapping[str, Any] | None) -> Holder | None:
    if found is None:
        return None
    return Holder(
        found["latent"], found["precision"], found["recall"], found["distinct_tokens"], found["texts"], found["texts_with"]
    )  # fmt: skip


def _f1(holder: Holder | None) -> float:
    if holder is None or not holder.precision or not holder.recall:
        return 0.0
    return 2 * holder.precision * holder.recall / (holder.precision + holder.recall)
