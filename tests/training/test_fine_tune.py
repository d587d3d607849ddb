"""Fine-tuning a finished SAE: scales that undo feature suppression, folded so that the same latents stay active; the decoder alone."""

import pytest
import torch

import variants
from saescope.activations.source import StepBatch, TensorSource
from saescope.draws import draws
from saescope.errors import ConfigError, NoTokens, WidthMismatch
from saescope.saes.base import TrainState
from saescope.saes.registry import ARCHITECTURES, build
from saescope.training import fine_tune
from saescope.training.columns import Columns
from saescope.training.config import TrainConfig
from saescope.training.fine_tune import (
    ErrorsOnly,
    as_jumprelu,
    best_scales,
    decoder_parameters,
    fit_scale,
    keep_reached_penalty_,
    scaled,
)
from saescope.training.loop import Job, train
from saescope.training.objective import Given, reconstruction

D, F = 16, 24
FOLDABLE = {name: own for name, own in variants.VARIANTS.items() if "topk" not in (own[0], own[1].get("activation"))} | {
    "transcoder": ("transcoder", {"k": 3}),
    "skip_transcoder relu": ("skip_transcoder", {"activation": "relu"}),
    "skip_transcoder": ("skip_transcoder", {"k": 3}),
    "crosscoder": ("crosscoder", {"k": 3, "widths": [6, 10]}),
    "crosscoder relu": ("crosscoder", {"activation": "relu", "widths": [6, 10]}),
    "crosscoder jumprelu": ("crosscoder", {"activation": "jumprelu", "l0": 3, "widths": [6, 10]}),
}


def normal(*shape, name="x"):
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape)).float()


def made(name):
    """An SAE with weights and thresholds away from their start."""
    architecture, options = FOLDABLE[name]
    sae = build(architecture, D, F, options, d_out=10 if "transcoder" in architecture else None, seed=1)
    with torch.no_grad():
        for parameter, p in sae.named_parameters():
            p.add_(0.2 * normal(*p.shape, name=parameter))
        if "tau" in sae.state_dict():
            sae.tau.fill_(0.4)
        if "theta" in sae.state_dict():
            sae.theta.copy_(0.3 + 0.1 * normal(F, name="t").abs())
    sae.constrain_()
    return sae.requires_grad_(False)


def gamma(sae, x):
    x_hat = sae(x).double()
    return (x_hat.square().sum() / (x_hat * x).sum()).item()


def fvu(sae, x):
    return ((x - sae(x)).square().sum() / (x - x.mean(0)).square().sum()).item()


# --- folding ----------------------------------------------------------------------------------------------------------------------


def test_every_architecture_is_here():
    assert {architecture for architecture, _ in FOLDABLE.values()} == set(ARCHITECTURES) - {"topk"}


@pytest.mark.parametrize("name", FOLDABLE)
def test_scaled_latents_are_sigma_times_the_latents_the_same_ones_active(name):
    sae, x = made(name), normal(500, D)
    before = {key: value.clone() for key, value in sae.state_dict().items()}
    sigma = 0.5 + normal(F, name="sigma").abs()
    new, latents = scaled(sae, sigma), sae.encode(x)
    assert 0.02 < (latents > 0).float().mean() < 0.9
    assert ((new.encode(x) > 0) != (latents > 0)).sum() <= 1  # of 12,000; a rounding at a threshold
    torch.testing.assert_close(new.encode(x), sigma * latents, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(new(x), sae.reconstruct(x, sigma * latents), rtol=1e-4, atol=1e-4)
    assert torch.equal(new.W_dec, sae.W_dec)
    assert all(torch.equal(value, before[key]) for key, value in sae.state_dict().items())


def test_gated_scales_its_magnitude_alone():
    sae = made("gated")
    new = scaled(sae, torch.full((F,), 2.0))
    assert torch.equal(new.W_enc, sae.W_enc)
    assert torch.equal(new.b_gate, sae.b_gate)
    assert torch.equal(new.b_mag, 2 * sae.b_mag)


@pytest.mark.parametrize("name", ["batch_topk", "matryoshka", "transcoder", "skip_transcoder", "crosscoder"])
def test_one_threshold_becomes_one_for_each(name):
    sae, x = made(name), normal(300, D)
    jump = as_jumprelu(sae)
    assert "jumprelu" in (jump.architecture, jump.cfg.activation if hasattr(jump.cfg, "activation") else "")
    torch.testing.assert_close(jump.encode(x), sae.encode(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(jump(x), sae(x), rtol=1e-4, atol=1e-5)
    assert not jump.tied


def test_topk_and_impossible_scales_are_refused():
    with pytest.raises(ConfigError, match=r"TopKSAE keeps the largest latents of each token.*--what decoder"):
        scaled(build("topk", D, F, {"k": 3}), torch.ones(F))
    with pytest.raises(ConfigError, match="keeps the largest"):
        fit_scale(build("topk", D, F, {"k": 3}), TensorSource(normal(100, D)))
    with pytest.raises(ConfigError, match="a scale of 0 was given"):
        scaled(made("relu"), torch.zeros(F))


# --- the fit ----------------------------------------------------------------------------------------------------------------------


def test_suppression_in_one_dimension():
    """Per-sample loss (x_hat - x)^2 + c f with c = 0.2 makes a latent 0.9 of what it should be; the scale is 1 / 0.9."""
    x = torch.tensor([[0.0], [1.0], [1.0], [0.0]]).repeat(8, 1)
    sae = build("relu", 1, 1, {"l1": 0.2}, seed=1)
    with torch.no_grad():
        sae.W_dec.fill_(1.0), sae.W_enc.fill_(0.5)
    optimizer = torch.optim.Adam([sae.W_enc], lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        torch.stack(list(sae.loss(x, x, TrainState(0, 0, 1.0, torch.zeros(1, dtype=torch.bool))).values())).sum().backward()
        optimizer.step()
    sae.requires_grad_(False)
    assert sae.W_enc.item() == pytest.approx(0.9, abs=1e-3)
    assert gamma(sae, x) == pytest.approx(0.9, abs=1e-3)
    assert best_scales(sae, TensorSource(x), 32).item() == pytest.approx(1 / sae.W_enc.item(), rel=1e-6)
    fitted = fit_scale(sae, TensorSource(x), 32)
    assert fitted.W_enc.item() == pytest.approx(1.0, abs=1e-6)
    assert gamma(fitted, x) == pytest.approx(1.0, abs=1e-6)


def test_a_spread_of_sizes_is_not_repaired_whole():
    """g ~ U[0.5, 1.5], lambda 0.4: f = g - 0.2; sigma 1.221, gamma 0.819 -> 1, mse .0400 -> .0046."""
    g = (0.5 + (torch.arange(2000) + 0.5) / 2000)[:, None]
    sae = build("relu", 1, 1, seed=1).requires_grad_(False)
    sae.W_dec.fill_(1.0), sae.W_enc.fill_(1.0), sae.b_enc.fill_(-0.2)
    assert gamma(sae, g) == pytest.approx(0.819, abs=1e-3)
    assert (sae(g) - g).square().mean().item() == pytest.approx(0.04, abs=1e-4)
    fitted = fit_scale(sae, TensorSource(g), 2000)
    assert fitted.W_enc.item() == pytest.approx(1.221, abs=1e-3)
    assert gamma(fitted, g) == pytest.approx(1.0, abs=1e-5)
    assert (fitted(g) - g).square().mean().item() == pytest.approx(0.0046, abs=1e-4)


@pytest.fixture(scope="module")
def shrunk():
    """A ReLU SAE that its penalty has shrunk, and what it was trained on."""
    directions = torch.nn.functional.normalize(normal(20, D, name="directions"), dim=1)
    on = torch.from_numpy(draws(0, "test", "on").random((4000, 20)) < 0.1)
    rows = (normal(4000, 20).abs() + 0.5) * on @ directions
    sae = build("relu", D, 40, {"l1": 3.0, "resample": "off"}, seed=1)
    train(sae, TensorSource(rows), TrainConfig(tokens=150 * 256, batch_tokens=256, lr=5e-3, seed=0))
    return sae, rows


def test_the_fit_undoes_the_shrinkage(shrunk):
    sae, rows = shrunk
    fitted = fit_scale(sae, TensorSource(rows), 4000)
    assert gamma(sae, rows) < 0.9
    assert gamma(fitted, rows) == pytest.approx(1.0, abs=0.04)
    ours, all_of_it = (fitted(rows) - sae.b_dec).double(), (rows - sae.b_dec).double()  # b_dec stays: around it, gamma is 1
    assert (ours.square().sum() / (ours * all_of_it).sum()).item() == pytest.approx(1.0, abs=1e-4)
    assert fvu(fitted, rows) < 0.8 * fvu(sae, rows)
    assert torch.equal(fitted.encode(rows) > 0, sae.encode(rows) > 0)


def test_no_other_scales_are_better(shrunk):
    sae, rows = shrunk
    sigma, latents = best_scales(sae, TensorSource(rows), 4000), sae.encode(rows)

    def error(scale):
        return (sae.decode(scale * latents) - rows).square().sum(1).mean().item()

    at_best = error(sigma)
    for i in range(5):
        moved = sigma * (1 + 0.05 * normal(40, name=f"move {i}"))
        assert error(moved) > at_best


def test_sums_over_pairs_are_those_over_matrices(shrunk, monkeypatch):
    sae, rows = shrunk
    found = []
    for below in (0.0, 1.0):
        monkeypatch.setattr(fine_tune, "SPARSE_BELOW", below)
        found.append(best_scales(sae, TensorSource(rows), 4000))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_adam_finds_what_the_normal_equations_say(shrunk, monkeypatch):
    sae, rows = shrunk
    exact = fit_scale(sae, TensorSource(rows), 4000)
    monkeypatch.setattr(fine_tune, "LARGEST_EXACT", 8)
    monkeypatch.setattr(fine_tune, "ADAM_STEPS", 300)
    descended = fit_scale(sae, TensorSource(rows), 4000)
    assert fvu(descended, rows) == pytest.approx(fvu(exact, rows), rel=0.01)


def test_scales_stay_positive_and_silent_latents_stay_as_they_are():
    """Two latents of one direction, of which the second only adds error: its best scale would be negative."""
    x = normal(400, 1).abs() + 1
    sae = build("relu", 1, 3, seed=1).requires_grad_(False)
    sae.W_dec.fill_(1.0), sae.W_enc.copy_(torch.tensor([[1.0, 1.0, -1.0]])), sae.b_enc.copy_(torch.tensor([0.5, -1.0, 0.0]))
    sigma = best_scales(sae, TensorSource(x), 400)
    assert bool((sigma > 0).all())
    assert sigma[2] == 1
    same = build("relu", 1, 2, seed=1).requires_grad_(False)
    same.W_dec.fill_(1.0), same.W_enc.fill_(0.25)
    torch.testing.assert_close(best_scales(same, TensorSource(x), 400), torch.full((2,), 2.0), rtol=1e-4, atol=1e-4)


def test_a_transcoder_is_fitted_to_its_target():
    x = normal(600, D)
    source = TensorSource(torch.cat([x, 3 * x[:, :10]], dim=1))
    source.slices = {"a": slice(0, D), "b": slice(D, D + 10)}
    sae = build("transcoder", D, F, {"activation": "relu"}, d_out=10, seed=1).requires_grad_(False)
    error = [(model(x) - 3 * x[:, :10]).square().sum().item() for model in (sae, fit_scale(Job(sae, read=("a",), target="b"), source, 600))]
    assert error[1] < error[0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(WidthMismatch):
        fit_scale(made("relu"), TensorSource(normal(10, 5)))
    with pytest.raises(NoTokens, match="fitted on no tokens"):
        fit_scale(made("relu"), TensorSource(normal(10, D)), 0)


# --- the decoder alone ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "relu free", "gated", "batch_topk", "jumprelu l0"])
def test_the_decoder_alone_leaves_every_latent_as_it_is(name):
    sae, rows = made(name), normal(2000, D)
    tau = sae.tau.clone() if hasattr(sae, "tau") else None
    encoder = sae.W_enc.clone()
    latents, before = sae.encode(rows), fvu(sae, rows)
    cfg = TrainConfig(tokens=30 * 256, batch_tokens=256, lr=1e-2, seed=0, sparsity_warmup=0)
    train(Job(sae, fresh=False, only=decoder_parameters(sae)), TensorSource(rows), cfg, objective=ErrorsOnly(reconstruction))
    if tau is not None:
        sae.tau.copy_(tau)
    torch.testing.assert_close(sae.W_enc, encoder)
    torch.testing.assert_close(sae.encode(rows), latents, rtol=1e-4, atol=1e-4)
    assert fvu(sae, rows) < before


def test_a_decoder_alone_is_not_asked_for_small_latents():
    sae, x = made("relu free"), normal(50, D)
    state = TrainState(0, 0, 1.0, torch.zeros(F, dtype=torch.bool))
    given = Given(sae, x, x, state, StepBatch(x), Columns(sae, (), None, {"x": slice(0, D)}))
    assert set(reconstruction(given)) == {"mse", "sparsity", "auxk"}
    assert set(ErrorsOnly(reconstruction)(given)) == {"mse"}


def test_a_decoder_that_chooses_latents_is_not_trained_alone():
    assert decoder_parameters(made("skip_transcoder")) == ("W_dec", "b_dec", "W_skip")
    assert decoder_parameters(made("crosscoder relu")) == ("W_dec", "b_dec")
    with pytest.raises(ConfigError, match="chooses latents by the norms of their rows"):
        decoder_parameters(made("crosscoder"))


def test_a_penalty_goes_on_where_its_controller_left_it():
    reached, chosen = build("relu", D, F, {"l1": 5.0, "l0": 4}), build("jumprelu", D, F, {"l0": 4})
    keep_reached_penalty_(reached, 0.3)
    keep_reached_penalty_(chosen, 0.3)
    assert (reached.cfg.l1, reached.cfg.l0, chosen.cfg.coefficient) == (1.5, 4, 1.0)
