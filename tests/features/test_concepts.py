"""Best labels beside a bundle: written after it, read with it, ignored where they are another SAE's."""

import json
import shutil

import numpy as np
import pytest

from saescope import errors
from saescope.features.concepts import CONCEPTS, describe_concepts
from saescope.features.store import FeatureStore

ORIGIN = {"corpus": "words.txt", "n_tokens_select": 1200, "n_tokens_report": 2300}


def columns(F: int = 48) -> dict[str, np.ndarray]:
    """Every third feature has no label; of the others no two have the same numbers."""
    named = np.arange(F) % 3 > 0
    some = np.where(named, np.arange(F) / 100, np.nan)
    return {
        "feature": np.arange(F, dtype=np.int32),
        "family": np.array(["script" if yes else None for yes in named], object),
        "label": np.array([("arabic", "don't \"<b>")[i % 3 - 1] if yes else None for i, yes in enumerate(named)], object),
        **{name: some + k for k, name in enumerate(("precision", "recall", "purity", "p_mass", "base", "n_eff"))},
        "share": np.where(np.arange(11) % 2, some[:, None], np.nan),
        "n": np.arange(F * 11).reshape(F, 11),
    }


@pytest.fixture
def described(store, tmp_path):
    """A copy of the bundle with labels."""
    folder = shutil.copytree(store.folder, tmp_path / "features")
    describe_concepts(folder, columns(), ORIGIN | {"sae_sha256": store.provenance["sae_sha256"]})
    return folder


def test_labels_come_back_as_they_were_given(described, store):
    got = FeatureStore.open(described)
    assert got.manifest == store.manifest  # the bundle itself is what it was
    assert got.concept_provenance["n_tokens_report"] == 2300
    given = columns()
    for i in (0, 1, 2, 47):
        concept = got[i].concept
        if i % 3 == 0:
            assert concept is None
            continue
        for name in CONCEPTS:
            value = getattr(concept, name)
            if name == "share":
                assert [s for s in value if s is not None] == [np.float32(i / 100)] * 5
                assert value[0] is None
            elif name == "n":
                assert value == given["n"][i].tolist()
            else:
                assert value == given[name][i]


def test_cards_and_table_show_them(described):
    got = FeatureStore.open(described)
    rows = got.table_rows()
    assert (rows[0].label, rows[1].label, rows[2].label) == ("", "arabic (0.01)", "don't \"<b> (0.02)")
    card = got[1].card()
    assert (card.concept.name, card.concept.recall, card.concept.n_select, card.concept.corpus) == (
        "script: arabic",
        1.01,
        1200,
        "words.txt",
    )
    assert [interval.n for interval in card.concept.intervals] == list(range(11, 22))
    assert card.concept.intervals[0].share is None
    assert "best label <b>script: arabic</b>" in got[1]._repr_html_()
    assert "<b>script: don&#39;t &#34;&lt;b&gt;</b>" in got[2]._repr_html_()
    assert "best label" not in got[3]._repr_html_()
    assert got[3].card().concept is None


def test_a_bundle_without_labels_has_none(store):
    assert store.concept_provenance == {}
    assert store[1].concept is None
    assert store[1].card().concept is None
    assert {row.label for row in store.table_rows()} == {""}
    with pytest.raises(errors.ConfigError, match="feature 48 does not exist"):
        store.concept(48)


def test_new_labels_take_the_place_of_old_ones(described, store):
    changed = columns() | {"precision": np.full(48, 0.5)}
    describe_concepts(described, changed, ORIGIN | {"sae_sha256": store.provenance["sae_sha256"], "corpus": "other.txt"})
    got = FeatureStore.open(described)
    assert got[1].concept.precision == 0.5
    assert got.concept_provenance["corpus"] == "other.txt"
    assert len(list((described / "concepts").glob("*.parquet"))) == 1


def test_labels_of_another_sae_are_refused_and_ignored(described, store, tmp_path):
    with pytest.raises(errors.ProvenanceMismatch, match=f"are of SAE {store.provenance['sae_sha256']}, the labels of SAE 0123"):
        describe_concepts(described, columns(), ORIGIN | {"sae_sha256": "0123"})
    manifest = described / "concepts" / "manifest.json"
    said = json.loads(manifest.read_text())
    said["provenance"]["sae_sha256"] = "0123"
    manifest.write_text(json.dumps(said))
    assert FeatureStore.open(described)[1].concept is None
    with pytest.raises(errors.NotAnArtifact, match=r"is not a finished saescope\.features"):
        describe_concepts(tmp_path / "nothing", columns(), ORIGIN | {"sae_sha256": "0123"})


def test_a_changed_file_is_corrupt(described):
    (file,) = (described / "concepts").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(errors.CorruptArtifact, match="was cut or changed"):
        FeatureStore.open(described)
