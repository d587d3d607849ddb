"""What each feature is about, in the words of a labelled text: an addition to a feature bundle, an artifact of its own in `concepts/`.

concepts/manifest.json                      sae_sha256 (by which the store knows whose it is), and the text the numbers come from
concepts/concepts-0-<sha12>.parquet         one row per feature: CONCEPTS

The bundle's manifest stays as it is, so that labels can be added later, and again from other text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from saescope.errors import NotAnArtifact, ProvenanceMismatch
from saescope.features import bundle
from saescope.files import ArtifactWriter, Manifest, read_manifest, verified
from saescope.render.view_models import ConceptInterval, ConceptView

SCHEMA, VERSION = "saescope.concepts", 1
FOLDER = "concepts"
"""Below the folder of the bundle."""
CONCEPTS = {
    "feature": "INTEGER",
    # Its best label, by F1 on selection documents (`evals/concept_scores.py`); NULL where none is better than chance.
    "family": "VARCHAR", "label": "VARCHAR",
    # From report documents: share of its active tokens with the label; share of the label's tokens on which it is on.
    "precision": "DOUBLE", "recall": "DOUBLE",
    # Mean over intervals of (share - base) / (1 - base), clipped to [0, 1]; share of sum f; share of the label in the text; breadth.
    "purity": "DOUBLE", "p_mass": "DOUBLE", "base": "DOUBLE", "n_eff": "DOUBLE",
    # By 11 equal intervals of (0, max], weakest first: share of active tokens with the label (NULL: none active), active tokens.
    "share": "FLOAT[]", "n": "UINTEGER[]",
}  # fmt: skip


def describe_concepts(folder: Path | str, columns: Mapping[str, np.ndarray], provenance: Mapping[str, Any]) -> Manifest:
    """Add the best labels of its features to the bundle in `folder`; what had been added before is replaced.

    `columns` has those of CONCEPTS, arrays [F] or [F, 11]; `provenance` at least `sae_sha256`, `corpus`, `n_tokens_select` and
    `n_tokens_report`.
    Raises: NotAnArtifact (no bundle there), ProvenanceMismatch (the bundle is of another SAE), DiskFull, OutputNotWritable.
    """
    own = read_manifest(folder, bundle.SCHEMA, bundle.VERSION)
    of = provenance["sae_sha256"]
    if own.provenance["sae_sha256"] != of:
        raise ProvenanceMismatch(
            f"the features in {folder} are of SAE {own.provenance['sae_sha256']}, the labels of SAE {of}. Build the features of that SAE."
        )
    assert len(columns["feature"]) == int(own.state["n_features"]), "labels of other features"
    writer = ArtifactWriter(Path(folder) / FOLDER, SCHEMA, VERSION, site="concepts")
    writer.add_file("concepts-0", "parquet", partial(bundle.write_table, types=CONCEPTS, columns=columns))
    return writer.commit(provenance=provenance)


def concept_file(folder: Path, sae: str, *, verify: Literal["full", "size"]) -> tuple[Manifest, Path] | None:
    """Manifest and table of the labels in a bundle's folder; None where there are none, or they are of another SAE.

    Raises: CorruptArtifact, NewerSchema.
    """
    try:
        manifest = read_manifest(folder / FOLDER, SCHEMA, VERSION)
    except NotAnArtifact:
        return None
    if manifest.provenance.get("sae_sha256") != sae:
        return None
    return manifest, verified(folder / FOLDER, manifest, manifest.file("concepts-0"), verify=verify).resolve()


@dataclass(frozen=True, kw_only=True)
class Concept:
    """The label a feature is best at. Attributes are the columns of CONCEPTS; the label was chosen on S, the numbers are of R."""

    feature: int
    family: str
    label: str
    precision: float | None
    recall: float | None
    purity: float | None
    p_mass: float | None
    base: float | None
    n_eff: float | None
    share: list[float | None]
    n: list[int]

    def view(self, provenance: Mapping[str, Any]) -> ConceptView:
        """As a page shows it, with the text it comes from."""
        return ConceptView(
            family=self.family,
            label=self.label,
            precision=self.precision,
            recall=self.recall,
            purity=self.purity,
            base=self.base,
            intervals=tuple(ConceptInterval(share, n) for share, n in zip(self.share, self.n, strict=True)),
            corpus=provenance["corpus"],
            n_select=provenance["n_tokens_select"],
            n_report=provenance["n_tokens_report"],
        )
