import pytest
import torch

import tiny
from saescope import errors
from saescope.interventions import logit_effects
from saescope.models import HookPoint, LanguageModel
from saescope.models.module_map import TABLE

FAMILIES = ["gpt2", "gpt_neo", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"]
MEAN_FREE = {"gpt2", "gpt_neo", "gpt_neox"}  # their norms are LayerNorms


def directions(width, n=5):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def sigma(family, x):
    """The scale by which the final norm divides."""
    centred = x - x.mean(-1, keepdim=True) if family in MEAN_FREE else x
    return centred.square().mean(-1, keepdim=True).sqrt()


def exact_lm(family):
    """float64, a negligible epsilon, no soft-cap: what is left is the linear path and the norm's scale."""
    small = (
        {"layer_norm_epsilon": 1e-30}
        if family in ("gpt2", "gpt_neo")
        else {"layer_norm_eps": 1e-30}
        if family == "gpt_neox"
        else {"rms_norm_eps": 1e-30}
    )
    caps = {"final_logit_softcapping": None} if family.startswith("gemma") else {}
    return LanguageModel(tiny.tiny_model(family, **small, **caps).double(), tiny.tiny_tokenizer())


def moved_logits(family, lm, added):
    """Centred change of the logits when `added` [n d] enters the last residual stream, the final norm's scale frozen."""
    x = lm.run(torch.arange(6)[None], read=["blocks.1.resid_post"])["blocks.1.resid_post"][0, -1]
    scale = sigma(family, x)

    def logits(stream):
        # The norm as a function of a stream of given scale: normed, then scaled back to the frozen one.
        return lm.unembedding(lm.final_norm(stream) * sigma(family, stream) / scale)

    change = logits(x + added) - logits(x[None])
    return (change - change.mean(-1, keepdim=True)) * scale


@pytest.mark.parametrize("family", FAMILIES)
def test_at_the_last_stream_it_is_the_exact_change_under_a_frozen_norm(family):
    lm, w = exact_lm(family), directions(16)
    # RMSNorms of transformers compute in float32 whatever comes in; LayerNorms do not. A bias of the norm cancels only at one scale.
    tolerance = 1e-10 if family in MEAN_FREE else 1e-5
    norm = lm.final_norm
    if getattr(norm, "bias", None) is not None:
        norm.bias.data.zero_()
    effects = logit_effects(lm, w, "blocks.1.resid_post")
    assert effects.dtype == torch.float64
    assert torch.allclose(effects, moved_logits(family, lm, w), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "projection"), [("mlp_post", "mlp_out"), ("attn_z", "attn_out")])
def test_hidden_points_go_through_their_projection(family, kind, projection):
    lm = exact_lm(family)
    at, out = HookPoint(1, kind), HookPoint(1, projection)
    w = directions(lm.width(at))
    module = lm.site(at).module
    written = module(w) - module(torch.zeros_like(w))
    if family in ("gemma2", "gemma3_text"):
        written = written * (1 + lm.site(out).module.weight)  # the post-norm's gain
    assert torch.allclose(logit_effects(lm, w, at), logit_effects(lm, written, out), atol=1e-6)
    assert torch.allclose(logit_effects(lm, written, out), logit_effects(lm, written, "blocks.0.resid_pre"))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_a_write_of_the_last_mlp_moves_the_logits_by_it(family):
    """The definition, end to end: run with x + small * w at mlp_post of the last block, and undo the norm's change of scale."""
    lm, at, step = exact_lm(family), "blocks.1.mlp_post", 1e-6
    w = directions(32, 1)[0]

    class Add:
        key, positions = "add", slice(-1, None)
        reads = HookPoint.parse(at)

        def __init__(self):
            self.at = self.reads

        def delta(self, x, where):
            return (step * w).expand_as(x)

    read = ["blocks.1.resid_post"]
    tokens = torch.arange(6)[None]
    clean, edited = lm.run(tokens, read=read), lm.run(tokens, read=read, edit=[Add()])
    bias = lm.unembedding(lm.final_norm.bias) if getattr(lm.final_norm, "bias", None) is not None else 0
    scaled = [(run.logits[0, -1] - bias) * sigma(family, run["blocks.1.resid_post"][0, -1]) for run in (clean, edited)]
    change = (scaled[1] - scaled[0]) / step
    effects = logit_effects(lm, w[None], at)[0]
    atol = 1e-7 if family in MEAN_FREE else 0.2  # float32 inside RMSNorm, divided by the step
    assert torch.allclose(change - change.mean(), effects, atol=max(atol, 1e-6) * effects.abs().max().item())


def test_it_is_linear_and_centred(tiny_lm):
    a, b = directions(32, 2).float()
    together, apart = (
        logit_effects(tiny_lm, (a + 2 * b)[None], "blocks.0.mlp_post"),
        logit_effects(tiny_lm, torch.stack([a, b]), "blocks.0.mlp_post"),
    )
    assert torch.allclose(together[0], apart[0] + 2 * apart[1], atol=1e-5)
    assert apart.mean(-1).abs().max() < 1e-5
    assert apart.shape == (2, tiny_lm.d_vocab)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gpt_neox"])
def test_half_precision_models_are_computed_in_float32(family):
    lm = tiny.tiny_lm(family)
    w = directions(32).float()
    exact = logit_effects(lm, w, "blocks.1.mlp_post")
    half = LanguageModel(tiny.tiny_model(family).bfloat16(), tiny.tiny_tokenizer())
    effects = logit_effects(half, w.bfloat16(), "blocks.1.mlp_post")
    assert effects.dtype == torch.float32
    assert ((effects - exact).norm() / exact.norm()) < 0.02


def test_wrapped_projections_are_measured():
    class Lora(torch.nn.Module):
        """A projection with an addition that its own weight does not show."""

        def __init__(self, base):
            super().__init__()
            self.base = base
            self.extra = torch.nn.Parameter(torch.randn(16, 32, generator=torch.Generator().manual_seed(0)))

        @property
        def weight(self):
            return self.base.weight

        def forward(self, x):
            return self.base(x) + x @ self.extra.T + 1

    hf = tiny.tiny_model("llama")
    merged = tiny.tiny_model("llama")
    wrapped = Lora(hf.model.layers[1].mlp.down_proj)
    hf.model.layers[1].mlp.down_proj = wrapped
    merged.model.layers[1].mlp.down_proj.weight.data += wrapped.extra.data
    w = directions(32).float()
    at = "blocks.1.mlp_post"
    effects = [logit_effects(LanguageModel(model, tiny.tiny_tokenizer(), module_map=TABLE["llama"]), w, at) for model in (hf, merged)]
    assert torch.allclose(*effects, atol=1e-4)


def test_standing_edits_do_not_see_the_directions():
    from saescope.interventions import Ablate

    lm, w = tiny.tiny_lm("gpt2"), directions(32).float()
    with lm.edit(Ablate(None, at="blocks.1.mlp_post", positions=slice(None)), Ablate(None, at="transformer.ln_f", positions=slice(None))):
        inside = logit_effects(lm, w, "blocks.1.mlp_post")
    assert torch.equal(inside, logit_effects(lm, w, "blocks.1.mlp_post"))


def test_wrong_widths_and_unknown_ways(tiny_lm):
    with pytest.raises(errors.WidthMismatch, match=r"directions are 16 wide, but blocks.1.mlp_post of .* is 32 wide"):
        logit_effects(tiny_lm, directions(16), "blocks.1.mlp_post")
    with pytest.raises(errors.UnknownHookPoint, match="name a point of a block"):
        logit_effects(tiny_lm, directions(16), "model.layers.1.mlp")
    with pytest.raises(
        errors.UnknownHookPoint, match=r"blocks.1.mlp_post of .* go through blocks.1.mlp_out, which cannot be used: .*off by"
    ):
        logit_effects(tiny.tiny_lm("olmo2"), directions(32), "blocks.1.mlp_post")


def test_on_the_device_of_the_model():
    with tiny.meta_lm("gpt2") as lm:
        assert logit_effects(lm, directions(32).to("meta"), "blocks.1.mlp_post").device.type == "meta"


@pytest.mark.parametrize("width", [4, 5, 7, 16])
def test_the_gain_of_a_norm_is_measured_whatever_its_width(width):
    from saescope.interventions.effects import _frozen_norm

    w, gain = directions(width), torch.linspace(0.5, 2, width, dtype=torch.float64)
    layer_norm = torch.nn.LayerNorm(width, dtype=torch.float64)
    rms_norm = torch.nn.RMSNorm(width, dtype=torch.float64, eps=1e-6)
    layer_norm.weight.data, layer_norm.bias.data, rms_norm.weight.data = gain, gain.flip(0), gain
    assert torch.allclose(_frozen_norm(layer_norm, w), (w - w.mean(-1, keepdim=True)) * gain, atol=1e-9)
    assert torch.allclose(_frozen_norm(rms_norm, w), w * gain, atol=1e-9)
