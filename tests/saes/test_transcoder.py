"""Transcoders: what they share with the SAE of their activation, and where they differ. See test_properties for what all classes share."""

import pytest
import torch

from saescope.activations.source import Batch
from saescope.errors import ConfigError
from saescope.saes.registry import build, describe
from saescope.saes.transcoder import TRANSCODERS, BatchTopKTranscoder, ReLUTranscoderConfig, Transcoder, TranscoderConfig
from saescope.training.config import TrainConfig
from saescope.training.loop import Job, train
from variants import normal, state, total

D, D_OUT, F = 6, 5, 12
OPTIONS = {
    "batch_topk": {"k": 3},
    "topk": {"k": 3},
    "relu": {"l1": 0.3},
    "jumprelu": {"l0": 3.0},
}
each = pytest.mark.parametrize("activation", OPTIONS)


def transcoder(activation="batch_topk", d_out=D_OUT, **options):
    sae = build("transcoder", D, F, {"activation": activation} | OPTIONS[activation] | options, d_out=d_out, seed=3).double()
    with torch.no_grad():
        sae.W_enc.mul_(10)
    return sae


@each
def test_latents_and_loss_are_those_of_the_sae_of_its_activation(activation):
    ours, theirs = transcoder(activation, d_out=D), build(activation, D, F, OPTIONS[activation]).double()
    theirs.load_state_dict(ours.state_dict())  # b_dec is 0, so tied or not makes no difference
    x, target = normal(20, D), normal(20, D, name="target")
    assert torch.equal(ours.encode(x), theirs.encode(x))
    dead = (1, 8)
    for sparse in (False, True):
        expected = theirs.loss(x, target, state(theirs, dead, sparse=sparse))
        found = ours.loss(x, target, state(ours, dead, sparse=sparse))
        assert {name: term.item() for name, term in found.items()} == {name: term.item() for name, term in expected.items()}


@each
def test_b_dec_is_never_subtracted_from_x(activation):
    sae, x = transcoder(activation), normal(7, D)
    before = sae.encode(x)
    with torch.no_grad():
        sae.b_dec.fill_(5)
    assert torch.equal(sae.encode(x), before)


@each
def test_a_fresh_skip_changes_nothing_but_learns(activation):
    plain, skip = transcoder(activation), transcoder(activation, skip=True)
    x, target = normal(20, D), normal(20, D_OUT, name="target")
    assert torch.equal(skip(x), plain(x))
    terms = skip.loss(x, target, state(skip))
    assert {k: v.item() for k, v in terms.items()} == {k: v.item() for k, v in plain.loss(x, target, state(plain)).items()}
    total(terms).backward()
    error = target - skip.reconstruct(x, skip.training_latents(skip.pre_acts(x)))
    torch.testing.assert_close(skip.W_skip.grad, -2 * x.T @ error.detach() / 20)


def test_the_skip_is_in_x_hat_and_in_the_error_but_not_in_what_latents_decode_to():
    sae, x, target = transcoder("topk", skip=True), normal(20, D), normal(20, D_OUT, name="target")
    with torch.no_grad():
        sae.W_skip.copy_(normal(D, D_OUT, name="skip"))
    latents = sae.encode(x)
    expected = latents @ sae.W_dec + sae.b_dec + x @ sae.W_skip
    torch.testing.assert_close(sae(x), expected)
    torch.testing.assert_close(sae.reconstruct(x, latents), expected)
    torch.testing.assert_close(sae.decode(latents), expected - x @ sae.W_skip)
    mse = sae.loss(x, target, state(sae))["mse"]
    assert mse.item() == pytest.approx((target - expected).square().sum().item() / 20)


def test_the_start_is_the_mean_target_and_columns_that_know_nothing_of_the_rows():
    sae, x = build("transcoder", 64, 256, d_out=64), normal(50, 64).float()
    target = normal(50, 64, name="target").float() + 3
    torch.testing.assert_close(sae.start_bias(x, target), target.mean(0))
    assert not sae.homogeneous
    torch.testing.assert_close(sae.W_enc.norm(dim=0), torch.full((256,), 0.1))
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(256))
    assert torch.cosine_similarity(sae.W_enc.T, sae.W_dec).abs().mean() < 0.2


def test_skip_transcoder_is_the_name_of_an_option():
    sae = build("skip_transcoder", D, F, {"k": 3}, d_out=D_OUT)
    assert isinstance(sae, BatchTopKTranscoder)
    assert sae.cfg.skip
    assert describe(sae)["architecture"] == "transcoder"
    assert describe(sae)["options"]["skip"] is True
    assert not build("skip_transcoder", D, F, {"k": 3, "skip": False}, d_out=D_OUT).cfg.skip


@each
def test_every_activation_is_a_transcoder_and_has_its_options(activation):
    kind, config = TRANSCODERS[activation]
    assert issubclass(kind, Transcoder)
    assert issubclass(config, TranscoderConfig)
    assert config(**OPTIONS[activation]).activation == activation
    assert kind(D, F, config(**OPTIONS[activation]), d_out=D_OUT).resample == "off"
    assert kind(D, 64, d_out=D_OUT).cfg == config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "gelu"}, r"transcoder has no activation 'gelu', only batch_topk, topk, relu, jumprelu.*--set activation=NAME"),
        ({"activation": "topk", "l1": 3.0}, r"transcoder of activation topk has no option 'l1', only activation, alpha, k, skip"),
        ({"activation": "topk", "k": 13}, r"k=13 latents per token were asked of an SAE with d_sae=12"),
        ({"activation": "relu", "l1": -1.0}, "l1=-1"),
        ({"activation": "relu", "resample": "centred"}, "resample='centred' was asked for. A transcoder's dead latents are not resampled"),
        ({"k": 3, "skip": "yes"}, "skip is 'yes'"),
    ],
)
def test_options_are_those_of_the_activation(options, message):
    with pytest.raises(ConfigError, match=message):
        build("transcoder", D, F, options, d_out=D_OUT)


def test_a_config_is_of_one_activation():
    with pytest.raises(ConfigError, match=r"activation='topk' was asked for. There are: relu"):
        ReLUTranscoderConfig(activation="topk")


def test_a_skip_transcoder_learns_what_is_linear():
    x = normal(4096, D).float()
    y = x @ normal(D, D_OUT, name="map").float() + 2

    class Source:
        slices, provenance = {"a": slice(0, D), "b": slice(D, D + D_OUT)}, {}

        def batches(self, n_tokens, *, seed, start=0):
            for i in range(start, start + n_tokens, 256):
                yield Batch(torch.cat([x, y], 1)[i % 4096 :][:256])

    fvu = {}
    for name in ("transcoder", "skip_transcoder"):
        sae = build(name, D, F, {"k": 1}, d_out=D_OUT)
        train(Job(sae, read=("a",), target="b"), Source(), TrainConfig(tokens=64 * 256, batch_tokens=256, lr=0.03))
        fvu[name] = float((y - sae(x)).square().sum() / (y - y.mean(0)).square().sum())
    assert fvu["skip_transcoder"] < 0.05
    assert fvu["transcoder"] > 4 * fvu["skip_transcoder"]
