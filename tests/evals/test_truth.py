"""Recovery of known directions: what is perfect, what is chance, what each number sees."""

import pytest
import torch

from saescope.draws import draws
from saescope.errors import ConfigError, NonFiniteActivations, WidthMismatch
from saescope.evals.truth import Scores, TrueCodes, recovery
from saescope.saes.registry import build
from saescope.toys.synthetic import SyntheticConfig, SyntheticTruth

TRUTH = SyntheticTruth()
X, CODES = TRUTH.sample(4096, seed=1)


class Rows:
    """Directions as a dictionary whose latents are given by hand: `encode` returns what `codes` says of the rows it is given."""

    def __init__(self, W_dec, codes=None, d_in=None):
        self.W_dec, self.codes = W_dec, codes
        self.d_sae, self.d_in = W_dec.shape[0], d_in or W_dec.shape[1]

    def encode(self, x):
        """The first column of x counts the rows."""
        return self.codes[x[:, 0].long()]

    def decode(self, latents):
        return latents @ self.W_dec


def numbered(d, n=4096):
    x = torch.zeros(n, d)
    x[:, 0] = torch.arange(n)
    return x


def handmade(W_dec, codes, directions=TRUTH.directions, true=CODES, **kwargs) -> Scores:
    """Scores of rows and latents made by hand, against rows that the true coefficients make."""
    d = directions.shape[1]
    return recovery(Rows(W_dec, codes), directions, numbered(d, len(true)), true, target=true @ directions, **kwargs).sae


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape)).float()


def test_the_true_directions_and_codes_score_one_everywhere():
    scores = handmade(TRUTH.directions, CODES)
    for name in ("recall", "precision", "mcc", "mmcs", "mmcs_latents", "unique", "splits", "f1", "ev", "gamma"):
        assert getattr(scores, name) == pytest.approx(1, abs=1e-5), name
    assert scores.dead == 0
    assert scores.n_tokens == 4096
    assert scores.l0 == pytest.approx((CODES > 0).sum(1).float().mean().item())


def test_neither_the_order_nor_the_length_of_rows_matters():
    order = torch.from_numpy(draws(0, "test", "order").permutation(64))
    noisy = TRUTH.directions + 0.05 * normal(64, 32)
    scores = recovery(Rows(noisy), TRUTH.directions)
    again = recovery(Rows(3 * noisy[order]), TRUTH.directions)
    for name, value in vars(scores.sae).items():
        assert getattr(again.sae, name) == pytest.approx(value, abs=1e-6), name
    assert 0.9 < scores.sae.mcc < 1


def test_reversed_rows_are_the_same_lines_but_other_directions():
    scores = recovery(Rows(-TRUTH.directions), TRUTH.directions)
    assert (scores.sae.recall, scores.sae.mcc) == (1, pytest.approx(1))
    assert scores.sae.mmcs < scores.random_dictionary.mmcs + 0.1
    assert scores.sae.mmcs < 0.6


def test_chance_grows_with_the_number_of_latents():
    mmcs = [recovery(Rows(normal(n, 32)), TRUTH.directions).random_dictionary.mmcs for n in (32, 128, 1024)]
    assert mmcs == sorted(mmcs)
    assert mmcs[1] == pytest.approx(0.45, abs=0.03)


def test_recall_counts_truths_precision_latents_and_unique_repeats():
    """Of 64 truths, 16 are there, each twice; 32 more rows are nothing's."""
    half = TRUTH.directions[:16]
    scores = recovery(Rows(torch.cat([half, half, normal(32, 32)])), TRUTH.directions).sae
    assert scores.recall == 0.25
    assert scores.precision == 0.5
    assert scores.unique == 0.25
    assert scores.splits == 2


def test_the_assignment_gives_each_truth_a_latent_of_its_own():
    truth = torch.eye(3)
    rows = torch.tensor([[1.0, 0, 0], [0.9, 0.1, 0], [0, 0, 1]])
    assert recovery(Rows(rows), truth).sae.mcc == pytest.approx((1 + 0.1 / 0.82**0.5 + 1) / 3, abs=1e-6)
    assert recovery(Rows(rows[:2]), truth).sae.mcc == pytest.approx((1 + 0.1 / 0.82**0.5) / 2, abs=1e-6)  # min(F, G) pairs


def test_dead_latents_are_counted_and_leave_the_means_over_latents():
    rows = torch.cat([TRUTH.directions, normal(64, 32)])
    codes = torch.cat([CODES, torch.zeros_like(CODES)], 1)
    scores = handmade(rows, codes)
    assert scores.dead == 0.5
    assert scores.precision == pytest.approx(1)
    assert scores.f1 == pytest.approx(1)  # a dead latent is no latent with F1 0
    nothing = handmade(rows, torch.zeros_like(codes))
    assert nothing.dead == 1
    assert (nothing.precision, nothing.mmcs_latents, nothing.unique, nothing.splits) == (None,) * 4
    assert (nothing.recall, nothing.f1, nothing.gamma) == (1, 0, None)


def test_f1_is_that_of_the_best_detector():
    true = torch.zeros(100, 1)
    true[:40] = 1
    latents = torch.zeros(100, 2)
    latents[20:60, 0] = 1  # 20 of 40 right, 20 of 40 found
    latents[:5, 1] = 1
    rows = torch.eye(2)
    assert handmade(rows, latents, directions=torch.eye(2)[:1], true=true).f1 == pytest.approx(0.5)


def test_directions_never_seen_on_have_no_f1():
    true = torch.zeros(100, 2)
    true[:40, 0] = 1
    assert handmade(torch.eye(2), true, directions=torch.eye(2), true=true).f1 == pytest.approx(1)


def test_ev_and_gamma_see_what_is_left_and_what_is_shrunk():
    scores = handmade(TRUTH.directions, 0.8 * CODES)
    assert scores.gamma == pytest.approx(0.8, abs=1e-5)
    assert scores.ev == pytest.approx(1 - 0.04 * (1 + scores_mean_share()), abs=1e-4)


def scores_mean_share() -> float:
    """||mean y||^2 / variance of y: x_hat = 0.8 y misses the mean too."""
    y = (CODES @ TRUTH.directions).double()
    return (y.mean(0).square().sum() / (y - y.mean(0)).square().sum(1).mean()).item()


@pytest.fixture(scope="module")
def tree():
    """One root with two children, all orthogonal: (directions, codes, parents)."""
    codes = torch.zeros(300, 3)
    codes[:200, 0] = 1
    codes[:100, 1] = 1
    codes[100:150, 2] = 1
    return torch.eye(3), codes, torch.tensor([-1, 0, 0])


def test_a_child_whose_row_holds_its_parent_absorbs_it(tree):
    directions, codes, parents = tree
    rows = torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 0, 1]])
    latents = codes.clone()
    latents[codes[:, 1:].any(1), 0] = 0  # the parent's latent is silent wherever a child's row says it already
    assert handmade(rows, latents, directions, codes, parents=parents).absorption == 1
    assert handmade(directions, codes, directions, codes, parents=parents).absorption == 0
    half = codes.clone()
    half[:100, 0] = 0  # absorbed by the first child only
    assert handmade(directions, half, directions, codes, parents=parents).absorption == 0.5


def test_absorption_asks_for_a_tree_and_for_a_recovered_parent(tree):
    directions, codes, parents = tree
    assert handmade(directions, codes, directions, codes).absorption is None
    assert handmade(torch.eye(3)[[1, 2, 1]], codes, directions, codes, parents=parents).absorption is None


def test_what_is_not_given_is_not_measured():
    sae = build("topk", 32, 128, {"k": 4})
    bare = recovery(sae, TRUTH.directions)
    assert (bare.pca, bare.oracle) == (None, None)
    assert (bare.sae.f1, bare.sae.l0, bare.sae.dead, bare.sae.n_tokens) == (None, None, None, 0)
    with_rows = recovery(sae, TRUTH.directions, X)
    assert with_rows.oracle is None
    assert with_rows.sae.f1 is None
    assert with_rows.sae.l0 <= 4
    assert with_rows.pca.recall < 0.1


def test_rows_beside_the_sae_have_its_l0_and_find_what_they_can():
    scores = recovery(build("topk", 32, 128, {"k": 4}), TRUTH.directions, X, CODES)
    assert scores.pca.l0 == pytest.approx(round(scores.sae.l0), abs=0.01)
    assert scores.random_dictionary.l0 <= 4
    assert scores.random_dictionary.recall < 0.05
    assert scores.random_dictionary.ev < scores.pca.ev < scores.oracle.ev
    assert scores.oracle.recall == 1
    assert scores.oracle.f1 > 0.95
    assert scores == recovery(build("topk", 32, 128, {"k": 4}), TRUTH.directions, X, CODES)


def test_fista_finds_the_codes_but_for_the_penalty():
    truth = SyntheticTruth(SyntheticConfig(n_directions=16, d=32, bias=2.0))
    x, codes = truth.sample(500, seed=1)
    found = TrueCodes(truth.directions, x, codes)
    assert (found.b_dec - truth.bias).norm() < 1e-5
    f = found.encode(x)
    # At the minimum the gradient is 0 where f > 0 and not negative elsewhere.
    gradient = (found.decode(f) - x) @ truth.directions.T + found.penalty
    assert gradient[f > 0].abs().max() < 1e-3
    assert gradient[f == 0].min() > -1e-3
    assert (f - codes).abs().max() < 4 * found.penalty


def test_another_target_is_what_directions_are_compared_in():
    """A transcoder: it reads 8 columns, its rows and the truth live in 32."""
    sae = Rows(TRUTH.directions, CODES, d_in=8)
    scores = recovery(sae, TRUTH.directions, numbered(8), CODES, target=X)
    assert scores.sae.ev == pytest.approx(1, abs=1e-5)
    assert scores.sae.f1 == pytest.approx(1)
    assert scores.oracle.recall == 1


def test_chunks_do_not_change_the_scores(monkeypatch):
    sae = build("topk", 32, 128, {"k": 4})
    whole = recovery(sae, TRUTH.directions, X, CODES)
    monkeypatch.setattr("saescope.evals.truth.LATENT_BUDGET", 128 * 700)
    parts = recovery(sae, TRUTH.directions, X, CODES)
    for row, value in vars(whole).items():
        for name, number in vars(value).items():
            assert getattr(getattr(parts, row), name) == pytest.approx(number, abs=1e-5), (row, name)


def test_what_cannot_be_compared_is_refused():
    sae = build("topk", 32, 128, {"k": 4})
    with pytest.raises(WidthMismatch, match="rows of width 32, but the true directions are 31 wide"):
        recovery(sae, TRUTH.directions[:, :31])
    with pytest.raises(WidthMismatch, match="no decoder matrix"):
        recovery(object(), TRUTH.directions)
    with pytest.raises(ConfigError, match=r"codes of shape \(4096, 63\) came with 4,096 rows and 64 directions"):
        recovery(sae, TRUTH.directions, X, CODES[:, :63])
    with pytest.raises(ConfigError, match="came with no x"):
        recovery(sae, TRUTH.directions, codes=CODES)
    with torch.no_grad():
        sae.W_dec[3, 2] = torch.nan
    with pytest.raises(NonFiniteActivations, match="NaN or Inf"):
        recovery(sae, TRUTH.directions)


def test_a_row_of_zeros_is_nothing():
    rows = TRUTH.directions.clone()
    rows[0] = 0
    scores = recovery(Rows(rows), TRUTH.directions).sae
    assert scores.recall == pytest.approx(63 / 64)
