"""What `concepts` found: per latent its best label, per label the best latent of each row, as tensors and as JSON."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from saescope.disk import make_folder, write_json
from saescope.evals.concept_scores import Figures
from saescope.evals.concept_table import LOWER, Classes
from saescope.evals.concept_tokens import TokenRule
from saescope.shapes import Float, Int, Tensor

SCHEMA, RESULT = "saescope.concepts/1", "result.json"
PURE, NARROW = 0.8, 1.5
"""A latent is monosemantic when its purity is above the one and its breadth below the other."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A latent of which only activations from one bin on count: of all latents and bins the one of the best F1 on S."""

    latent: int
    first_bin: int
    precision: float
    recall: float
    texts: int
    texts_with: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """The latent that a row has for a label: chosen on S, numbers from R (NaN: it never fires there)."""

    latent: int
    precision: float
    recall: float
    purity: float
    active: int
    """Tokens on which it is on."""
    distinct_tokens: int
    """Vocabulary entries among them."""
    texts: int
    """Its texts of largest activation that were searched, one per document ..."""
    texts_with: int
    """... and how many of them have the label within 16 tokens of the peak."""
    edge: Edge
    """The best that can be had by leaving weak activations out, often of another latent."""
    select_f1: float
    """F1 of the latent on S, by which labels are ranked."""


@dataclass(frozen=True, kw_only=True)
class RowReport:
    """One dictionary."""

    best: Int[Tensor, " d_sae"]
    """The label that names each latent (`best_labels`), as a column of the table; -1: none."""
    figures: Figures
    """Numbers of each latent with that label."""
    purest: Int[Tensor, " d_sae"]
    """The label each latent is purest in (`purest_labels`), by which the row's purity is defined; -1: unmeasured."""
    purity: Figures
    """Numbers of each latent with that one."""
    found: dict[int, Found]
    """By column of the label."""
    halves: int | None = None
    """Of signed coordinates their number: latent i and i + halves are the two signs of one."""

    def name(self, latent: int) -> str:
        """How a latent is called: coordinates by their number, with a minus for the negative half."""
        return str(latent) if self.halves is None or latent < self.halves else f"−{latent - self.halves}"

    def summary(self) -> dict[str, Any]:
        """Mean purity over the alive latents that were measured, plain and weighted by density; share of monosemantic ones."""
        f = self.purity
        measured = (self.purest >= 0) & ~f.purity.isnan()
        purity, active = f.purity[measured], f.active[measured].double()
        monosemantic = (purity > PURE) & (f.n_eff[measured] < NARROW)
        return {
            "purity": _number(purity.mean()),
            "purity_by_density": _number((purity * active).sum() / active.sum()),
            "monosemantic": _number(monosemantic.double().mean()),
            "n_measured": int(measured.sum()),
            "n_unmeasured": int(((f.active > 0) & ~measured).sum()),
            "n_latents": len(measured),
        }


@dataclass(frozen=True, kw_only=True)
class ConceptReport:
    """Rows of dictionaries against the labels of one text. Every choice was made on S, every number here is of R."""

    classes: Classes
    n: Int[Tensor, " classes"]
    """Tokens of each class."""
    base: Float[Tensor, " classes"]
    """Their share in the tokens of their family."""
    rows: dict[str, RowReport]
    rules: dict[int, TokenRule]
    """By column: the best rule over single tokens at the recall that the first row's latent has on S."""
    provenance: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    def strongest(self, row: str) -> list[int]:
        """For each family the label whose latent has the largest F1 on S, as columns."""
        best: dict[int, int] = {}
        found = self.rows[row].found
        for column in found:
            family = int(self.classes.family[column])
            if family not in best or found[column].select_f1 > found[best[family]].select_f1:
                best[family] = column
        return list(best.values())

    def columns(self, row: str) -> dict[str, np.ndarray]:
        """Per latent, as the feature bundle keeps it: family and label that name it (None where none does), and their numbers."""
        of = self.rows[row]
        names = [self.classes.name(column) if column >= 0 else (None, None) for column in of.best.tolist()]
        f = of.figures
        numbers = {"precision": f.precision, "recall": f.recall, "purity": f.purity, "p_mass": f.p_mass, "base": f.base, "n_eff": f.n_eff}
        return {
            "feature": np.arange(len(names), dtype=np.int32),
            "family": np.array([family for family, _ in names], object),
            "label": np.array([label for _, label in names], object),
            **{name: value.numpy() for name, value in numbers.items()},
            "share": f.share.numpy(),
            "n": f.n.numpy(),
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "warnings": self.warnings,
            "provenance": self.provenance,
            "rows": {name: row.summary() for name, row in self.rows.items()},
            "labels": [self._label_json(column) for column in self.classes.labels],
        }

    def save(self, folder: Path | str) -> Path:
        """Write result.json into a folder; returns its path. Raises: DiskFull, OutputNotWritable."""
        make_folder(Path(folder))
        path = Path(folder) / RESULT
        write_json(path, self.to_json(), site="concepts.swap")
        return path

    def _label_json(self, column: int) -> dict[str, Any]:
        family, label = self.classes.name(column)
        rule = self.rules.get(column)
        facts = {"family": family, "label": label, "n": int(self.n[column]), "base": _number(self.base[column])}
        found = {name: _found_json(row.found[column]) for name, row in self.rows.items() if column in row.found}
        said = None if rule is None else {"n_tokens": rule.n_tokens, "precision": _number(rule.precision), "recall": _number(rule.recall)}
        return facts | {"token_rule": said, "rows": found}


def _found_json(found: Found) -> dict[str, Any]:
    e = found.edge
    edge: dict[str, Any] = {"latent": e.latent, "above": LOWER[e.first_bin], "precision": _number(e.precision), "recall": _number(e.recall)}
    edge |= {"texts": e.texts, "texts_with": e.texts_with}
    counts = {"active": found.active, "distinct_tokens": found.distinct_tokens, "texts": found.texts, "texts_with": found.texts_with}
    shares = {"precision": _number(found.precision), "recall": _number(found.recall), "purity": _number(found.purity)}
    return {"latent": found.latent, **shares, **counts, "edge": edge}


def _number(value: Any) -> float | None:
    """NaN is what JSON has no word for."""
    return float(value) if math.isfinite(value) else None
