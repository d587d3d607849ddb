import json
import shutil

import numpy as np
import pytest

from saescope import errors
from saescope.features.store import FeatureStore


def test_a_feature_has_the_columns_as_attributes(store):
    columns = store.table()
    for i in (0, 17, 47):
        feature = store[i]
        assert feature.id == i
        for name, column in columns.items():
            assert getattr(feature, name) == column[i], name
    assert [feature.id for feature in store] == list(range(48))


@pytest.mark.parametrize("wrong", [48, -1, 10**9])
def test_an_id_out_of_range_names_the_range(store, wrong):
    for ask in (lambda: store[wrong], lambda: store.windows(wrong), lambda: store.examples(wrong), lambda: store.top_token(wrong)):
        with pytest.raises(errors.ConfigError, match=f"feature {wrong} does not exist: this bundle has 48. Expected an id from 0 to 47"):
            ask()


def test_other_mistakes_name_what_was_expected(store):
    with pytest.raises(errors.ConfigError, match=r"'cat' is no feature id. Expected a whole number from 0 to 47"):
        store["cat"]
    with pytest.raises(errors.ConfigError, match=r"'max_akt' is no column of the feature table. Did you mean 'max_act'"):
        store.table(["max_akt"])
    with pytest.raises(errors.ConfigError, match=r"'strata' is no kind of example. Did you mean 'stratum'\?"):
        store.windows(0, "strata")


def test_examples_by_kind(store):
    i = store.choose_cards(1)[0]
    everything = store.examples(i)
    kinds = {kind: store.examples(i, kind) for kind in ("top", "random", "stratum", "near_miss")}
    assert sum(len(found["at"]) for found in kinds.values()) == len(everything["at"])
    assert len(kinds["random"]["at"]) <= 10
    assert 0 < len(kinds["top"]["at"]) <= 20
    assert everything["n_act"].sum() == len(everything["off"]) == len(everything["act"])
    assert (np.diff(kinds["top"]["peak"]) <= 0).all()
    assert (np.diff(kinds["stratum"]["stratum"].astype(int)) >= 0).all()


def test_context_cuts_the_window_around_its_peak(store):
    i = store.choose_cards(1)[0]
    for wide, narrow in zip(store.windows(i), store.windows(i, context=2), strict=True):
        left = max(0, wide.peak_at - 2)
        assert narrow.ids == wide.ids[left : wide.peak_at + 3]
        assert narrow.acts == wide.acts[left : wide.peak_at + 3]
        assert narrow.peak_at == wide.peak_at - left
        assert (narrow.position, narrow.doc, narrow.peak) == (wide.position, wide.doc, wide.peak)
        assert len(wide.tokens) == len(wide.acts) == len(wide.docs)


def test_cards_are_half_by_mass_half_by_density(store):
    mass, density, alive = store.table(["mass_share"])["mass_share"], store.table(["density"])["density"], store.alive()
    chosen = store.choose_cards(20)
    assert len(set(chosen)) == 20
    assert chosen[:10] == sorted(alive, key=lambda i: (-mass[i], i))[:10]
    others = sorted(set(alive) - set(chosen[:10]), key=lambda i: (-density[i], i))
    assert [others.index(i) * 10 // len(others) for i in chosen[10:]] == list(range(10))
    assert sorted(store.choose_cards(500)) == alive
    assert store.choose_cards(0) == []


def test_a_sample_is_of_alive_features_and_by_seed(store):
    assert store.sample(8) == store.sample(8)
    assert store.sample(8) != store.sample(8, seed=1)
    assert sorted(store.sample(1000)) == store.alive() == [i for i, n in enumerate(store.table(["n_active"])["n_active"]) if n]


def test_the_card_has_everything_the_bundle_has(store):
    for i in range(48):
        feature = store[i]
        card = feature.card()
        assert (card.id, card.n_active, card.density) == (i, feature.n_active, feature.density)
        assert card.origin == store.origin
        if not feature.alive:
            assert "dead" in card.flags
            assert card.histogram is None
            assert card.top_tokens == ()
            continue
        assert sum(card.histogram.log) == sum(card.histogram.lin) == sum(card.positions) == feature.n_active
        assert card.histogram.top / 2 < feature.max_act <= card.histogram.top
        assert len(card.top_logits) == len(card.bottom_logits) == 20
        assert card.top_logits[0].value == card.logit_histogram.hi
        assert sum(card.logit_histogram.counts) > 256
        assert card.top_tokens[0].value == pytest.approx(feature.top_token_share)
        assert card.top_tokens[0].token == store.top_token(i)
        assert len(card.neurons) == 3
        assert {group.title for group in card.neighbours} >= {"decoder cosine", "encoder cosine"}
        for group in card.groups:
            assert group.examples
            if group.kind == "stratum":
                assert all(group.lo < abs(example.peak) <= group.hi for example in group.examples)
                assert group.n >= len(group.examples)
                assert group.share == group.n / feature.n_active
        for example in card.groups[0].examples:
            assert example.specials == ((0,) if example.ids[0] == 0 else ())
            assert example.doc_edges == ()


def test_it_shows_itself_in_a_notebook_without_foreign_markup(store):
    html = store[store.alive()[0]]._repr_html_()
    assert "<script" not in html
    assert "\ufffd" not in html
    assert len(html.encode()) < 40_000
    assert repr(store[3]).startswith("Feature(3: on ")
    assert repr(store).startswith("FeatureStore(48 features, ")


def test_rows_of_the_page_table(store):
    rows = store.table_rows()
    assert [row.id for row in rows] == list(range(48))
    row = next(row for row in rows if row.id == store.alive()[0])
    assert sum(row.sparkline) == store[row.id].n_active
    assert row.top_logits == tuple(token.token for token in store[row.id].card().top_logits[:3])


def test_displays_are_those_of_the_tokenizer(store, tiny_lm):
    shown = [store.display(i) for i in range(tiny_lm.tokenizer.vocab_size)]
    theirs = [tiny_lm.tokenizer.display(i) for i in range(tiny_lm.tokenizer.vocab_size)]
    assert [a for a, b in zip(shown, theirs, strict=True) if a != b] == []


def test_what_is_no_bundle_is_refused(store, tmp_path):
    with pytest.raises(errors.NotAnArtifact, match=r"has no manifest.json"):
        FeatureStore.open(tmp_path)

    def copy(name):
        return shutil.copytree(store.folder, tmp_path / name)

    newer = copy("newer")
    manifest = json.loads((newer / "manifest.json").read_text())
    (newer / "manifest.json").write_text(json.dumps(manifest | {"version": 99}))
    with pytest.raises(errors.NewerSchema, match="version 99"):
        FeatureStore.open(newer)
    for name in manifest["files"]:
        broken = copy(f"cut-{name}")
        data = (broken / name).read_bytes()
        (broken / name).write_bytes(data[:-7])
        with pytest.raises(errors.CorruptArtifact, match="was cut or changed"):
            FeatureStore.open(broken, verify="size")
        (broken / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(errors.CorruptArtifact, match="changed"):
            FeatureStore.open(broken)
        (broken / name).unlink()
        with pytest.raises(errors.CorruptArtifact, match="is missing"):
            FeatureStore.open(broken)


def test_a_garbled_file_of_the_right_size_is_corrupt_too(store, tmp_path):
    for stem in ("features-0", "examples-0"):
        folder = shutil.copytree(store.folder, tmp_path / stem)
        name = store.manifest.file(stem)
        (folder / name).write_bytes(b"\xff" * (folder / name).stat().st_size)
        with pytest.raises(errors.CorruptArtifact, match="cannot be read"):
            FeatureStore.open(folder, verify="size")


def test_the_connection_reaches_no_other_file(store, tmp_path):
    import duckdb

    (tmp_path / "a.csv").write_text("x\n1\n")
    with pytest.raises(duckdb.PermissionException):
        store._query(f"SELECT * FROM read_csv('{tmp_path}/a.csv')")
    with pytest.raises(duckdb.Error, match="locked"):
        store._query("SET enable_external_access=true")
