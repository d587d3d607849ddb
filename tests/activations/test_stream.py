"""Harvest on the fly."""

import pytest
import torch

from saescope.activations.source import STORED
from saescope.activations.stream import StreamSource
from saescope.data import Corpus, PackConfig
from saescope.data.packing import pack as pack_documents
from saescope.errors import NonFiniteActivations, NoTokens, UnknownHookPoint

AT = "blocks.0.mlp_post"


def rows_of(source, n, **kwargs):
    return torch.cat([batch.rows for batch in source.batches(n, seed=0, **kwargs)])


@pytest.fixture
def source(tiny_lm, corpus, pack):
    return StreamSource(tiny_lm, AT, corpus, pack)


def test_rows_are_the_counted_tokens_in_order(source, tiny_lm, corpus, pack):
    point = tiny_lm.resolve(AT)
    expected = []
    for batch in pack_documents(corpus.documents("train", epoch=0, seed=0), tiny_lm.tokenizer, pack):
        acts = tiny_lm.run(batch.tokens, mask=batch.mask, read=[point]).acts[point]
        special = torch.zeros_like(batch.tokens, dtype=torch.bool)
        for i in tiny_lm.tokenizer.special_ids:
            special |= batch.tokens == i
        keep = batch.mask & ~special & (torch.arange(batch.tokens.shape[1]) > 0)
        expected.append(acts[keep].to(STORED))
    expected = torch.cat(expected)
    assert torch.equal(rows_of(source, len(expected)), expected)
    assert source.count_rows(seed=0) == len(expected)


@pytest.mark.parametrize("start", [0, 1, 777, 1500, 5000])
def test_start_is_a_place_in_the_stream(source, start):
    assert torch.equal(rows_of(source, 300, start=start), rows_of(source, 5300)[start : start + 300])


def test_the_text_is_read_again_when_it_ends(source):
    n = source.count_rows(seed=0)
    rows = rows_of(source, 2 * n)
    assert torch.equal(rows[:n], rows[n:])


def test_several_hook_points_stand_side_by_side(tiny_lm, corpus, pack):
    both = StreamSource(tiny_lm, [AT, "blocks.1.resid_post"], corpus, pack)
    rows = rows_of(both, 200)
    for point, columns in both.slices.items():
        assert torch.equal(rows[:, columns], rows_of(StreamSource(tiny_lm, point, corpus, pack), 200))


def test_the_forward_pass_stops_at_the_hook_point(tiny_lm, source):
    ran = []
    handle = tiny_lm.hf.get_submodule("model.layers.1").register_forward_hook(lambda *a: ran.append(1))
    try:
        rows_of(source, 50)
    finally:
        handle.remove()
    assert not ran


def test_provenance_says_where_rows_come_from(source):
    stated = {"model", "weights_sha256", "hook_points", "corpus", "corpus_sha256", "bos", "context_length", "packing"}
    assert stated <= source.provenance.keys()
    assert source.provenance["hook_points"] == [AT]


def test_an_unknown_hook_point_is_named(tiny_lm, corpus, pack):
    with pytest.raises(UnknownHookPoint, match=r"blocks\.7\.mlp_post"):
        StreamSource(tiny_lm, "blocks.7.mlp_post", corpus, pack)


def test_text_that_is_too_short_is_an_error(tiny_lm, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("the cat")
    with pytest.raises(NoTokens):
        rows_of(StreamSource(tiny_lm, AT, Corpus.open(path), PackConfig(context=24, packing="stream")), 10)


def test_nan_in_a_module_aborts_with_the_hook_point(tiny_lm, source):
    handle = tiny_lm.hf.get_submodule("model.layers.0.mlp.up_proj").register_forward_hook(lambda m, a, out: out * torch.nan)
    try:
        with pytest.raises(NonFiniteActivations, match=r"blocks\.0\.mlp_post are NaN"):
            rows_of(source, 50)
    finally:
        handle.remove()


def test_autocast_multiplies_in_bf16_and_says_so(tiny_lm, corpus, pack):
    exact, rough = (StreamSource(tiny_lm, AT, corpus, pack, autocast=autocast) for autocast in (False, True))
    a, b = rows_of(exact, 300).float(), rows_of(rough, 300).float()
    assert not torch.equal(a, b)
    assert (a - b).norm() < 0.02 * a.norm()
    assert rough.provenance["harvest"] == "bf16 autocast"
    assert "harvest" not in exact.provenance


@pytest.mark.parametrize(("width", "fast", "autocast"), [(512, True, True), (768, False, False), (256, True, False)])
def test_autocast_is_for_wide_models_where_bf16_is_fast(tiny_lm, corpus, pack, monkeypatch, width, fast, autocast):
    monkeypatch.setattr(type(tiny_lm), "d_model", width)
    monkeypatch.setattr("saescope.bf16.is_fast", lambda device: fast)
    assert StreamSource(tiny_lm, AT, corpus, pack).autocast is autocast
