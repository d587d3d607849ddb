import pytest
from torch import nn

import tiny
from saescope import errors
from saescope.models import module_map
from saescope.models.hook_point import HookPoint
from saescope.models.module_map import TABLE, ModuleMap


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "llama", "mistral", "qwen2", "qwen3", "gemma"])
def test_the_probe_finds_what_the_table_says(family):
    hf = tiny.tiny_model(family)
    assert module_map.probe(hf) == module_map.module_map_of(hf)


def test_gpt_neox_has_a_stream_between_attention_and_mlp_only_if_it_is_not_parallel():
    parallel = module_map.module_map_of(tiny.tiny_model("gpt_neox"))
    sequential = module_map.module_map_of(tiny.tiny_model("gpt_neox", use_parallel_residual=False))
    assert parallel.resid_mid is None
    assert sequential.resid_mid == "post_attention_layernorm"


def test_the_probe_takes_projections_by_width_not_by_order():
    # phi3 defines qkv_proj after o_proj
    assert "phi3" not in TABLE
    assert module_map.module_map_of(tiny.tiny_model("phi3")).attn_z == "self_attn.o_proj"


def test_a_list_inside_a_block_is_no_list_of_blocks():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(4)
            self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(Block() for _ in range(2))
            self.final_norm = nn.LayerNorm(4)

    found = module_map.probe(Model())
    assert (found.blocks, found.final_norm, found.mlp_out) == ("parts", "final_norm", None)


def test_a_model_without_blocks_is_refused_with_the_way_out():
    with pytest.raises(errors.UnknownModel, match=r"no list of identical blocks .* Linear.*module_map=\{"):
        module_map.probe(nn.Linear(2, 2))


def test_sites_are_the_modules_that_the_map_names():
    hf = tiny.tiny_model("gpt2")
    found = module_map.sites(hf, TABLE["gpt2"])
    assert found[HookPoint(1, "mlp_post")].module is hf.transformer.h[1].mlp.c_proj
    assert found[HookPoint(1, "mlp_post")].side == "input"
    assert found[HookPoint(0, "attn_out")].side == "output"
    assert list(found) == sorted(found)
    assert len(found) == 2 * 7


def test_a_wrapper_may_put_a_prefix_before_the_paths():
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.base_model = inner

    hf = tiny.tiny_model("llama")
    assert module_map.find(Wrapper(hf), "model.layers") == "base_model.model.layers"
    assert module_map.find(hf, "model.layers") == "model.layers"
    assert module_map.find(hf, "model.blocks") is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"blocks": "model.layers", "mlp_outt": "mlp"}, "'mlp_outt'.*Did you mean 'mlp_out'"),
        ({"mlp_out": "mlp"}, 'module_map needs "blocks"'),
    ],
)
def test_a_wrong_map_names_the_fault(given, message):
    with pytest.raises(errors.ConfigError, match=message):
        ModuleMap.of(given)


def test_a_map_whose_blocks_lead_nowhere_is_refused():
    with pytest.raises(errors.UnknownModel, match=r"no list of blocks at 'model.blocks'"):
        module_map.sites(tiny.tiny_model("llama"), ModuleMap(blocks="model.blocks"))
