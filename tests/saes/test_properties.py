"""What holds for every architecture, whatever its equations: the promises that the other rooms build on."""

import copy
import math
from itertools import pairwise

import pytest
import torch

from saescope.draws import draws
from saescope.errors import ConfigError
from saescope.saes.base import SAE
from saescope.saes.fold import fold, unfold
from saescope.saes.init import fit_to_sample_
from saescope.saes.registry import ARCHITECTURES
from saescope.saes.storage import load, save
from saescope.training.config import TrainConfig
from saescope.training.loop import train
from variants import VARIANTS, K, by_latent, data, job, make, moved, normal, state, target_of, total

D, F = 16, 24
every = pytest.mark.parametrize("name", VARIANTS)
FREE = [name for name in VARIANTS if not make(name).unit_decoder]
HOMOGENEOUS = [name for name in VARIANTS if make(name).homogeneous]
WITH_A_NUMBER = [(name, option) for name in VARIANTS for option in ("k", "l0") if hasattr(make(name).cfg, option)]


def losses(sae: SAE, n: int = 40, **kwargs):
    return sae.loss(normal(n, sae.d_in), target_of(sae, n), state(sae, **kwargs))


def gradients(sae: SAE, terms) -> dict[str, torch.Tensor]:
    sae.zero_grad()
    total(terms).backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in sae.named_parameters()}


def cfg(steps: int, batch_tokens: int = 256, **kwargs) -> TrainConfig:
    return TrainConfig(tokens=steps * batch_tokens, batch_tokens=batch_tokens, **{"lr": 3e-3, "seed": 1, **kwargs})


def test_no_architecture_is_left_out():
    assert FREE
    assert HOMOGENEOUS
    assert {architecture for architecture, _ in VARIANTS.values()} == set(ARCHITECTURES)


@every
def test_encode_is_one_row_at_a_time_in_either_mode(name):
    sae, x = moved(name), normal(9, D)
    whole = sae.train().encode(x)
    assert whole.count_nonzero() > 0
    torch.testing.assert_close(torch.stack([sae.eval().encode(row) for row in x]), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sae(x.reshape(3, 3, D)), sae(x).reshape(3, 3, -1), rtol=1e-12, atol=1e-12)


@every
def test_encode_does_not_depend_on_what_loss_has_seen(name):
    sae, x = moved(name), normal(9, D)
    before = sae.encode(x)
    losses(sae)
    assert torch.equal(sae.encode(x), before)


@every
def test_sparse_path_equals_the_dense_one_in_losses_gradients_and_what_fired(name):
    sae = moved(name)
    found = {}
    for sparse in (False, True):
        at = state(sae, dead=(0, 7), sparse=sparse)
        terms = sae.loss(normal(700, D), target_of(sae, 700), at)  # more than one chunk of rows
        found[sparse] = {"loss": torch.stack(list(terms.values())), **at.observed, **gradients(sae, terms)}
    assert found[True].keys() == found[False].keys()
    for key, value in found[True].items():
        torch.testing.assert_close(value, found[False][key], rtol=1e-9, atol=1e-11, check_dtype=False, msg=key)


@every
def test_the_share_is_that_of_the_pairs_that_a_sparse_loss_computes_with(name):
    sae, x = moved(name), normal(300, D)
    rule = sae.unit() if sae.joins else sae  # a crosscoder's latents are scores
    assert sae.share(x) == pytest.approx(len(rule.code(x, state(sae)).values) / (300 * sae.d_sae))


@every
def test_fold_moves_the_scale_of_inputs_into_the_weights_and_unfold_takes_it_out(name):
    sae, x = moved(name), normal(30, D)
    s_in: float | torch.Tensor = 7.3
    s_out = 0.6 if sae.transcodes else s_in
    if sae.joins:  # one scale per hook point
        s_in = s_out = torch.cat([torch.full((width,), s) for width, s in zip(sae.cfg.widths, (7.3, 0.6), strict=True)]).double()
    folded = fold(sae, s_in, s_out)
    torch.testing.assert_close(folded(x), sae(s_in * x) / s_out)
    unit = s_out if isinstance(s_out, float) else 1.0
    torch.testing.assert_close(folded.encode(x), sae.encode(s_in * x) / unit)
    for key, value in unfold(folded, s_in, s_out).state_dict().items():
        torch.testing.assert_close(value, sae.state_dict()[key], msg=key)


@every
def test_with_unit_decoder_is_the_same_function(name):
    sae, x = moved(name), normal(30, D)
    unit = sae.with_unit_decoder()
    torch.testing.assert_close(unit.decoder_norms(), torch.ones(F).double())
    torch.testing.assert_close(unit(x), sae(x))
    assert torch.equal(unit.encode(x) > 0, sae.encode(x) > 0)


@pytest.mark.parametrize("name", FREE)
def test_a_longer_decoder_row_with_a_weaker_encoder_neither_evades_the_penalty_nor_is_chosen_more(name):
    sae = moved(name)
    other = copy.deepcopy(sae)
    stretch = torch.linspace(0.3, 3, F).double()
    with torch.no_grad():
        other.W_dec.mul_(stretch[:, None])
        other.W_enc.div_(stretch)
        for key in ("b_enc", *(() if sae.joins else sae.thresholds)):  # a crosscoder's thresholds cut scores, which stay
            other.state_dict()[key].div_(stretch)
    at, at_other = state(sae), state(other)
    x, target = normal(40, D), target_of(sae, 40)
    for (key, value), same in zip(sae.loss(x, target, at).items(), other.loss(x, target, at_other).values(), strict=True):
        torch.testing.assert_close(value, same, msg=key)
    assert torch.equal(at.observed["fired"], at_other.observed["fired"])
    assert torch.equal(sae.encode(x) > 0, other.encode(x) > 0)


@every
def test_load_gives_back_the_bits(name, tmp_path):
    sae = moved(name).float()
    save(sae, tmp_path)
    again = load(tmp_path)
    assert type(again) is type(sae)
    assert again.cfg == sae.cfg
    assert (again.unit_decoder, again.tied) == (sae.unit_decoder, sae.tied)
    assert list(again.state_dict()) == list(sae.state_dict())
    assert all(torch.equal(value, sae.state_dict()[key]) for key, value in again.state_dict().items())
    assert torch.equal(again.encode(normal(9, D).float()), sae.encode(normal(9, D).float()))


@every
def test_thresholds_are_part_of_what_is_saved(name):
    sae = make(name)
    assert set(sae.thresholds) <= set(sae.state_dict())


@every
def test_loss_changes_nothing_of_the_sae(name):
    sae = moved(name)
    before = {key: value.clone() for key, value in sae.state_dict().items()}
    losses(sae, dead=(0, 7))
    assert before.keys() == sae.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in sae.state_dict().items())


@every
def test_loss_says_what_fired_detached(name):
    sae = moved(name)
    at = state(sae)
    sae.loss(normal(40, D), target_of(sae, 40), at)
    assert at.observed["fired"].dtype == torch.bool
    assert at.observed["fired"].shape == (F,)
    assert 0 < at.observed["l0"].item() <= F
    assert not any(value.requires_grad for value in at.observed.values())
    if "k" in VARIANTS[name][1]:
        assert at.observed["l0"].item() == pytest.approx(
            K, abs=1e-9 if "batch" in name or name == "matryoshka" else 0.3
        )  # TopK keeps no negative one


@every
def test_inputs_four_times_larger_give_the_same_run_bitwise(name):
    saes = []
    for size in (1.0, 4.0):
        sae = make(name, D, F)
        source = data(sae, mean=(size, size), spread=0.3 * size, bias=2 * size)
        train(job(sae), source, cfg(6))
        saes.append(sae)
    quarter = torch.full((D,), 0.25) if saes[0].joins else 0.25
    for key, value in fold(saes[0], quarter).state_dict().items():
        assert torch.equal(value, saes[1].state_dict()[key]), key


@every
def test_permuting_latents_permutes_everything(name):
    sae, other = moved(name), moved(name)
    blocks = [0, *(sae.widths if sae.architecture == "matryoshka" else (F,))]  # nested dictionaries keep their members
    order = torch.cat([a + torch.from_numpy(draws(0, "test", "order").permutation(b - a)) for a, b in pairwise(blocks)])
    assert not torch.equal(order, torch.arange(F))
    other.load_state_dict(by_latent(sae, lambda value: value[order]))
    x = normal(30, D)
    torch.testing.assert_close(other.encode(x), sae.encode(x)[:, order])
    dead = (0, 7)
    moved_dead = tuple(i for i in range(F) if int(order[i]) in dead)
    terms, same = losses(sae, dead=dead), losses(other, dead=moved_dead)
    torch.testing.assert_close(torch.stack(list(same.values())), torch.stack(list(terms.values())))
    permuted = gradients(other, same)
    for key, gradient in gradients(sae, terms).items():
        expected = gradient if key in ("b_dec", "W_skip") else gradient[:, order] if key == "W_enc" else gradient[order]
        torch.testing.assert_close(permuted[key], expected, msg=key)


@every
def test_a_latent_that_did_not_fire_gets_no_gradient(name):
    sae = moved(name)
    with torch.no_grad():
        for key in ("b_enc", "b_gate"):
            if key in sae.state_dict():
                sae.state_dict()[key][5] = -100
    found = gradients(sae, losses(sae))
    for key, gradient in found.items():
        if key in ("b_dec", "W_skip"):
            continue
        of_latent = gradient[:, 5] if key == "W_enc" else gradient[5]
        assert of_latent.abs().max() == 0, key
        assert gradient.abs().max() > 0 or key == "r_mag", key


@every
@pytest.mark.filterwarnings("ignore:sae was to have an L0")
def test_decoder_rows_are_unit_after_every_step(name):
    sae = make(name)
    largest = []
    train(job(sae), data(sae), cfg(20, log_steps=1), record=lambda _: largest.append((sae.W_dec.norm(dim=1) - 1).abs().max().item()))
    assert len(largest) == 20
    if sae.unit_decoder:
        assert max(largest) < 1e-6
    else:
        assert max(largest) > 1e-3


@pytest.mark.filterwarnings("ignore:sae was to have an L0")
@pytest.mark.parametrize("name", [name for name in VARIANTS if "skip" not in name])  # a skip says all there is: it is linear
def test_a_planted_direction_is_recovered(name):
    """By one latent, so that there is one answer; its encoder and its row start on the direction's side of the sphere."""
    options = {"k": 1} if "k" in VARIANTS[name][1] else {"l0": 0.3, "coefficient": 0.1} if "target" in name else {}
    sae = make(name, D, 1, **options)
    truth = data(sae, n_directions=1, l0=0.3, zipf=0.0, noise=0.1)
    read, direction = truth.directions[0, : sae.d_in], truth.directions[0, -sae.d_out :]
    with torch.no_grad():
        sae.W_enc.mul_((read @ sae.W_enc).sign())
        sae.W_dec.mul_((sae.W_dec @ direction).sign())
    before = torch.cosine_similarity(sae.W_dec[0], direction, dim=0)
    train(job(sae), truth, cfg(100, lr=2e-2))
    assert before < 0.9
    assert torch.cosine_similarity(sae.W_dec[0], direction, dim=0) > 0.99


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_the_first_scale_of_the_encoder_is_the_best_one(name):
    sae = make(name).double()
    x = normal(2000, D) + 3
    target = target_of(sae, 2000)
    fit_to_sample_(sae, x, x if not sae.transcodes else target)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    y = sae.training_latents(sae.pre_acts(x)) @ sae.W_dec
    error = (x if not sae.transcodes else target) - sae.b_dec - scale * y
    mse = error.square().sum(1).mean()
    mse.backward()
    assert abs(scale.grad.item()) < 1e-9 * mse.item()


@every
@pytest.mark.parametrize("x", [torch.ones(8, D), torch.zeros(8, D), torch.ones(1, D)], ids=["constant", "zero", "one token"])
@pytest.mark.parametrize("sparse", [False, True])
def test_odd_inputs_and_dead_latents_give_finite_terms_and_gradients(name, x, sparse):
    for sae in (make(name).double(), moved(name)):
        target = x.double() if not sae.transcodes else torch.ones(len(x), sae.d_out).double()
        terms = sae.loss(x.double(), target, state(sae, dead=tuple(range(F)), sparse=sparse))
        assert all(term.isfinite() for term in terms.values())
        assert all(gradient.isfinite().all() for gradient in gradients(sae, terms).values())


@every
@pytest.mark.parametrize("sparse", [False, True])
def test_every_latent_on_at_once_is_no_special_case(name, sparse):
    options = {"k": F} if "k" in VARIANTS[name][1] else {}
    sae = make(name, **options).double()
    with torch.no_grad():
        for key in ("b_enc", "b_gate", "b_mag"):
            if key in sae.state_dict():
                sae.state_dict()[key].fill_(50)
    at = state(sae, sparse=sparse)
    terms = sae.loss(normal(40, D), target_of(sae, 40), at)
    assert at.observed["l0"] == F
    assert total(terms).isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(sae, terms).values())


@pytest.mark.parametrize(("name", "option"), WITH_A_NUMBER)
def test_more_active_latents_than_there_are_is_refused(name, option):
    with pytest.raises(ConfigError, match=rf"{option}=25 .* d_sae=24"):
        make(name, **{option: F + 1})


@every
def test_rows_of_another_shape_are_refused(name, monkeypatch):
    sae = make(name)
    for owner in {*type(sae).__mro__, *getattr(sae, "rule", SAE).__mro__}:
        if hasattr(vars(owner).get("loss"), "__wrapped__"):  # the tests' own check of shapes would come first
            monkeypatch.setattr(owner, "loss", vars(owner)["loss"].__wrapped__)
    x, target = torch.zeros(6, D), torch.zeros(6, sae.d_out)
    with pytest.raises(ConfigError, match="It takes rows"):
        sae.loss(x.view(2, 3, D), target.view(2, 3, -1), state(sae))
    with pytest.raises(ConfigError, match="It takes rows"):
        sae.loss(x, target[:5], state(sae))


@every
@pytest.mark.parametrize("d_sae", [5, F], ids=["undercomplete", "overcomplete"])
def test_every_class_trains_three_steps(name, d_sae):
    sae = make(name, D, d_sae)
    start = {key: p.clone() for key, p in sae.named_parameters()}
    report = train(job(sae), data(sae), cfg(3, log_steps=1))
    assert report.steps == 3
    assert all(math.isfinite(value) for value in report.facts["sae"].values() if isinstance(value, float))
    assert all(p.isfinite().all() for p in sae.parameters())
    assert not torch.equal(sae.W_enc, start["W_enc"])
    assert not torch.equal(sae.W_dec, start["W_dec"])
    assert sae(data(sae).sample(7, seed=2)[0][:, : sae.d_in]).shape == (7, sae.d_out)


@pytest.mark.parametrize("sparse", [False, True])
def test_batch_topk_of_one_token_is_topk(sparse):
    found = []
    for name in ("topk", "batch_topk"):
        sae = moved(name)
        terms = losses(sae, n=1, sparse=sparse, dead=(3,))
        found.append({"loss": total(terms), **gradients(sae, terms)})
    for key, value in found[0].items():
        torch.testing.assert_close(value, found[1][key], msg=key)
