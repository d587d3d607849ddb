import pytest
import torch

import tiny
from saescope import errors
from saescope.models import LanguageModel
from saescope.models.module_map import TABLE

IN_TABLE = ["gpt2", "gpt_neo", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"]
PROBED = ["olmo", "stablelm", "phi3", "phi", "falcon", "gptj", "mixtral", "starcoder2"]
LLAMA = vars(TABLE["llama"])


def kinds(lm) -> set[str]:
    return {info.at.kind for info in lm.hook_points()}


def llama_with(**names):
    return LanguageModel(tiny.tiny_model("llama"), tiny.tiny_tokenizer(), module_map=LLAMA | names)


@pytest.mark.parametrize("family", IN_TABLE)
def test_every_point_of_the_table_passes(family):
    assert family in TABLE
    lm = tiny.tiny_lm(family)
    assert lm.refused == {}
    assert {"resid_pre", "resid_post", "attn_z", "attn_out", "mlp_post", "mlp_out"} <= kinds(lm)
    assert ("resid_mid" in kinds(lm)) == (family != "gpt_neox")
    assert all(info.check.startswith("ok") for info in lm.hook_points())


def test_sequential_gpt_neox_has_resid_mid():
    lm = tiny.tiny_lm("gpt_neox", use_parallel_residual=False)
    assert lm.refused == {}
    assert "resid_mid" in kinds(lm)


@pytest.mark.parametrize("family", PROBED)
def test_probed_families_pass(family):
    assert family not in TABLE
    lm = tiny.tiny_lm(family)
    assert lm.refused == {}
    assert {"resid_pre", "resid_post", "attn_z", "attn_out", "mlp_out"} <= kinds(lm)


def test_bloom_is_refused_by_kind_and_the_stream_stays_usable():
    # Its attention and MLP modules add the stream themselves.
    lm = tiny.tiny_lm("bloom")
    assert set(lm.refused) == {"attn_z", "attn_out", "resid_mid", "mlp_post", "mlp_out"}
    assert "off by" in lm.refused["attn_out"]
    assert kinds(lm) == {"resid_pre", "resid_post"}
    with pytest.raises(
        errors.UnknownHookPoint, match=r"'blocks.0.attn_out' cannot be used .*resid_mid == resid_pre \+ attn_out.*off by .* eps"
    ):
        lm.resolve("blocks.0.attn_out")
    tokens = torch.arange(10)[None]
    assert torch.equal(
        lm.run(tokens, read=["blocks.1.resid_pre"])["blocks.1.resid_pre"], lm.hf(tokens, output_hidden_states=True).hidden_states[1]
    )


def test_post_norms_are_seen():
    # olmo2 normalises what attention and MLP write: the bare modules' outputs are not what is added.
    assert {"attn_out", "mlp_out"} <= set(tiny.tiny_lm("olmo2").refused)
    lm = LanguageModel(
        tiny.tiny_model("olmo2"),
        tiny.tiny_tokenizer(),
        module_map=LLAMA | {"attn_out": "post_attention_layernorm", "mlp_out": "post_feedforward_layernorm", "resid_mid": "mlp"},
    )
    assert lm.refused == {}
    assert len(kinds(lm)) == 7


def test_gemma2_with_the_map_of_llama_is_refused():
    lm = LanguageModel(tiny.tiny_model("gemma2"), tiny.tiny_tokenizer(), module_map=LLAMA)
    assert {"attn_out", "mlp_out", "resid_mid"} <= set(lm.refused)


def test_a_model_with_no_attention_offers_its_stream():
    assert kinds(tiny.tiny_lm("mamba")) == {"resid_pre", "resid_post"}


def test_attention_and_mlp_swapped_are_seen_though_their_sum_is_right():
    lm = llama_with(attn_out="mlp", mlp_out="self_attn", attn_z="mlp.down_proj", mlp_post="self_attn.o_proj", resid_mid=None)
    assert set(lm.refused) == {"attn_out", "mlp_out", "mlp_post"}
    assert "swapped" in lm.refused["mlp_out"]


def test_a_wrong_stream_between_is_refused_alone():
    assert set(llama_with(resid_mid="input_layernorm").refused) == {"resid_mid"}


def test_a_wrong_projection_is_refused_alone():
    assert set(llama_with(mlp_post="mlp.up_proj").refused) == {"mlp_post"}
    assert set(llama_with(attn_z="self_attn.q_proj").refused) == {"attn_z"}


def test_the_half_at_fault_is_named():
    assert set(llama_with(mlp_out="mlp.act_fn").refused) == {"mlp_out", "mlp_post"}
    assert set(llama_with(attn_out="input_layernorm").refused) == {"attn_out", "attn_z"}


def test_a_small_multiplier_is_seen():
    # a fault of 1 % hides behind nothing: the tolerance is elementwise
    hf = tiny.tiny_model("granite", residual_multiplier=0.99)
    assert set(LanguageModel(hf, tiny.tiny_tokenizer()).refused) >= {"attn_out", "mlp_out"}


def test_blocks_that_do_not_follow_each_other_leave_nothing():
    hf = tiny.tiny_model("llama")
    for layer in hf.model.layers:
        layer.register_forward_hook(lambda _, args, output: output * 1.5)
    # ours come first, so the library's view of the stream is not ours
    lm = LanguageModel(hf, tiny.tiny_tokenizer())
    assert {"resid_pre", "resid_post"} <= set(lm.refused)


def test_a_map_that_fits_nowhere_explains_module_map():
    hf = tiny.tiny_model("llama")
    hf.model.layers[0].register_forward_hook(lambda _, args, output: output * 1.5)
    with pytest.raises(errors.UnknownModel, match=r"resid_pre: .* off by .* module_map=\{"):
        LanguageModel(hf, tiny.tiny_tokenizer(), module_map={"blocks": "model.layers"})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "gemma2"])
def test_half_precision_passes(family, dtype):
    lm = LanguageModel(tiny.tiny_model(family).to(dtype), tiny.tiny_tokenizer())
    assert lm.refused == {}
    assert lm.dtype == dtype


def test_a_model_that_overflows_says_so():
    hf = tiny.tiny_model("llama")
    hf.model.layers[0].mlp.down_proj.weight.data *= torch.inf
    with pytest.raises(errors.NonFiniteActivations, match=r"NaN or Inf at blocks.0.mlp_out in torch.float32.*--dtype"):
        LanguageModel(hf, tiny.tiny_tokenizer())


def test_the_check_leaves_no_hooks_and_changes_nothing():
    hf = tiny.tiny_model("gpt2")
    tokens = torch.arange(12).view(2, 6)
    before = hf(tokens).logits
    n_before = n_hooks(hf)
    lm = LanguageModel(hf, tiny.tiny_tokenizer())
    assert n_hooks(hf) == n_before
    assert torch.equal(lm.hf(tokens).logits, before)


def n_hooks(hf) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in hf.modules())


@pytest.mark.real
@pytest.mark.parametrize("name", ["stories260K", "stories3M"])
def test_real_models_pass(real, name):
    lm = LanguageModel.load(real / "models" / name, device="cpu")
    assert lm.refused == {}
    assert len(lm.hook_points()) == 7 * lm.n_layers
