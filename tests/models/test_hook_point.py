import pytest

from saescope.models.hook_point import KINDS, HookPoint

ALIASES = {
    "blocks.6.mlp.hook_post": HookPoint(6, "mlp_post"),
    "blocks.5.attn.hook_z": HookPoint(5, "attn_z"),
    "blocks.5.hook_resid_post": HookPoint(5, "resid_post"),
    "blocks.0.hook_resid_pre": HookPoint(0, "resid_pre"),
    "blocks.11.hook_resid_mid": HookPoint(11, "resid_mid"),
    "blocks.1.hook_attn_out": HookPoint(1, "attn_out"),
    "blocks.1.hook_mlp_out": HookPoint(1, "mlp_out"),
}


@pytest.mark.parametrize(("name", "point"), ALIASES.items())
def test_names_of_transformer_lens(name, point):
    assert HookPoint.parse(name) == point


@pytest.mark.parametrize("kind", KINDS)
def test_format_then_parse_is_the_identity(kind):
    point = HookPoint(12, kind)
    assert str(point) == f"blocks.12.{kind}"
    assert HookPoint.parse(str(point)) == point
    assert HookPoint.parse(point) is point


@pytest.mark.parametrize("path", ["transformer.h.3.mlp", "blocks.3.mlp", "blocks.x.mlp_post", "lm_head"])
def test_anything_else_is_a_module_path(path):
    assert HookPoint.parse(path) == HookPoint(None, path)
    assert str(HookPoint.parse(path)) == path


def test_sorted_is_the_order_of_the_forward_pass_and_paths_come_last():
    points = [HookPoint(layer, kind) for layer in (0, 1, 10) for kind in KINDS]
    points += [HookPoint(None, "a"), HookPoint(None, "b")]
    backwards = points[::-1]
    assert sorted(backwards) == points
    assert max(HookPoint(2, "resid_post"), HookPoint(10, "resid_pre")) == HookPoint(10, "resid_pre")
