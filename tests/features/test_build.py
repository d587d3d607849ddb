import os
import shutil
import subprocess
import sys

import bundle_maker
import numpy as np
import pytest
import torch
from bundle_maker import AT, CONFIG, PACK, build, small_sae

from saescope import disk, errors
from saescope.data.corpus import Corpus
from saescope.data.packing import pack
from saescope.features import bundle, spool
from saescope.features.build import FeatureConfig, build_features
from saescope.features.store import FeatureStore
from saescope.files import ArtifactWriter


def test_every_number_is_that_of_the_dense_code(tiny_lm, text, store):
    sae, n = small_sae(), 0
    latents, batches = [], pack(Corpus.open(text).documents("train", epoch=0, seed=0), tiny_lm.tokenizer, PACK)
    for batch in batches:
        x = tiny_lm.run(batch.tokens, mask=batch.mask, read=[tiny_lm.resolve(AT)]).acts[tiny_lm.resolve(AT)]
        latents.append(sae.encode(x[batch.counted]).detach())
        n += int(batch.counted.sum())
        if n >= CONFIG.n_tokens:
            break
    f = torch.cat(latents).double().numpy()
    table = store.table()
    assert table["feature"] == list(range(48))
    assert set(table["n_tokens"]) == {n} == {store.n_tokens}
    assert table["n_active"] == (f != 0).sum(0).tolist()
    np.testing.assert_allclose(table["max_act"], f.max(0), rtol=1e-5)
    mass = f.sum(0) * sae.W_dec.norm(dim=1).double().numpy(force=True)
    np.testing.assert_allclose(table["mass_share"], mass / mass.sum(), rtol=1e-5, atol=1e-9)
    for i in np.flatnonzero((f != 0).sum(0) > 50)[:5]:
        feature = store[int(i)]
        windows = feature.windows("top")
        assert windows[0].peak == pytest.approx(f[:, i].max(), rel=1e-5)
        assert [w.peak for w in windows] == sorted((w.peak for w in windows), reverse=True)
        assert len({w.doc for w in windows}) == len(windows)


def test_windows_are_the_code_of_their_own_text(tiny_lm, store):
    """Running a shown window's row again gives the activations that are shown."""
    sae = small_sae()
    for i in store.choose_cards(6):
        for window in store.windows(i, context=32):
            assert window.peak_at == window.position  # rows are shorter than the reach: each window is its whole row
            tokens = torch.tensor([window.ids])
            x = tiny_lm.run(tokens, read=[tiny_lm.resolve(AT)]).acts[tiny_lm.resolve(AT)][0]
            code = sae.encode(x)[:, i].detach().numpy()
            code[0] = 0
            np.testing.assert_allclose(window.acts, code, atol=2e-3 * store[i].max_act)
            if window.kind == "near_miss":
                assert code[window.peak_at] == 0
                assert window.peak == pytest.approx(float(sae.pre_acts(x)[window.peak_at, i].detach()), rel=1e-4, abs=1e-6)
            text = b"".join(window.tokens[1:])
            assert text.decode("utf-8", "replace") == tiny_lm.tokenizer.decode(list(window.ids[1:]))


@pytest.mark.parametrize("limit", ["PART_TOKENS", "PART_ENTRIES"])
def test_parts_do_not_show(tiny_lm, text, store, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(spool, limit, 300)
    other = build(tiny_lm, text, tmp_path / "features")
    assert other.manifest.digest() == store.manifest.digest()
    assert not (tmp_path / "features" / "parts").exists()


@pytest.mark.parametrize(("site", "hits"), [("bundle.write", 12), ("bundle.rename", 12), ("bundle.manifest", 4), ("bundle.swap", 4)])
def test_an_interrupted_build_leaves_nothing_half_written_and_goes_on(tiny_lm, text, store, tmp_path, monkeypatch, site, hits):
    monkeypatch.setattr(spool, "PART_TOKENS", 1000)
    folder, failed = tmp_path / "features", 0
    while True:
        monkeypatch.setenv("SAESCOPE_FAULT", f"{site}:{failed + 1}:enospc")
        disk._fault_hits.clear()
        shutil.rmtree(folder, ignore_errors=True)
        try:
            build(tiny_lm, text, folder)
        except errors.DiskFull:
            failed += 1
            names = [path.name for path in folder.iterdir()]
            assert "manifest.json" not in names
            assert not [path for path in folder.rglob("tmp-*") if path.is_file() and path.suffix != ".npy"]
            with pytest.raises(errors.NotAnArtifact):
                FeatureStore.open(folder)
        else:
            break
        monkeypatch.delenv("SAESCOPE_FAULT")
        if failed % 3 == 1:  # each kind of place in turn: parts, tables, manifest
            assert build(tiny_lm, text, folder).manifest.digest() == store.manifest.digest()
    assert failed == hits  # every write, rename and swap was tried


def test_going_on_reads_only_what_was_not_read(tiny_lm, text, store, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "PART_TOKENS", 600)
    monkeypatch.setenv("SAESCOPE_FAULT", "bundle.swap:3:ioerror")
    disk._fault_hits.clear()
    first, second = [], []
    with pytest.raises(OSError, match="fault injected"):
        build(tiny_lm, text, tmp_path / "features", progress=first.append)
    monkeypatch.delenv("SAESCOPE_FAULT")
    again = build(tiny_lm, text, tmp_path / "features", progress=second.append)
    assert second[0] > 1200
    assert second[-1] == store.n_tokens
    assert again.manifest.digest() == store.manifest.digest()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["bundle.rename:5:kill"])
def test_a_killed_build_goes_on(text, store, tmp_path, fault):
    command = [sys.executable, bundle_maker.__file__, str(text), str(tmp_path / "features")]
    environment = os.environ | {"SAESCOPE_FAULT": fault, "OMP_NUM_THREADS": "1"}
    assert subprocess.run(command, env=environment, check=False).returncode == 137
    assert not (tmp_path / "features" / "manifest.json").exists()
    del environment["SAESCOPE_FAULT"]
    subprocess.run(command, env=environment, check=True)
    assert FeatureStore.open(tmp_path / "features").manifest.digest() == store.manifest.digest()
    assert not list((tmp_path / "features").glob("tmp-*"))


def test_a_finished_bundle_is_opened_and_another_one_replaced(tiny_lm, text, tmp_path):
    seen = []
    first = build(tiny_lm, text, tmp_path / "f")
    again = build(tiny_lm, text, tmp_path / "f", progress=seen.append)
    assert seen == []
    assert again.manifest == first.manifest
    other = build(tiny_lm, text, tmp_path / "f", cfg=FeatureConfig(n_tokens=800))
    assert other.n_tokens < first.n_tokens
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == sorted([*other.manifest.files, "manifest.json"])


def test_the_manifest_says_what_it_was_made_from(tiny_lm, text, store):
    made_from = store.provenance
    assert made_from["hook_point"] == AT
    assert made_from["text_part"] == "train, epoch 0 of seed 0"
    assert made_from["corpus"] == "words.txt"
    assert made_from["weights_sha256"] == tiny_lm.fingerprint["weights_sha256"]
    assert store.manifest.config["features"]["n_tokens"] == 2500
    assert str(text.parent) not in (store.folder / "manifest.json").read_text()


def test_held_out_documents_are_never_read(tiny_lm, text, store):
    corpus = Corpus.open(text)
    training = {document.index for document in corpus.documents("train")}
    docs = store._examples.tokens.get_tensor("doc")
    assert set(docs[docs != 2**32 - 1].tolist()) <= training
    assert len(training) < 150


def test_raw_neurons_run_through_the_same_build(tiny_lm, text, tmp_path):
    class Neurons:
        d_in = d_sae = 32

        def encode(self, x):
            return x

        def decode(self, latents):
            return latents

    found = build(tiny_lm, text, tmp_path / "f", sae=Neurons())
    assert found.manifest.state["n_alive"] == 32
    feature = found[5]
    assert feature.density > 0.99
    assert feature.flags & bundle.SIGNED
    assert feature.neuron_id[0] == 5
    assert feature.neuron_corr[0] == pytest.approx(1)
    assert feature.enc_dec_cos is None
    assert {window.kind for window in feature.windows()} == {"top", "random", "stratum"}
    assert max(window.peak for window in feature.windows("top")) == pytest.approx(feature.max_act) or min(
        window.peak for window in feature.windows("top")
    ) == pytest.approx(-feature.max_act)


def test_a_point_of_the_stream_has_no_neurons(tiny_lm, text, tmp_path):
    from saescope.saes.topk import TopKConfig, TopKSAE

    found = build_features(TopKSAE(16, 20, TopKConfig(k=3)), tiny_lm, "blocks.0.resid_post", Corpus.open(text), tmp_path, CONFIG, pack=PACK)
    assert found[0].neuron_id is None
    assert found[0].logit_top is not None
    assert found[0].card().neurons == ()


def test_a_module_path_has_no_logit_effects(tiny_lm, text, tmp_path):
    path = next(info.path.split(" ")[0] for info in tiny_lm.hook_points() if str(info.at) == "blocks.0.mlp_out")
    from saescope.saes.topk import TopKConfig, TopKSAE

    sae = TopKSAE(16, 20, TopKConfig(k=3))
    found = build_features(sae, tiny_lm, path, Corpus.open(text), tmp_path, CONFIG, pack=PACK)
    assert found[0].logit_top is None
    assert found[0].card().top_logits == ()


def test_mistakes(tiny_lm, text, tmp_path):
    from saescope.saes.topk import TopKConfig, TopKSAE

    with pytest.raises(errors.WidthMismatch, match=r"d_in=16, but blocks.0.mlp_post of .* is 32 wide"):
        build(tiny_lm, text, tmp_path / "f", sae=TopKSAE(16, 20, TopKConfig(k=3)))
    with pytest.raises(errors.ConfigError, match="n_tokens=0 leaves nothing"):
        FeatureConfig(n_tokens=0)
    with pytest.raises(errors.ConfigError, match="no share"):
        FeatureConfig(sampled_share=2)
    ArtifactWriter(tmp_path / "other", "saescope.sae", 1).commit()
    with pytest.raises(errors.OutputOccupied, match="holds another kind of artifact"):
        build(tiny_lm, text, tmp_path / "other")
    sae = small_sae()
    with torch.no_grad():
        sae.b_enc[3] = torch.nan
    with pytest.raises(errors.NonFiniteActivations, match="the code of document"):
        build(tiny_lm, text, tmp_path / "f", sae=sae)
    assert not (tmp_path / "f" / "manifest.json").exists()


@pytest.mark.real
def test_a_real_model_has_readable_features(real, tmp_path):
    from saescope.models import LanguageModel
    from saescope.saes.topk import TopKConfig, TopKSAE

    lm = LanguageModel.load(real / "models" / "stories260K")
    corpus = Corpus.open(real / "text" / "tinystories" / "val.txt", n_documents=60)
    found = build_features(
        TopKSAE(172, 256, TopKConfig(k=8)),
        lm,
        "blocks.2.mlp_post",
        corpus,
        tmp_path,
        FeatureConfig(n_tokens=4000),
        pack=PACK,
    )
    text = {document.index: document.text for document in corpus.documents("train")}
    for i in found.choose_cards(20):
        html = found[i]._repr_html_()
        assert not {"\ufffd", "Ġ", "▁"} & set(html)
        for window in found.windows(i, "top"):
            shown = b"".join(data for j, data in enumerate(window.tokens) if j not in window.specials).decode()
            assert shown.strip() in text[window.doc]
