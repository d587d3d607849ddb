import math

import pytest
import torch

from saescope.data import Document, PackConfig, TokenBatch, pack
from saescope.evals.fidelity import Fidelity, _Clean, fidelity_batch, fidelity_pass, splices
from saescope.evals.sums import Intervals


def batch_of(tokens):
    tokens = torch.tensor([tokens])
    real = torch.ones_like(tokens, dtype=torch.bool)
    predicts = real.clone()
    predicts[:, -1] = False
    counted = real.clone()
    counted[:, 0] = False
    return TokenBatch(
        tokens=tokens, mask=real, doc_ids=torch.zeros_like(tokens), places=torch.arange(len(tokens[0]))[None],
        rows=torch.zeros(1, dtype=torch.long), counted=counted, predicts=predicts & counted, predicts_with_bos=predicts,
    )  # fmt: skip


def test_distances_are_their_definitions(normal):
    p_logits, q_logits = normal(1, 4, 9) * 3, normal(1, 4, 9) * 3
    batch = batch_of([3, 1, 4, 1])
    got = _Clean(p_logits, batch).against(q_logits, compare=True)
    p, q = p_logits.double().softmax(-1)[0, :3], q_logits.double().softmax(-1)[0, :3]
    assert got[""].tolist() == pytest.approx([-math.log(q[0, 1]), -math.log(q[1, 4]), -math.log(q[2, 1])], rel=1e-5)
    assert got[".kl"].tolist() == pytest.approx((p * (p / q).log()).sum(-1).tolist(), rel=1e-4)
    assert got[".tv"].tolist() == pytest.approx((0.5 * (p - q).abs().sum(-1)).tolist(), rel=1e-4)
    assert got[".top1_agree"].tolist() == (p.argmax(-1) == q.argmax(-1)).tolist()


def test_kl_is_finite_at_huge_logits():
    p_logits, q_logits = torch.full((1, 2, 5), -200.0), torch.full((1, 2, 5), -200.0)
    p_logits[..., 0], q_logits[..., 1] = 200, 200
    got = _Clean(p_logits, batch_of([0, 1])).against(q_logits, compare=True)
    assert got[".kl"].item() == pytest.approx(400)
    assert got[".tv"].item() == pytest.approx(1)


def test_chunks_change_nothing(normal, monkeypatch):
    p_logits, q_logits, batch = normal(1, 6, 9), normal(1, 6, 9), batch_of([3, 1, 4, 1, 5, 8])
    whole = _Clean(p_logits, batch).against(q_logits, compare=True)
    monkeypatch.setattr("saescope.evals.fidelity.CHUNK_BUDGET", 18)
    parts = _Clean(p_logits, batch).against(q_logits, compare=True)
    assert all(torch.allclose(parts[key], whole[key]) for key in whole)


def clean_sums(lm, documents, cfg):
    sums = Fidelity(Intervals(n_resamples=0), lm.d_vocab)
    at = lm.resolve("blocks.0.mlp_post")
    fidelity_pass(lm, at, pack(documents, lm.tokenizer, cfg), splices(at, torch.zeros(lm.width(at)), {}, ()), sums)
    return sums


def test_losses_across_documents_never_count(tiny_lm):
    """One stream of two documents, against each loss by hand."""
    documents = [Document(0, "then the tin"), Document(7, "an ant")]
    cfg = PackConfig(context=12, packing="stream", bos=True, batch_sequences=1)
    (batch,) = pack(documents, tiny_lm.tokenizer, cfg)
    sums = clean_sums(tiny_lm, documents, cfg)
    log_p = tiny_lm.run(batch.tokens).logits[0].log_softmax(-1)
    ids, doc, bos = batch.tokens[0].tolist(), batch.doc_ids[0].tolist(), tiny_lm.tokenizer.bos_id
    inside = [t for t in range(11) if doc[t] == doc[t + 1]]
    counted = [t for t in inside if ids[t] != bos]
    assert len(counted) < len(inside) < 11
    for table, places in ((sums.counted, counted), (sums.everywhere, inside)):
        assert table.total("tokens") == len(places)
        assert float(table.total("clean")) == pytest.approx(-sum(float(log_p[t, ids[t + 1]]) for t in places), rel=1e-5)
        assert len(table) == 2


def test_pads_never_count(tiny_lm):
    documents = [Document(0, "a"), Document(1, "then the tin and the other")]
    cfg = PackConfig(context=32, packing="documents", bos=True, batch_sequences=2)
    together, apart = clean_sums(tiny_lm, documents, cfg), [clean_sums(tiny_lm, [d], cfg) for d in documents[1:]]
    short = len(tiny_lm.tokenizer.encode("a"))
    assert together.counted.total("tokens") == apart[0].counted.total("tokens") + short - 1
    assert together.everywhere.total("tokens") == apart[0].everywhere.total("tokens") + short


def test_small_gaps_have_no_ratio_and_absurd_ablations_warn():
    sums = Fidelity(Intervals(n_resamples=0), d_vocab=20)
    values = {"tokens": 1.0, "clean": 2.0, "sae": 2.1, "zero": 2.005, "mean": 3.5, "sae.kl": 0.1, "sae.tv": 0.1, "sae.top1_agree": 1.0}
    sums.counted.add(torch.zeros(4, dtype=torch.long), {key: torch.full((4,), value) for key, value in values.items()})
    got = sums.row("sae", with_bos=False)
    assert got["fidelity.recovered.zero"].value is None
    assert "0.005" in got["fidelity.recovered.zero"].reason
    assert got["fidelity.recovered.mean"].value == pytest.approx(1.4 / 1.5)
    assert got["fidelity.delta_ce"].value == pytest.approx(0.1)
    (warning,) = sums.warnings()
    assert "mean ablation" in warning
    assert "ln V = 3.00" in warning


def test_batches_fit_the_budget():
    assert fidelity_batch(512, 4096, 32) == 8
    assert fidelity_batch(1024, 50_257, 32) == 1
    assert fidelity_batch(32, 300, 4) == 4
