"""What is particular to the Matryoshka SAE: nested dictionaries; with one of them it is the BatchTopK SAE."""

import pytest
import torch

from saescope.draws import draws
from saescope.errors import ConfigError
from saescope.saes.base import TrainState
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.saes.matryoshka import MatryoshkaConfig, MatryoshkaSAE
from saescope.saes.registry import build, describe
from saescope.saes.storage import load, save

D, F, K = 6, 12, 3
either_path = pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


def state(sparse=True, dead=(), d_sae=F):
    mask = torch.zeros(d_sae, dtype=torch.bool)
    mask[list(dead)] = True
    return TrainState(0, 0, 1.0, mask, sparse=sparse)


def make(architecture="matryoshka", **options):
    return build(architecture, D, F, {"k": K, **options}, seed=3)


@either_path
def test_with_one_width_it_is_batch_topk_bit_for_bit(sparse):
    x, found = normal(700, D).float(), []
    for sae in (make("batch_topk"), make(widths=(F,))):
        at = state(sparse, dead=[2, 7])
        terms = sae.loss(x, x, at)
        torch.stack(list(terms.values())).sum().backward()
        found.append((terms, {name: p.grad for name, p in sae.named_parameters()}, at.observed))
    for ours, theirs in zip(found[1], found[0], strict=True):
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())


@either_path
def test_a_row_of_the_decoder_learns_from_every_dictionary_that_holds_it(sparse):
    """dW_dec[i] = sum_n f_ni G_n, G = sum over dictionaries with i of (2 / (G N)) (x_hat - target); db_dec gets the first's."""
    sae, x, y = make(widths=(2, 5, F)).double(), normal(40, D), normal(40, D, name="target")
    sae.loss(x, y, state(sparse))["mse"].backward()
    f = sae.training_latents(sae.pre_acts(x)).detach()
    rest = torch.zeros(40, D).double()
    expected = torch.zeros(F, D).double()
    for start, stop in ((5, F), (2, 5), (0, 2)):
        x_hat = f[:, :stop] @ sae.W_dec[:stop] + sae.b_dec
        rest = rest + 2 / (3 * 40) * (x_hat - y).detach()
        expected[start:stop] = f[:, start:stop].T @ rest
    torch.testing.assert_close(sae.W_dec.grad, expected)


@either_path
def test_what_each_dictionary_does_is_observed(sparse):
    sae, x, at = make(widths=(2, 5, F)).double(), normal(40, D), state(sparse, dead=[0, 3, 11])
    terms = sae.loss(x, x, at)
    f = sae.training_latents(sae.pre_acts(x))
    deviation = (x - x.mean(0)).square().sum()
    for width, dead in ((2, 1 / 2), (5, 2 / 5)):
        error = x - (f[:, :width] @ sae.W_dec[:width] + sae.b_dec)
        assert at.observed[f"fvu_{width}"].item() == pytest.approx((error.square().sum() / deviation).item())
        assert at.observed[f"l0_{width}"].item() == pytest.approx((f[:, :width] > 0).sum().item() / 40)
        assert at.observed[f"dead_{width}"].item() == pytest.approx(dead)
    whole = (x - sae.decode(f)).square().sum(1).mean().item()
    assert at.observed["squared_error"].item() == pytest.approx(whole)
    assert terms["mse"].item() > whole  # of the mean of all, the whole is the least


def test_default_widths_halve_down_to_a_sixteenth_and_are_fewer_where_there_are_too_few_latents():
    assert MatryoshkaSAE(D, 64, MatryoshkaConfig(k=K)).widths == (4, 8, 16, 32, 64)
    assert MatryoshkaSAE(D, 12, MatryoshkaConfig(k=K)).widths == (1, 3, 6, 12)
    assert MatryoshkaSAE(D, 1, MatryoshkaConfig(k=1)).widths == (1,)


def test_its_widths_are_written_with_it(tmp_path):
    sae = make()
    assert describe(sae)["options"]["widths"] == (1, 3, 6, 12)
    save(sae.float(), tmp_path)
    again = load(tmp_path)
    assert again.cfg == sae.cfg
    assert again.widths == sae.widths


@either_path
@pytest.mark.parametrize("architecture", ["batch_topk", "matryoshka"])
def test_k_times_n_latents_are_kept_where_enough_are_positive(architecture, sparse):
    sae, x, at = make(architecture).double(), normal(200, D), state(sparse)
    sae.loss(x, x, at)
    assert at.observed["l0"].item() * 200 == pytest.approx(K * 200)


@pytest.mark.parametrize("architecture", ["batch_topk", "matryoshka"])
def test_tau_is_saved(architecture, tmp_path):
    sae = make(architecture)
    sae.tau.fill_(0.7)
    save(sae, tmp_path)
    assert torch.equal(load(tmp_path).tau, sae.tau)


def test_it_encodes_as_batch_topk_does():
    sae, plain = make().double(), make("batch_topk").double()
    assert isinstance(sae, BatchTopKSAE)  # so its threshold is calibrated as that one's is
    for each in (sae, plain):
        each.tau.fill_(0.4)
    assert torch.equal(sae.encode(normal(20, D)), plain.encode(normal(20, D)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": ()}, "widths=.*must increase"),
        ({"widths": (4, 4, 12)}, "must increase"),
        ({"widths": (6, 3, 12)}, "must increase"),
        ({"widths": (0, 12)}, "widths=0"),
        ({"widths": (2.5, 12)}, "widths=2.5"),
        ({"k": 0}, "k=0.*set --k"),
        ({"k": 2.5}, "k=2.5"),
        ({"alpha": -1}, "alpha=-1.*set --set alpha=VALUE"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        MatryoshkaConfig(**options)


def test_widths_that_do_not_end_at_d_sae_are_refused():
    with pytest.raises(ConfigError, match=r"widths=\[3, 6\] end at 6, but d_sae=12"):
        make(widths=(3, 6))
