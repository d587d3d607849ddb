import pytest
import torch

from saescope.evals.sparsity import Firing, Sparsity, percentile, ultralow_bound
from saescope.evals.sums import Intervals


def test_l0_l1_and_percentiles(chunk):
    latents = torch.zeros(10, 4)
    for token in range(10):
        latents[token, : token % 5] = 2.0
    latents[1, 0] = -2.0  # != 0 counts, not > 0
    reducer = Sparsity(torch.tensor([1.0, 3.0, 1.0, 1.0]), Intervals(n_resamples=0))
    reducer.add(chunk(torch.zeros(10, 2), latents=latents))
    got = reducer.result()
    assert got["sparsity.l0"].value == pytest.approx(2)
    assert [got[f"sparsity.l0_p{p}"].value for p in (10, 50, 90)] == [0, 2, 4]
    # latent 0 fires on 8 tokens, 1 on 6 (norm 3), 2 on 4, 3 on 2
    assert got["sparsity.l1"].value == pytest.approx(2 * (8 + 3 * 6 + 4 + 2) / 10)


def test_l0_with_bos_counts_special_positions_too(chunk):
    latents = torch.zeros(4, 3)
    latents[0] = 1.0
    reducer = Sparsity(torch.ones(3), Intervals(n_resamples=0))
    reducer.add(chunk(torch.zeros(4, 2), latents=latents, counted=[False, True, True, True]))
    got = reducer.result()
    assert (got["sparsity.l0"].value, got["sparsity.l0"].n) == (0, 3)
    assert (got["sparsity.l0.with_bos"].value, got["sparsity.l0.with_bos"].n) == (0.75, 4)


def test_percentile_of_nothing_is_none():
    assert percentile(torch.zeros(4, dtype=torch.long), 0.5) is None


def test_firing_counts_tokens_documents_and_the_maximum(chunk):
    docs = torch.tensor([5, 5, 5, 9, 9, 9])
    latents = torch.tensor([[1.0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 3, 0], [0, 1, 0], [0, 0, 0]])
    counted = torch.tensor([True, True, True, True, True, True])
    whole = Firing(3)
    whole.add(chunk(torch.zeros(6, 2), latents=latents, doc_ids=docs, counted=counted))
    assert whole.tokens_F.tolist() == [2, 3, 0]
    assert whole.documents_F.tolist() == [1, 2, 0]
    assert whole.max_F.tolist() == [2, 3, 0]
    for cuts in ((1, 4), (2, 5), (3, 4)):
        parts = Firing(3)
        for a, b in zip((0, *cuts), (*cuts, 6), strict=True):
            parts.add(chunk(torch.zeros(b - a, 2), latents=latents[a:b], doc_ids=docs[a:b], counted=counted[a:b]))
        assert parts.documents_F.tolist() == [1, 2, 0], f"documents cut at {cuts} were counted twice"


def test_dead_prints_its_number_of_tokens(chunk):
    firing = Firing(4)
    firing.add(chunk(torch.zeros(1500, 2), latents=torch.eye(4)[:3].repeat(500, 1)))
    got = firing.result()
    assert (got["sparsity.dead"].value, got["sparsity.dead"].n) == (1, 1500)
    assert "1,500 tokens" in got["sparsity.dead"].reason
    assert "0.002" in got["sparsity.dead"].reason  # 3 / N
    assert got["sparsity.n_latents"].value == 4
    assert got["sparsity.n_dense"].value == 3


def test_uncounted_firings_do_not_revive(chunk):
    firing = Firing(2)
    firing.add(chunk(torch.zeros(2, 2), latents=torch.eye(2), counted=[True, False]))
    assert firing.tokens_F.tolist() == [1, 0]


def test_merge_of_firings(chunk):
    a, b = Firing(2), Firing(2)
    a.add(chunk(torch.zeros(2, 2), latents=torch.tensor([[1.0, 0], [1, 0]])))
    b.add(chunk(torch.zeros(2, 2), latents=torch.tensor([[5.0, 0], [0, 0]]), doc_ids=[1, 1]))
    a.merge(b)
    assert (a.n_tokens, a.tokens_F.tolist(), a.documents_F.tolist(), a.max_F.tolist()) == (4, [3, 0], [2, 0], [5, 0])


def test_ultralow_finds_the_valley_between_two_peaks():
    spread = torch.linspace(-0.5, 0.5, 200)
    bound, how = ultralow_bound(10 ** torch.cat([spread - 5.5, spread - 2.0]))
    assert 10**-5.0 <= bound <= 10**-2.5
    assert "valley" in how
    bound, how = ultralow_bound(10 ** (spread - 2.0))
    assert bound == 1e-6
    assert "no valley" in how
