"""What holds for every architecture; a new one joins by its line in the registry."""

import numpy as np
import pytest
import torch

from saescope.draws import draws
from saescope.errors import ConfigError, WidthMismatch
from saescope.saes.base import SAE, TrainState
from saescope.saes.fold import fold, unfold
from saescope.saes.registry import ARCHITECTURES, build, describe
from saescope.training.optimizer import project_decoder_gradient_

D, F, K = 6, 12, 3
OPTIONS = {"topk": {"k": K}, "batch_topk": {"k": K}, "relu": {"l1": 0.3}}


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


def alive(n=F):
    return torch.zeros(n, dtype=torch.bool)


@pytest.fixture(params=sorted(ARCHITECTURES))
def sae(request) -> SAE:
    """A float64 SAE with every parameter away from its start."""
    sae = build(request.param, D, F, OPTIONS[request.param], seed=3).double()
    with torch.no_grad():
        for name, p in sae.named_parameters():
            p.add_(0.3 * normal(*p.shape, name=name))
        for name in sae.thresholds:
            getattr(sae, name).fill_(0.4)
    sae.constrain_()
    return sae


def reference(sae: SAE, x: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Training latents and loss terms, as the papers write them, in numpy."""
    w = {name: p.detach().numpy() for name, p in sae.named_parameters()}
    z = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    f = np.maximum(z, 0)
    if sae.architecture == "topk":
        f = np.where(z >= np.sort(z, axis=1)[:, -K][:, None], f, 0)
    if sae.architecture == "batch_topk":
        f = np.where(z >= np.sort(z, axis=None)[-K * len(x)], f, 0)
    e = x - (f @ w["W_dec"] + w["b_dec"])
    terms = {"mse": (e**2).sum() / len(x)}
    if sae.architecture == "relu":
        terms["sparsity"] = 0.5 * 0.3 * f.sum() / len(x)
    return f, terms


@pytest.mark.parametrize("sparse", [False, True])
def test_loss_is_the_published_equation(sae, sparse):
    x = normal(20, D)
    f, expected = reference(sae, x.numpy())
    state = TrainState(0, 0, 0.5, alive(), sparse=sparse)
    terms = sae.loss(x, x, state)
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value), name
    assert set(terms) - set(expected) <= {"auxk"}
    assert torch.equal(state.observed["fired"], torch.from_numpy((f > 0).any(0)))
    assert state.observed["l0"].item() == pytest.approx((f > 0).sum() / 20)


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_equal_central_differences(sae, sparse):
    x, dead = normal(20, D), alive()
    dead[[1, 8]] = True

    def loss() -> torch.Tensor:
        return torch.stack(list(sae.loss(x, target, TrainState(0, 0, 0.5, dead, sparse=sparse)).values())).sum()

    # A target held apart keeps auxk's detached error out of the differences: with dead latents it is not a true gradient.
    target, dead = normal(20, D, name="target"), alive()
    loss().backward()
    for name, p in sae.named_parameters():
        for index in [(0,) * p.ndim, tuple(s - 1 for s in p.shape), tuple(s // 2 for s in p.shape)]:
            difference = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    p[index] += step
                    difference.append(loss().item())
                    p[index] -= step
            assert p.grad[index].item() == pytest.approx((difference[0] - difference[1]) / 2e-6, rel=1e-4, abs=1e-6), name


def test_fast_path_equals_the_dense_one_dead_latents_included(sae):
    x, dead = normal(700, D), alive()  # more than one row chunk
    dead[[0, 7]] = True
    gradients = {}
    for sparse in (False, True):
        sae.zero_grad()
        terms = sae.loss(x, x, TrainState(0, 0, 1.0, dead, sparse=sparse))
        torch.stack(list(terms.values())).sum().backward()
        gradients[sparse] = {"loss": torch.stack(list(terms.values())), **{n: p.grad.clone() for n, p in sae.named_parameters()}}
    for name in gradients[True]:
        torch.testing.assert_close(gradients[True][name], gradients[False][name], rtol=1e-9, atol=1e-11, msg=name)


def test_encode_of_a_batch_is_encode_row_by_row_in_train_and_eval_mode(sae):
    x = normal(9, D)
    whole = sae.train().encode(x)
    torch.testing.assert_close(torch.stack([sae.eval().encode(row) for row in x]), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sae.encode(x.reshape(3, 3, D)), whole.reshape(3, 3, F), rtol=1e-12, atol=1e-12)


def test_forward_is_decode_of_encode(sae):
    x = normal(9, D)
    assert torch.equal(sae(x), sae.decode(sae.encode(x)))


def test_loss_leaves_the_sae_as_it_was(sae):
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    sae.loss(normal(9, D), normal(9, D), TrainState(0, 0, 1.0, alive()))
    assert all(torch.equal(before[name], value) for name, value in sae.state_dict().items())


def test_fold_moves_the_input_scale_into_the_weights(sae):
    x, s = normal(30, D), 7.3
    torch.testing.assert_close(fold(sae, s)(x), sae(s * x) / s)
    torch.testing.assert_close(fold(sae, s).encode(x), sae.encode(s * x) / s)
    for name, value in unfold(fold(sae, s), s).state_dict().items():
        torch.testing.assert_close(value, sae.state_dict()[name], msg=name)


def test_permuting_latents_permutes_everything(sae):
    x, order = normal(30, D), torch.from_numpy(draws(0, "test", "order").permutation(F))
    permuted = build(sae.architecture, D, F, OPTIONS[sae.architecture]).double()
    state = {**sae.state_dict()}
    state.update(W_enc=sae.W_enc[:, order], b_enc=sae.b_enc[order], W_dec=sae.W_dec[order])
    permuted.load_state_dict(state)
    torch.testing.assert_close(permuted.encode(x), sae.encode(x)[:, order])


def test_decoder_rows_keep_norm_one_and_their_gradient_no_part_along_them(sae):
    x = normal(30, D)
    torch.stack(list(sae.loss(x, x, TrainState(0, 0, 1.0, alive())).values())).sum().backward()
    project_decoder_gradient_(sae)
    assert (sae.W_dec.grad * sae.W_dec).sum(1).abs().max() < 1e-12
    with torch.no_grad():
        sae.W_dec.mul_(3)
    sae.constrain_()
    assert (sae.W_dec.norm(dim=1) - 1).abs().max() < 1e-12


def test_latents_that_did_not_fire_get_no_gradient(sae):
    with torch.no_grad():
        sae.b_enc[5] = -100
    x = normal(30, D)
    sae.loss(x, x, TrainState(0, 0, 1.0, alive()))["mse"].backward()
    assert sae.W_enc.grad[:, 5].abs().max() == 0
    assert sae.W_dec.grad[5].abs().max() == 0


@pytest.mark.parametrize("x", [torch.ones(8, D), torch.zeros(8, D), torch.ones(1, D)], ids=["constant", "zero", "one token"])
@pytest.mark.parametrize("sparse", [False, True])
def test_odd_inputs_give_finite_terms_and_gradients(sae, x, sparse):
    terms = sae.loss(x.double(), x.double(), TrainState(0, 0, 1.0, ~alive(), sparse=sparse))
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert total.isfinite()
    assert all(p.grad.isfinite().all() for p in sae.parameters() if p.grad is not None)


def test_a_wrong_width_is_refused_by_name(sae):
    with pytest.raises(WidthMismatch, match="reads d_in=6, but got vectors of width 5"):
        sae.encode(torch.zeros(2, 5).double())


def test_describe_rebuilds_the_same_kind(sae):
    config = describe(sae)
    again = build(config["architecture"], config["d_in"], config["d_sae"], config["options"])
    assert type(again) is type(sae)
    assert again.cfg == sae.cfg


def test_encoder_memory_is_latent_major(sae):
    assert build(sae.architecture, D, F, OPTIONS[sae.architecture]).W_enc.T.is_contiguous()


@pytest.mark.parametrize("architecture", ["topk", "batch_topk"])
def test_k_above_d_sae_is_refused(architecture):
    with pytest.raises(ConfigError, match=r"k=13 .* d_sae=12"):
        build(architecture, D, F, {"k": 13})


@pytest.mark.parametrize(("d_in", "d_sae"), [(0, 4), (4, 0), (4, -1)])
def test_widths_below_one_are_refused(d_in, d_sae):
    with pytest.raises(ConfigError, match="at least 1"):
        build("relu", d_in, d_sae)


def test_options_are_checked():
    with pytest.raises(ConfigError, match=r"'topkk' is not an architecture.*Did you mean 'topk'"):
        build("topkk", D, F)
    with pytest.raises(ConfigError, match="topk has no option 'kk'"):
        build("topk", D, F, {"kk": 3})
    with pytest.raises(ConfigError, match="k=0"):
        build("topk", D, F, {"k": 0})
    with pytest.raises(ConfigError, match="l1=-1"):
        build("relu", D, F, {"l1": -1})


def test_batch_topk_of_one_token_is_topk():
    x = normal(1, D)
    saes = [build(architecture, D, F, {"k": K}, seed=3).double() for architecture in ("topk", "batch_topk")]
    losses = [sae.loss(x, x, TrainState(0, 0, 1.0, alive()))["mse"].item() for sae in saes]
    assert losses[0] == losses[1]


def test_fast_batch_topk_does_not_depend_on_its_floor():
    x = normal(40, D)
    sae = build("batch_topk", D, F, {"k": K}, seed=3).double()
    decoded = []
    for tau in (0.0, 0.5, 1e6):
        sae.tau.fill_(tau)
        decoded.append(sae.sparse_code(x).decode(sae.W_dec))
    assert torch.equal(decoded[0], decoded[1])
    assert torch.equal(decoded[0], decoded[2])
