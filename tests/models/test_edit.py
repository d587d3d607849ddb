import pytest
import torch

from saescope import errors
from saescope.models.edit import columns, joined
from saescope.models.hook_point import HookPoint

REAL = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], dtype=torch.bool)  # left pads, none, right pads


def where(positions, real=REAL, past=0):
    return [[int(on) for on in row] for row in columns(positions, real, past)]


def test_all_leaves_out_pads_and_each_rows_own_first_token():
    assert where("all") == [[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1], [0, 1, 1, 0, 0, 0]]


def test_an_int_counts_a_rows_own_tokens():
    assert where(0) == [[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]]
    assert where(1) == [[0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert where(-1) == [[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0]]
    assert where(5) == [[0] * 6, [0, 0, 0, 0, 0, 1], [0] * 6]


def test_a_slice_counts_a_rows_own_tokens():
    assert where(slice(None)) == REAL.int().tolist()
    assert where(slice(1, 3)) == [[0, 0, 0, 1, 1, 0], [0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0]]
    assert where(slice(-2, None)) == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1], [0, 1, 1, 0, 0, 0]]
    assert where(slice(None, -2)) == [[0, 0, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0]]


def test_a_mask_is_literal_pads_and_first_tokens_included():
    mask = torch.tensor([[1, 0, 1, 0, 1, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]], dtype=torch.bool)
    assert where(mask) == mask.int().tolist()
    assert where(mask[:1]) == mask[:1].expand(3, -1).int().tolist()


@pytest.mark.parametrize("positions", ["all", 2, slice(1, 5), REAL & torch.tensor([1, 0, 1, 1, 0, 1]).bool()])
def test_columns_of_a_call_are_the_tail_of_the_whole(positions):
    whole = where(positions)
    for past in range(6):
        assert where(positions, past=past) == [row[past:] for row in whole]


def test_tokens_after_the_mask_are_not_edited():
    mask = torch.ones(3, 2, dtype=torch.bool)
    assert where(mask) == [[1, 1, 0, 0, 0, 0]] * 3
    assert where(mask, past=4) == [[0, 0]] * 3


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ("prompts", "positions='prompts' is not known"),
        (torch.ones(2, 6, dtype=torch.bool), r"mask of shape \(2, 6\), but the tokens are \[3, 6\]"),
        (torch.ones(6, dtype=torch.bool), r"mask of shape \(6,\)"),
        (torch.ones(3, 6), "torch.float32 mask"),
        (slice(0, 6, 2), "has a step"),
    ],
)
def test_wrong_positions(positions, message):
    with pytest.raises(errors.ConfigError, match=message):
        columns(positions, REAL)


class Note:
    def __init__(self, at, key, names):
        self.at, self.key, self.names = HookPoint.parse(at), key, names

    def join(self, others):
        return Note(self.at, self.key, self.names + "".join(other.names for other in others))


def test_equal_keys_at_one_point_are_joined_where_the_first_stood():
    a, b, c, d = (
        Note("blocks.0.mlp_out", 1, "a"),
        Note("blocks.0.mlp_out", 2, "b"),
        Note("blocks.0.mlp_out", 1, "c"),
        Note("blocks.1.mlp_out", 1, "d"),
    )
    assert [edit.names for edit in joined([a, b, c, d])] == ["ac", "b", "d"]
    assert joined([b, d]) == [b, d]
