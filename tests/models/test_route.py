import pytest
import torch

from saescope import errors
from saescope.models.hook_point import HookPoint
from saescope.models.route import Route, expand, side_by_side

MID, OUT = HookPoint(1, "resid_mid"), HookPoint(1, "mlp_out")
FIRST, LAST = HookPoint(0, "resid_post"), HookPoint(1, "resid_post")


def test_one_hook_point_is_read_and_written(tiny_lm):
    for at in ("blocks.1.mlp_post", "blocks.1.mlp.hook_post", HookPoint(1, "mlp_post")):
        route = Route.of(tiny_lm, at)
        assert route == Route((HookPoint(1, "mlp_post"),))
        assert (route.only, route.writes, route.d_in(tiny_lm), route.d_out(tiny_lm)) == (route.reads[0], route.reads, 32, 32)
        assert str(route) == "blocks.1.mlp_post"
        assert Route.of(tiny_lm, route) == route


def test_a_target_is_what_is_written(tiny_lm):
    route = Route.of(tiny_lm, "blocks.1.mlp_post", "blocks.1.mlp.hook_post")
    assert route.points == (HookPoint(1, "mlp_post"),)
    route = Route.of(tiny_lm, "blocks.1.resid_mid", "blocks.1.mlp_post")
    assert (route.only, route.writes) == (None, (HookPoint(1, "mlp_post"),))
    assert route.points == (MID, HookPoint(1, "mlp_post"))
    assert (route.d_in(tiny_lm), route.d_out(tiny_lm)) == (16, 32)
    assert str(route) == "blocks.1.resid_mid -> blocks.1.mlp_post"
    assert route.input == Route((MID,))
    assert Route.of(tiny_lm, Route((MID,), OUT)) == Route((MID,), OUT)


def test_several_are_in_the_order_of_the_pass_each_once(tiny_lm):
    for at in ("blocks.1.resid_post, blocks.0.resid_post", "blocks.*.resid_post", "blocks.*.resid_post,blocks.0.resid_post"):
        route = Route.of(tiny_lm, at)
        assert route.reads == route.writes == (FIRST, LAST)
        assert route.only is None
        assert route.widths(tiny_lm) == (16, 16)
        assert route.slices(tiny_lm) == {FIRST: slice(0, 16), LAST: slice(16, 32)}
        assert str(route) == "blocks.0.resid_post,blocks.1.resid_post"
    assert expand(tiny_lm, "blocks.[01].mlp_*") == tuple(HookPoint(layer, kind) for layer in (0, 1) for kind in ("mlp_post", "mlp_out"))


def test_a_pass_stops_at_the_last_of_them(tiny_lm):
    assert Route((MID,), OUT).stop_at(tiny_lm) == OUT
    assert Route((LAST, FIRST)).stop_at(tiny_lm) == LAST
    path = Route.of(tiny_lm, "model.norm")
    assert path.stop_at(tiny_lm) == path.only  # a path may lie anywhere, but one point is where to stop


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("blocks.0.resid_post,blocks.7.resid_post", r"'blocks\.7\.resid_post' for .*0\.\.1"),
        ("blocks.*.resid_pots", r"'blocks\.\*\.resid_pots' fits no hook point of .*Did you mean 'blocks\.0\.resid_post'.*saescope hooks"),
        ("", "''"),
    ],
)
def test_what_is_no_hook_point_is_refused(tiny_lm, at, message):
    with pytest.raises(errors.UnknownHookPoint, match=message):
        Route.of(tiny_lm, at)


def test_side_by_side():
    acts = {FIRST: torch.zeros(2, 3, 4), LAST: torch.ones(2, 3, 5)}
    assert side_by_side(acts, [FIRST]) is acts[FIRST]
    both = side_by_side(acts, [LAST, FIRST])
    assert both.shape == (2, 3, 9)
    assert both[0, 0].tolist() == [1] * 5 + [0] * 4
