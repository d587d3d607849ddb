import pytest
import torch
from torch import nn
from transformers import DynamicCache

import tiny
from saescope import errors
from saescope.models import LanguageModel, Run
from saescope.models.hook_point import KINDS, HookPoint

FAMILIES = ["gpt2", "gpt_neo", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2"]


class Shift:
    """Adds -amount .. amount over the coordinates: LayerNorm would not feel a constant."""

    def __init__(self, at, amount=1.0, positions="all", key=None):
        self.at = self.reads = HookPoint.parse(at)
        self.amount, self.positions, self.key = amount, positions, key or id(self)

    def join(self, others):
        raise AssertionError("keys differ")

    def delta(self, x, where):
        return torch.linspace(-self.amount, self.amount, x.shape[-1], device=x.device, dtype=x.dtype).expand_as(x)


class Copy(Shift):
    """Adds what stands at `reads`."""

    def __init__(self, reads, at):
        super().__init__(at, positions=slice(None))
        self.reads = HookPoint.parse(reads)

    def delta(self, x, where):
        return x


def tokens_of(n_rows=2, n_positions=7):
    return (torch.arange(n_rows * n_positions).view(n_rows, n_positions) * 17) % 267


def n_hooks(lm):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in lm.hf.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_hugging_face_bit_for_bit(family):
    lm = tiny.tiny_lm(family)
    points = [info.at for info in lm.hook_points()]
    run = lm.run(tokens_of(), read=points)
    assert torch.equal(run.logits, lm.hf(tokens_of()).logits)
    assert list(run.acts) == points
    assert {at: x.shape for at, x in run.acts.items()} == {at: (2, 7, lm.width(at)) for at in points}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stream_is_that_of_hidden_states(family):
    lm = tiny.tiny_lm(family)
    run = lm.run(tokens_of(), read=["blocks.0.resid_pre", "blocks.1.resid_pre"])
    states = lm.hf(tokens_of(), output_hidden_states=True).hidden_states
    assert torch.equal(run["blocks.0.resid_pre"], states[0])
    assert torch.equal(run["blocks.1.resid_pre"], states[1])


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "llama", "gemma2"])
def test_hidden_states_show_an_edit(family):
    lm = tiny.tiny_lm(family)
    clean = lm.hf(tokens_of(), output_hidden_states=True).hidden_states
    with lm.edit(Shift("blocks.0.resid_post")):
        edited = lm.hf(tokens_of(), output_hidden_states=True).hidden_states
    assert torch.allclose(edited[1][:, 1:], clean[1][:, 1:] + torch.linspace(-1, 1, 16), atol=1e-5)
    assert torch.equal(edited[1][:, 0], clean[1][:, 0])
    assert torch.equal(edited[0], clean[0])


def test_reads_are_copies_that_later_in_place_writes_do_not_reach(tiny_lm):
    handle = tiny_lm.hf.model.layers[1].register_forward_pre_hook(lambda _, args: (args[0].zero_(), None)[1])
    try:
        run = tiny_lm.run(tokens_of(), read=["blocks.0.resid_post"])
    finally:
        handle.remove()
    assert run["blocks.0.resid_post"].abs().min() > 0
    assert not run["blocks.0.resid_post"].requires_grad


@pytest.mark.parametrize("at", [*(f"blocks.1.{kind}" for kind in KINDS), "model.layers.1.mlp.act_fn"])
def test_stopping_gives_the_same_activation_and_no_logits(tiny_lm, at):
    ran = []
    handle = tiny_lm.hf.lm_head.register_forward_hook(lambda *_: ran.append("lm_head"))
    try:
        stopped = tiny_lm.run(tokens_of(), read=[at], stop_at=at)
    finally:
        handle.remove()
    assert stopped.logits is None
    assert ran == []
    assert torch.equal(stopped[at], tiny_lm.run(tokens_of(), read=[at])[at])


def test_a_point_after_the_stop_is_an_error_not_a_gap(tiny_lm):
    with pytest.raises(errors.ConfigError, match=r"blocks.1.resid_pre was not reached: the pass stopped at blocks.0.mlp_out"):
        tiny_lm.run(tokens_of(), read=["blocks.0.resid_pre", "blocks.1.resid_pre"], stop_at="blocks.0.mlp_out")


def test_modules_that_hold_no_vectors_are_named(tiny_lm):
    with pytest.raises(errors.UnknownHookPoint, match=r"model holds a BaseModelOutputWithPast, not a tensor"):
        tiny_lm.run(tokens_of(), read=["model"])
    with pytest.raises(errors.ConfigError, match=r"model.layers was not reached: no forward pass calls that module"):
        tiny_lm.run(tokens_of(), read=["model.layers"])


def test_stop_after_is_the_last_point(tiny_lm):
    assert tiny_lm.stop_after(["blocks.1.attn_z", "blocks.0.resid_post"]) == HookPoint(1, "attn_z")
    assert tiny_lm.stop_after(["model.layers.0.mlp", "blocks.0.attn_z"]) == HookPoint(0, "resid_post")
    assert tiny_lm.stop_after(["model.layers.0.mlp"]) == HookPoint(None, "model.layers.0.mlp")
    assert tiny_lm.stop_after(["lm_head", "blocks.0.attn_z"]) is None
    assert tiny_lm.stop_after([]) is None


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("blocks.1.mlp.hook_post", "blocks.1.mlp_post"),
        ("blocks.0.attn.hook_z", "blocks.0.attn_z"),
        ("blocks.1.hook_resid_post", "blocks.1.resid_post"),
    ],
)
def test_aliases_read_the_same(tiny_lm, alias, name):
    run = tiny_lm.run(tokens_of(), read=[alias])
    assert list(run.acts) == [HookPoint.parse(name)]
    assert torch.equal(run[alias], tiny_lm.run(tokens_of(), read=[name])[name])


def test_module_paths_read_the_modules_output(tiny_lm):
    run = tiny_lm.run(tokens_of(), read=["model.layers.1.mlp", "blocks.1.mlp_out", "model.layers.1.self_attn", "blocks.1.attn_out"])
    assert torch.equal(run["model.layers.1.mlp"], run["blocks.1.mlp_out"])
    assert torch.equal(run["model.layers.1.self_attn"], run["blocks.1.attn_out"])
    assert tiny_lm.width("model.layers.1.mlp.act_fn") == 32


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "blocks.12.resid_post",
            r"'blocks.12.resid_post' for toy \(2 layers: 0..1\). Did you mean 'blocks.1.resid_post'\? List them: saescope hooks toy",
        ),
        ("blocks.1.resid_pots", r"Did you mean 'blocks.1.resid_post'"),
        ("blocks.1.mlp.hook_pots", r"Did you mean"),
        ("model.layers.1.mpl", r"Did you mean .*'model.layers.1.mlp'"),
        ("", r"'' for toy \(2 layers: 0..1\)"),
    ],
)
def test_unknown_points_name_the_nearest(name, message):
    lm = tiny.tiny_lm()
    lm.name = "toy"
    with pytest.raises(errors.UnknownHookPoint, match=message):
        lm.resolve(name)
    with pytest.raises(errors.UnknownHookPoint):
        lm.run(tokens_of(), read=[name])


# --- edits -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_of_nothing_is_bit_identical(family):
    lm = tiny.tiny_lm(family)
    for info in lm.hook_points():
        assert torch.equal(lm.run(tokens_of(), edit=[Shift(info.at, 0.0)]).logits, lm.run(tokens_of()).logits), info.at
        assert torch.equal(lm.run(tokens_of(), edit=[Shift(info.at, 1.0, positions=slice(0, 0))]).logits, lm.run(tokens_of()).logits), (
            info.at
        )


def test_a_read_shows_the_edit_and_the_model_goes_on_with_it(tiny_lm):
    at = "blocks.0.resid_post"
    clean = tiny_lm.run(tokens_of(), read=[at, "blocks.1.resid_pre"])
    run = tiny_lm.run(tokens_of(), read=[at, "blocks.1.resid_pre"], edit=[Shift(at, 1.0, slice(None)), Shift(at, 2.0, slice(None))])
    assert torch.allclose(run[at], clean[at] + torch.linspace(-3, 3, 16), atol=1e-5)
    assert torch.equal(run["blocks.1.resid_pre"], run[at])
    assert not torch.allclose(run.logits, clean.logits)


def test_an_edit_of_attention_leaves_the_rest_of_its_tuple_alone(tiny_lm):
    clean = tiny_lm.hf(tokens_of(), output_attentions=True).attentions
    with tiny_lm.edit(Shift("blocks.1.attn_out")):
        edited = tiny_lm.hf(tokens_of(), output_attentions=True).attentions
    assert all(torch.equal(a, b) for a, b in zip(clean, edited, strict=True))


def test_an_edit_may_read_elsewhere_than_it_writes(tiny_lm):
    clean = tiny_lm.run(tokens_of(), read=["blocks.0.resid_mid", "blocks.0.mlp_out"])
    run = tiny_lm.run(tokens_of(), read=["blocks.0.mlp_out"], edit=[Copy("blocks.0.resid_mid", "blocks.0.mlp_out")])
    assert torch.equal(run["blocks.0.mlp_out"], clean["blocks.0.mlp_out"] + clean["blocks.0.resid_mid"])


def test_standing_edits_hold_in_run_and_in_hf_and_end_with_the_block(tiny_lm):
    at, shift = "blocks.0.resid_post", Shift("blocks.0.resid_post")
    clean, edited = tiny_lm.run(tokens_of(), read=[at]), tiny_lm.run(tokens_of(), read=[at], edit=[shift])
    with tiny_lm.edit(shift) as lm:
        assert torch.equal(lm.hf(tokens_of()).logits, edited.logits)
        inside = lm.run(tokens_of(), read=[at])
        assert torch.equal(inside.logits, edited.logits)
        assert torch.equal(inside[at], edited[at])
        assert torch.equal(lm.hf(tokens_of()).logits, edited.logits)
    assert torch.equal(tiny_lm.hf(tokens_of()).logits, clean.logits)


def test_blocks_of_edits_nest(tiny_lm):
    before = n_hooks(tiny_lm)
    one, two = Shift("blocks.0.resid_post", 1.0), Shift("blocks.0.resid_post", 2.0)
    both = tiny_lm.run(tokens_of(), edit=[one, two]).logits
    with tiny_lm.edit(one):
        with tiny_lm.edit(two):
            assert torch.equal(tiny_lm.hf(tokens_of()).logits, both)
            assert torch.equal(tiny_lm.run(tokens_of()).logits, both)
        assert torch.equal(tiny_lm.hf(tokens_of()).logits, tiny_lm.run(tokens_of()).logits)
        assert not torch.equal(tiny_lm.hf(tokens_of()).logits, both)
    assert n_hooks(tiny_lm) == before


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "qwen3"])
@pytest.mark.parametrize("positions", ["all", 2, slice(1, 6)])
def test_greedy_text_is_the_same_with_and_without_cache(family, positions):
    lm = tiny.tiny_lm(family)
    lm.hf.double()
    prompt = tokens_of(2, 4)
    with lm.edit(Shift("blocks.0.resid_post", 3.0, positions)):
        texts = [greedy(lm, prompt, cache) for cache in (True, False)]
    assert torch.equal(*texts)
    assert not torch.equal(texts[0], greedy(lm, prompt, True)) or positions != "all"


def greedy(lm, prompt, use_cache):
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    return lm.hf.generate(prompt, attention_mask=torch.ones_like(prompt), use_cache=use_cache, **options)


def test_a_cache_carries_the_past_and_columns_stay_absolute():
    lm = tiny.tiny_lm("gpt2")
    lm.hf.double()
    tokens, at = tokens_of(2, 8), "blocks.0.resid_post"
    shift = Shift(at, 0.5, positions=slice(3, 6))
    whole = lm.run(tokens, edit=[shift], read=[at])
    cache = DynamicCache(config=lm.hf.config)
    parts = [lm.run(part, edit=[shift], read=[at], cache=cache) for part in (tokens[:, :4], tokens[:, 4:5], tokens[:, 5:])]
    assert torch.allclose(torch.cat([part.logits for part in parts], 1), whole.logits, atol=1e-12)
    assert torch.allclose(torch.cat([part[at] for part in parts], 1), whole[at], atol=1e-12)


def test_handles_are_gone_after_an_exception(tiny_lm):
    class Broken(Shift):
        def delta(self, x, where):
            raise ValueError("broken")

    before = n_hooks(tiny_lm)
    with pytest.raises(ValueError, match="broken"):
        tiny_lm.run(tokens_of(), read=["blocks.1.mlp_post"], edit=[Broken("blocks.0.mlp_post")])
    assert n_hooks(tiny_lm) == before
    with pytest.raises(ValueError, match="broken"), tiny_lm.edit(Broken("blocks.0.mlp_post")):
        tiny_lm.hf(tokens_of())
    assert n_hooks(tiny_lm) == before
    tiny_lm.run(tokens_of())


# --- padding -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_rows_are_as_they_are_alone(family, side):
    lm = tiny.tiny_lm(family)
    rows, at = [tokens_of(1, 5)[0], tokens_of(1, 8)[0] + 3], "blocks.1.mlp_post"
    mask = torch.zeros(2, 8, dtype=torch.bool)
    tokens = torch.zeros(2, 8, dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(8 - len(row), 8) if side == "left" else slice(len(row))
        mask[i, place], tokens[i, place] = True, row
    shift = Shift("blocks.0.resid_post", 0.5, positions=1)
    run = lm.run(tokens, mask=mask, read=[at], edit=[shift])
    for i, row in enumerate(rows):
        alone = lm.run(row[None], read=[at], edit=[shift])
        assert torch.allclose(run.logits[i][mask[i]], alone.logits[0], atol=1e-5)
        assert torch.allclose(run[at][i][mask[i]], alone[at][0], atol=1e-5)


def test_a_mask_of_another_shape_is_refused(tiny_lm):
    with pytest.raises(errors.ConfigError, match=r"mask is \[2, 6\], but the tokens .* are \[2, 7\]"):
        tiny_lm.run(tokens_of(), mask=torch.ones(2, 6, dtype=torch.bool))


# --- gradients, memory, devices ----------------------------------------------------------------------------------------------------


def test_only_an_edit_makes_a_graph(tiny_lm):
    leaf = torch.zeros(16, requires_grad=True)

    class Leaf(Shift):
        def delta(self, x, where):
            return leaf.expand_as(x)

    assert not tiny_lm.run(tokens_of(), read=["blocks.1.resid_post"]).logits.requires_grad
    run = tiny_lm.run(tokens_of(), read=["blocks.1.resid_post"], edit=[Leaf("blocks.0.resid_post")])
    assert run["blocks.1.resid_post"].requires_grad
    (gradient,) = torch.autograd.grad(run.logits.sum(), leaf)
    assert gradient.abs().sum() > 0
    with torch.no_grad():
        assert not tiny_lm.run(tokens_of(), edit=[Leaf("blocks.0.resid_post")]).logits.requires_grad


def test_out_of_memory_halves_the_batch_and_remembers(caplog):
    lm = tiny.tiny_lm()
    tokens, at = tokens_of(8, 6), "blocks.0.resid_post"
    positions = torch.rand(8, 6) > 0.5
    edit = Shift(at, 1.0, positions)
    with torch.no_grad():
        whole = lm.run(tokens, read=[at], edit=[edit])
    sizes = []

    def full(_, args, kwargs):
        sizes.append(len(args[0]))
        if len(args[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    lm.hf.register_forward_pre_hook(full, with_kwargs=True)
    with torch.no_grad():
        run = lm.run(tokens, read=[at], edit=[edit])
        lm.run(tokens[:3], read=[at])
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 1]
    assert torch.allclose(run.logits, whole.logits, atol=1e-5)
    assert torch.allclose(run[at], whole[at], atol=1e-5)
    assert len([record for record in caplog.records if "out of memory" in record.message]) == 1


def test_out_of_memory_under_grad_with_an_edit_is_the_callers():
    lm = tiny.tiny_lm()

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    lm.hf.register_forward_pre_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        lm.run(tokens_of(), edit=[Shift("blocks.0.resid_post")])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_nothing_on_the_way_makes_a_tensor_on_the_cpu(family):
    with tiny.meta_lm(family) as lm:
        tokens = tokens_of().to("meta")
        mask = torch.ones(2, 7, dtype=torch.bool, device="meta")
        edits = [Shift("blocks.0.mlp_post"), Shift("blocks.0.attn_out", positions=-1), Shift("blocks.1.resid_pre", positions=slice(1, -1))]
        edits.append(Shift("blocks.1.resid_post", positions=mask))
        run = lm.run(tokens, mask=mask, read=[info.at for info in lm.hook_points()], edit=edits)
        assert run.logits.device.type == "meta"
        assert {x.device.type for x in run.acts.values()} == {"meta"}
        assert lm.hook_points()[0].check.startswith("not checked")
        assert lm.width("blocks.1.mlp_post") == 32


# --- what may be wrapped -------------------------------------------------------------------------------------------------------------


class OwnBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.mixer = nn.LayerNorm(8), nn.Linear(8, 8)
        self.second, self.inner, self.outer = nn.LayerNorm(8), nn.Linear(8, 12), nn.Linear(12, 8)

    def forward(self, x):
        x = x + self.mixer(self.first(x).cumsum(1))
        return x + self.outer(self.inner(self.second(x)).relu())


class OwnModel(nn.Module):
    """A class of the user's own: no config, no options, logits as a tensor."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(300, 8)
        self.stack = nn.Sequential(OwnBlock(), OwnBlock(), OwnBlock())
        self.head = nn.Linear(8, 300)

    def forward(self, tokens):
        return self.head(self.stack(self.embed(tokens)))


def test_a_users_own_class_with_a_module_map():
    names = {"blocks": "stack", "attn_out": "mixer", "attn_z": "mixer", "mlp_out": "outer", "mlp_post": "outer", "resid_mid": "second"}
    lm = LanguageModel(OwnModel(), tiny.tiny_tokenizer(), module_map=names)
    assert lm.refused == {}
    assert (lm.n_layers, lm.d_model, lm.d_vocab, lm.context_length, lm.name) == (3, 8, 300, 32, "OwnModel")
    run = lm.run(tokens_of(), read=["blocks.2.mlp_post"], mask=torch.ones(2, 7, dtype=torch.bool))
    assert run["blocks.2.mlp_post"].shape == (2, 7, 12)
    assert torch.equal(run.logits, lm.hf(tokens_of()))
    assert lm.fingerprint["model_type"] == "OwnModel"


def test_facts_of_a_model(tiny_lm):
    assert isinstance(tiny_lm.run(tokens_of()), Run)
    assert (tiny_lm.n_layers, tiny_lm.d_model, tiny_lm.context_length) == (2, 16, 32)
    assert tiny_lm.d_vocab == tiny_lm.tokenizer.vocab_size
    assert tiny_lm.width("blocks.0.mlp_post") == 32
    assert tiny_lm.is_last_block("blocks.1.mlp_post")
    assert tiny_lm.is_last_block("model.layers.1.mlp")
    assert not tiny_lm.is_last_block("blocks.0.resid_post")
    assert not tiny_lm.is_last_block("lm_head")
    assert not any(p.requires_grad for p in tiny_lm.hf.parameters())
    assert {"model", "revision", "model_type", "weights_sha256", "tokenizer_sha256"} == set(tiny_lm.fingerprint)


def test_a_name_is_never_a_path():
    hf = tiny.tiny_model("llama")
    hf.config._name_or_path = "/home/somebody/models/mine"
    assert LanguageModel(hf, tiny.tiny_tokenizer()).fingerprint["model"] == "mine"


def test_a_tokenizer_with_more_ids_than_the_model_is_refused():
    with pytest.raises(errors.ModelError, match=r"tokenizer has 267 ids, but LlamaForCausalLM embeds only 64"):
        LanguageModel(tiny.tiny_model("llama", vocab_size=64), tiny.tiny_tokenizer())


def test_a_compiled_model_is_refused_before_and_after():
    with pytest.raises(errors.ModelError, match=r"torch.compile"):
        LanguageModel(torch.compile(tiny.tiny_model("llama"), backend="eager"), tiny.tiny_tokenizer())
    lm = tiny.tiny_lm()
    lm.hf.model._compiled_call_impl = lambda *_: None
    with pytest.raises(errors.ModelError, match=r"torch.compile"):
        lm.run(tokens_of())
