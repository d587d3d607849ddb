"""Which columns a job reads and writes, and in which scale."""

import pytest
import torch

from saescope.activations.scale import Scale
from saescope.errors import ConfigError, WidthMismatch
from saescope.saes.registry import build
from saescope.training.columns import Columns

SLICES = {"a": slice(0, 3), "b": slice(3, 8), "c": slice(8, 11)}
SCALES = {"a": Scale(2.0, 10, 1), "b": Scale(3.0, 10, 0), "c": Scale(0.5, 10, 4)}
ROWS = torch.arange(22.0).reshape(2, 11).bfloat16()


def columns(architecture, read, target=None, d_in=3, d_out=None, **options):
    sae = build(architecture, d_in, 6, {"k": 2, **options}, d_out=d_out)
    found = Columns(sae, read, target, SLICES)
    found.set_scales(SCALES)
    return found


def test_an_sae_reads_and_writes_the_columns_of_its_point():
    found = columns("topk", ("b",), d_in=5)
    x = found.x(ROWS)
    assert torch.equal(x, ROWS[:, 3:8].float() * 3)
    assert found.wanted(ROWS, x) is x
    assert torch.equal(found.raw(x), ROWS[:, 3:8].float())
    assert (found.s_in, found.s_out, found.n_outliers) == (3.0, 3.0, 0)


def test_a_transcoder_reads_one_point_and_writes_another_each_in_its_scale():
    found = columns("transcoder", ("a",), "b", d_out=5)
    assert torch.equal(found.x(ROWS), ROWS[:, :3].float() * 2)
    assert torch.equal(found.wanted(ROWS, found.x(ROWS)), ROWS[:, 3:8].float() * 3)
    assert (found.s_in, found.s_out, found.n_outliers) == (2.0, 3.0, 1)
    assert found.scales == {"a": 2.0, "b": 3.0}


def test_a_crosscoder_reads_points_side_by_side_in_the_order_given():
    found = columns("crosscoder", ("c", "a"), d_in=6, widths=[3, 3])
    scale = torch.tensor([0.5, 0.5, 0.5, 2, 2, 2])
    assert torch.equal(found.x(ROWS), torch.cat([ROWS[:, 8:], ROWS[:, :3]], dim=1).float() * scale)
    assert torch.equal(found.s_in, scale)
    assert torch.equal(found.s_out, scale)
    assert torch.equal(found.raw(found.x(ROWS)), torch.cat([ROWS[:, 8:], ROWS[:, :3]], dim=1).float())


@pytest.mark.parametrize(
    ("architecture", "read", "target", "sizes", "error", "words"),
    [
        ("topk", ("d",), None, {}, ConfigError, "the job names d, but the source has a, b, c"),
        ("topk", (), None, {}, ConfigError, "TopKSAE reads one hook point, but was given 3"),
        ("topk", ("a",), "b", {}, ConfigError, "TopKSAE reconstructs what it reads (a), not b"),
        ("topk", ("b",), None, {}, WidthMismatch, "the SAE reads d_in=3, but b is 5 wide. Build it with d_in=5"),
        ("transcoder", ("a",), None, {}, ConfigError, "reconstructs another hook point than it reads"),
        ("transcoder", ("a",), "b", {"d_out": 3}, WidthMismatch, "the SAE writes d_out=3, but b is 5 wide. Build it with d_out=5"),
        ("crosscoder", ("a",), None, {"widths": [3]}, ConfigError, "reads several hook points, but was given one"),
    ],
)
def test_a_job_that_does_not_fit_is_refused_before_anything_is_computed(architecture, read, target, sizes, error, words):
    with pytest.raises(error) as caught:
        columns(architecture, read, target, **sizes)
    assert words in str(caught.value)
