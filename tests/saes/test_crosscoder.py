"""Crosscoders: one hook point is the free-decoder SAE, several share latents. What holds for every class is in test_properties."""

import pytest
import torch

from saescope.errors import ConfigError
from saescope.saes.base import SAE
from saescope.saes.crosscoder import CROSSCODERS, Crosscoder
from saescope.saes.fold import fold, unfold
from saescope.saes.registry import build
from saescope.training.threshold import calibrate_threshold
from variants import normal, state, total

WIDTHS, F = [4, 2, 4], 12
D = sum(WIDTHS)
OPTIONS = {"batch_topk": {"k": 3}, "relu": {"l1": 0.3}, "jumprelu": {"l0": 3.0}}
each = pytest.mark.parametrize("activation", OPTIONS)


def crosscoder(activation="batch_topk", widths=WIDTHS, **options) -> Crosscoder:
    """With every parameter away from its start, and rows of very different norms."""
    sae = build("crosscoder", sum(widths), F, {"activation": activation, "widths": widths} | OPTIONS[activation] | options, seed=3).double()
    with torch.no_grad():
        for name, p in sae.named_parameters():
            p.add_(0.2 * normal(*p.shape, name=name))
        sae.W_dec.mul_(torch.linspace(0.2, 5, F)[:, None])
        for name in sae.thresholds:
            getattr(sae, name).fill_(0.4)
    return sae


def with_weights_of(other: SAE, architecture: str, options: dict) -> SAE:
    sae = build(architecture, other.d_in, other.d_sae, options).double()
    sae.load_state_dict({name: value for name, value in other.state_dict().items() if name in sae.state_dict()})
    return sae


def test_one_hook_point_is_the_relu_sae_with_a_free_decoder():
    ours = crosscoder("relu", widths=[D])
    theirs = with_weights_of(ours, "relu", {"l1": 0.3, "decoder": "free"})
    x = normal(20, D)
    torch.testing.assert_close(ours.encode(x), theirs.encode(x))
    torch.testing.assert_close(ours(x), theirs(x))
    z = ours.pre_acts(x)
    torch.testing.assert_close(ours.penalty(z), theirs.penalty(z))
    for sae in (ours, theirs):
        total(sae.loss(x, x, state(sae))).backward()
    for name, p in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name).grad, p.grad, msg=name)


@each
def test_one_hook_point_with_unit_rows_is_the_sae_of_its_activation(activation):
    ours = crosscoder(activation, widths=[D])
    with torch.no_grad():
        ours.W_dec.div_(ours.W_dec.norm(dim=1, keepdim=True))
        ours.b_dec.zero_()
    theirs = with_weights_of(ours, activation, OPTIONS[activation])
    x = normal(20, D)
    torch.testing.assert_close(ours.encode(x), theirs.encode(x))
    for sparse in (False, True):
        found, expected = (sae.loss(x, x, state(sae, (1, 8), sparse=sparse)) for sae in (ours, theirs))
        assert {k: v.item() for k, v in found.items()} == pytest.approx({k: v.item() for k, v in expected.items()})


def test_the_loss_by_hand():
    sae, x = crosscoder("relu"), normal(20, D)
    f = (x @ sae.W_enc + sae.b_enc).relu()
    x_hat = f @ sae.W_dec + sae.b_dec
    by_block = [(a - b).square().sum(1).mean() for a, b in zip(sae.blocks(x), sae.blocks(x_hat), strict=True)]
    norms = sum(sae.W_dec[:, block].norm(dim=1) for block in (slice(0, 4), slice(4, 6), slice(6, 10)))
    terms = sae.loss(x, x, state(sae, sparsity_scale=0.5))
    assert terms["mse"].item() == pytest.approx(sum(by_block).item())
    assert terms["sparsity"].item() == pytest.approx(0.5 * 0.3 * (f * norms).sum().item() / 20)
    torch.testing.assert_close(sae.decoder_norms(), norms)


def test_batch_topk_keeps_the_largest_scores():
    sae, x = crosscoder(), normal(20, D)
    z = sae.pre_acts(x)
    scores = z * sae.decoder_norms()
    kept = scores >= scores.flatten().topk(3 * 20).values.min()
    torch.testing.assert_close(sae.training_latents(z), torch.where(kept, z, 0).relu())
    torch.testing.assert_close(sae.encode(x), torch.where(scores > 0.4, z, 0).relu())
    observed = state(sae)
    sae.loss(x, x, observed)
    assert observed.observed["min_kept"].item() == pytest.approx(scores[kept].min().item())


@each
def test_a_longer_row_with_a_shorter_column_is_the_same_latent(activation):
    sae, x = crosscoder(activation), normal(20, D)
    before, expected = sae(x), {k: v.item() for k, v in sae.loss(x, x, state(sae, (2,))).items()}
    with torch.no_grad():
        sae.W_dec[5].mul_(3)
        sae.W_enc[:, 5].div_(3)
        sae.b_enc[5].div_(3)
    torch.testing.assert_close(sae(x), before)
    assert {k: v.item() for k, v in sae.loss(x, x, state(sae, (2,))).items()} == pytest.approx(expected)


@each
def test_block_norms_survive_the_scales_of_the_hook_points(activation):
    sae, x = crosscoder(activation), normal(20, D)
    scales = torch.cat([torch.full((width,), s) for width, s in zip(WIDTHS, (0.01, 3.0, 70.0), strict=True)]).double()
    raw = fold(sae, scales)
    norms = sae.block_norms()
    assert norms.shape == (F, 3)
    torch.testing.assert_close(norms.amax(1), torch.ones(F).double())
    torch.testing.assert_close(raw.block_norms(), norms)
    torch.testing.assert_close(raw.encode(x / scales), sae.encode(x))
    torch.testing.assert_close(raw(x / scales) * scales, sae(x))
    torch.testing.assert_close(torch.cat(raw.comparable()[:1]), sae.W_enc.detach())
    torch.testing.assert_close(raw.comparable()[1], sae.W_dec.detach())
    for name, value in unfold(raw, scales).state_dict().items():
        torch.testing.assert_close(value, sae.state_dict()[name], msg=name)


def test_blocks_start_alike_at_a_tenth():
    sae = build("crosscoder", D, F, {"k": 3, "widths": WIDTHS})
    first, second, third = sae.blocks(sae.W_dec)
    assert torch.equal(first, third)
    for block in (first, second, third):
        torch.testing.assert_close(block.norm(dim=1), torch.full((F,), 0.1))
    torch.testing.assert_close(torch.cosine_similarity(sae.W_enc.T, sae.W_dec), torch.ones(F))
    torch.testing.assert_close(sae.block_norms(), torch.ones(F, 3))
    scores = sae.scores(sae.pre_acts(normal(4000, D).float()))
    assert 0.5 < scores.std() < 2


def test_the_threshold_is_calibrated_on_scores():
    sae, x = crosscoder().float(), normal(5000, D).float()
    calibrate_threshold(sae, [x])
    assert (sae.encode(x) > 0).sum(1).float().mean().item() == pytest.approx(3, rel=0.01)


@each
def test_every_activation_is_a_crosscoder_that_resamples_nothing(activation):
    kind, config = CROSSCODERS[activation]
    sae = kind(D, 64, config(widths=(4, 6)))
    assert isinstance(sae, Crosscoder)
    assert (sae.joins, sae.tied, sae.unit_decoder, sae.resample) == (True, False, False, "off")
    assert kind(D, 64).widths == [D]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 3, "widths": [4, 4]}, r"widths=\[4, 4\] add up to 8, but d_in=10"),
        ({"k": 3, "widths": [10, 0]}, "widths=0 was asked for. It must be a whole number of at least 1"),
        ({"activation": "topk"}, "crosscoder has no activation 'topk', only batch_topk, relu, jumprelu"),
        ({"activation": "relu", "k": 3}, "crosscoder of activation relu has no option 'k'"),
        ({"activation": "relu", "decoder": "unit"}, "decoder='unit' was asked for. A crosscoder's decoder is free"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        build("crosscoder", D, F, options)
