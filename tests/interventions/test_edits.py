import pytest
import torch

import tiny
from saescope import errors
from saescope.interventions import Ablate, Patch, Replace
from saescope.saes.registry import build

AT = "blocks.0.mlp_post"


class ToySAE:
    """relu((x - b_dec) @ W_enc + b_enc) @ W_dec + b_dec; counts its encodes."""

    def __init__(self, d_in=32, d_sae=48, dtype=torch.float32, device="cpu"):
        generator = torch.Generator().manual_seed(1)
        self.W_enc, self.W_dec = (
            torch.randn(a, b, generator=generator).to(device, dtype) / a**0.5 for a, b in ((d_in, d_sae), (d_sae, d_in))
        )
        self.b_enc, self.b_dec = (torch.randn(n, generator=generator).to(device, dtype) / 9 for n in (d_sae, d_in))
        self.d_in, self.d_sae, self.n_encodes = d_in, d_sae, 0

    def encode(self, x):
        assert x.dtype == self.W_enc.dtype
        self.n_encodes += 1
        return ((x - self.b_dec) @ self.W_enc + self.b_enc).relu()

    def decode(self, latents):
        return latents @ self.W_dec + self.b_dec


class NoWeights:
    """A dictionary without W_dec: the identity on coordinates, shifted."""

    d_sae = 32

    def encode(self, x):
        return x - 1

    def decode(self, latents):
        return latents + 1


@pytest.fixture(scope="module")
def sae():
    return ToySAE()


@pytest.fixture(scope="module")
def lm():
    return tiny.tiny_lm()


@pytest.fixture(scope="module")
def tokens():
    return (torch.arange(14).view(2, 7) * 17) % 267


def x_of(lm, tokens, *edits, mask=None):
    with torch.no_grad():
        return lm.run(tokens, mask=mask, read=[AT], edit=edits, stop_at=AT)[AT]


def test_replace_is_the_reconstruction_where_asked_and_nothing_elsewhere(lm, sae, tokens):
    x = x_of(lm, tokens)
    edited = x_of(lm, tokens, Replace(sae, at=AT))
    assert torch.allclose(edited[:, 1:], sae.decode(sae.encode(x))[:, 1:], atol=1e-6)
    assert torch.equal(edited[:, 0], x[:, 0])


def test_a_mask_is_taken_as_it_is(lm, sae, tokens):
    mask = torch.tensor([[1, 0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    x, edited = x_of(lm, tokens), x_of(lm, tokens, Replace(sae, at=AT, positions=mask))
    assert torch.equal((edited != x).any(-1), mask)
    assert torch.equal(edited[~mask], x[~mask])


def test_pads_are_not_touched(lm, sae, tokens):
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[0, 4:] = False
    x, edited = x_of(lm, tokens, mask=mask), x_of(lm, tokens, Ablate(None, at=AT), mask=mask)
    assert torch.equal(edited[0, 4:], x[0, 4:])
    assert edited[0, 1:4].abs().max() == 0


def test_zero_of_some_latents_takes_their_directions_out(lm, sae, tokens):
    x = x_of(lm, tokens)
    f = sae.encode(x)
    edited = x_of(lm, tokens, Ablate(sae, [3, 17], at=AT, positions=slice(None)))
    expected = x - f[..., [3, 17]] @ sae.W_dec[[3, 17]]
    assert torch.allclose(edited, expected, atol=1e-6)
    assert torch.equal(x_of(lm, tokens, Ablate(sae, 3, at=AT)), x_of(lm, tokens, Ablate(sae, [3], at=AT)))


def test_zero_of_all_latents_leaves_error_and_bias(lm, sae, tokens):
    x = x_of(lm, tokens)
    edited = x_of(lm, tokens, Ablate(sae, at=AT, positions=slice(None)))
    assert torch.allclose(edited, x - (sae.decode(sae.encode(x)) - sae.b_dec), atol=1e-6)


def test_ablating_the_only_active_latent_is_ablating_all(lm, sae, tokens):
    x = x_of(lm, tokens)
    only = ToySAE()
    only.b_enc = torch.full_like(only.b_enc, -100.0)
    only.b_enc[5] = 100.0
    assert (only.encode(x) > 0).sum(-1).max() == 1
    assert torch.allclose(x_of(lm, tokens, Ablate(only, 5, at=AT)), x_of(lm, tokens, Ablate(only, at=AT)), atol=1e-5)


def test_no_ids_and_silent_latents_change_no_bit(lm, sae, tokens):
    silent = ToySAE()
    silent.b_enc = silent.b_enc - 1000
    with torch.no_grad():
        clean = lm.run(tokens).logits
        for edit in (Ablate(sae, [], at=AT), Ablate(silent, [1, 2], at=AT), Ablate(silent, at=AT, positions=slice(None))):
            assert torch.equal(lm.run(tokens, edit=[edit]).logits, clean)


def test_mean_leaves_a_constant_latent_alone(lm, tokens):
    constant = ToySAE()
    constant.W_enc = constant.W_enc.clone()
    constant.W_enc[:, 4], constant.b_enc[4] = 0, 2.5
    f = constant.encode(x_of(lm, tokens))
    assert torch.equal(
        x_of(lm, tokens, Ablate(constant, 4, how="mean", reference=f.mean((0, 1)), at=AT)),
        x_of(lm, tokens),
    )


def test_mean_sets_the_reference(lm, sae, tokens):
    x = x_of(lm, tokens)
    f, reference = sae.encode(x), torch.linspace(0, 1, 48)
    edited = x_of(lm, tokens, Ablate(sae, [3, 17], "mean", AT, reference, slice(None)))
    assert torch.allclose(edited, x + (reference[[3, 17]] - f[..., [3, 17]]) @ sae.W_dec[[3, 17]], atol=1e-6)
    aligned = torch.rand(7, 48, generator=torch.Generator().manual_seed(0))
    edited = x_of(lm, tokens, Ablate(sae, [3, 17], "mean", AT, aligned, slice(None)))
    assert torch.allclose(edited, x + (aligned[:, [3, 17]] - f[..., [3, 17]]) @ sae.W_dec[[3, 17]], atol=1e-6)


def test_without_an_sae_x_itself_is_ablated(lm, tokens):
    x = x_of(lm, tokens)
    assert x_of(lm, tokens, Ablate(None, at=AT, positions=slice(None))).abs().max() == 0
    mean = x.mean((0, 1))
    assert torch.allclose(x_of(lm, tokens, Ablate(None, how="mean", at=AT, reference=mean))[:, 1:], mean.expand(2, 6, -1), atol=1e-6)
    one = x_of(lm, tokens, Ablate(None, 7, at=AT))
    assert one[:, 1:, 7].abs().max() == 0
    assert torch.equal(one[..., :7], x[..., :7])


def test_two_latents_in_one_edit_are_one_joint_delta(lm, sae, tokens):
    before = sae.n_encodes
    apart = x_of(lm, tokens, Ablate(sae, 3, at=AT), Ablate(sae, 17, at=AT))
    assert sae.n_encodes == before + 1
    assert torch.equal(apart, x_of(lm, tokens, Ablate(sae, [3, 17], at=AT)))


def test_different_positions_and_different_saes_are_not_joined(lm, sae, tokens):
    edits = [Ablate(sae, 3, at=AT, positions=2), Ablate(sae, 3, at=AT, positions=3), Ablate(ToySAE(), 3, at=AT, positions=2)]
    assert len({edit.key for edit in edits}) == 3
    twice = x_of(lm, tokens, Replace(sae, at=AT), Replace(sae, at=AT))
    assert torch.equal(twice, x_of(lm, tokens, Replace(sae, at=AT)))


def test_a_dictionary_without_weights(lm, tokens):
    x = x_of(lm, tokens)
    assert torch.allclose(x_of(lm, tokens, Replace(NoWeights(), at=AT)), x, atol=1e-6)
    edited = x_of(lm, tokens, Ablate(NoWeights(), [0], at=AT))
    assert torch.allclose(edited[:, 1:, 0], torch.ones(2, 6), atol=1e-6)
    assert torch.allclose(edited[..., 1:], x[..., 1:], atol=1e-6)


def test_a_reconstruction_without_error_gives_the_clean_logits(lm, tokens):
    class Identity(NoWeights):
        def encode(self, x):
            return x

        def decode(self, latents):
            return latents

    assert torch.equal(lm.run(tokens, edit=[Replace(Identity(), at=AT)]).logits, lm.run(tokens).logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_streams_are_encoded_in_float32(tokens, sae, dtype):
    lm = tiny.tiny_lm()
    lm.hf.to(dtype)
    for edit in (Replace(sae, at=AT), Ablate(sae, [1, 2], at=AT), Ablate(None, at=AT)):
        run = lm.run(tokens, read=[AT], edit=[edit])
        assert run.logits.dtype == run[AT].dtype == dtype
        assert run.logits.isfinite().all()


def test_edits_hold_in_hf_calls_and_aliases_name_the_point(lm, sae, tokens):
    edited = lm.run(tokens, edit=[Replace(sae, at=AT)]).logits
    with lm.edit(Replace(sae, at="blocks.0.mlp.hook_post")):
        assert torch.equal(lm.hf(tokens).logits, edited)
    assert not torch.equal(lm.hf(tokens).logits, edited)


def test_nothing_is_made_on_the_cpu(tokens):
    sae = ToySAE(device="meta")
    with tiny.meta_lm() as lm:
        reference = torch.zeros(48, device="meta")
        edits = [
            Replace(sae, at=AT),
            Ablate(sae, [1, 2], at=AT),
            Ablate(sae, at=AT),
            Ablate(sae, [3], "mean", AT, reference),
            Ablate(None, at=AT),
        ]
        run = lm.run(tokens.to("meta"), edit=edits, read=[AT])
        assert run[AT].device.type == run.logits.device.type == "meta"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "mean"}, "needs reference="),
        ({"how": "zero", "reference": torch.zeros(48)}, "takes none"),
        ({"how": "resampled"}, "how='resampled'"),
        ({"ids": [3, 48]}, r"id 48, but the latents are 0\.\.47"),
        ({"ids": [-1]}, r"id -1"),
        ({"at": ""}, 'give at="blocks'),
    ],
)
def test_wrong_ablations(sae, options, message):
    with pytest.raises(errors.ConfigError, match=message):
        Ablate(sae, **({"at": AT} | options))


# --- elsewhere ---------------------------------------------------------------------------------------------------------------------


def test_a_transcoder_replaces_one_place_by_what_it_makes_of_another(lm, tokens):
    transcoder = build("skip_transcoder", 16, 24, {"k": 3}, d_out=32)
    with torch.no_grad():
        transcoder.W_skip.fill_(0.1)
    read = "blocks.0.resid_mid"
    with torch.no_grad():
        clean = lm.run(tokens, read=[read, AT])
        run = lm.run(tokens, read=[read, AT], edit=[Replace(transcoder, at=AT, read=read, positions=slice(2, None))])
        expected = transcoder(clean[read])
    assert torch.equal(run[AT][:, 2:], expected[:, 2:])
    assert torch.equal(run[AT][:, :2], clean[AT][:, :2])
    assert torch.equal(run[read], clean[read])


def test_what_is_read_must_come_before(lm, tokens):
    transcoder = build("transcoder", 16, 24, {"k": 3}, d_out=32)
    with pytest.raises(
        errors.ConfigError, match=r"an edit at blocks\.0\.mlp_post reads blocks\.1\.resid_post, which the pass reaches later"
    ):
        lm.run(tokens, edit=[Replace(transcoder, at=AT, read="blocks.1.resid_post")])


def test_patch_puts_given_vectors_there(lm, tokens):
    value = torch.arange(2 * 7 * 32).view(2, 7, 32) / 100
    where = torch.zeros(2, 7, dtype=torch.bool)
    where[1, 3:] = True
    clean = x_of(lm, tokens)
    patched = x_of(lm, tokens, Patch(value, at=AT, positions=where))
    assert torch.equal(patched, torch.where(where[..., None], value, clean))
    twice = x_of(lm, tokens, Patch(value, at=AT, positions=where), Patch(-value, at=AT, positions=where))
    assert torch.equal(twice, torch.where(where[..., None], -value, clean))
    with pytest.raises(errors.ConfigError, match=r"Patch holds vectors of shape \[1, 7, 32\], but blocks\.0\.mlp_post has \[2, 7, 32\]"):
        x_of(lm, tokens, Patch(value[:1], at=AT))
