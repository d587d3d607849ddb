"""Activations that somebody saved."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from saescope.activations.source import NonFiniteGuard, TensorSource
from saescope.errors import ConfigError, NonFiniteActivations, NoTokens, UnreadableText


def rows_of(source, n, **kwargs):
    return torch.cat([batch.rows for batch in source.batches(n, seed=kwargs.pop("seed", 0), **kwargs)])


@pytest.fixture
def source():
    return TensorSource(torch.arange(10_000.0)[:, None])


def test_each_pass_gives_each_row_once_in_a_new_order(source):
    rows = rows_of(source, 20_000)[:, 0]
    first, second = rows[:10_000], rows[10_000:]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10_000))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("start", [0, 1, 8192, 9_999, 10_000, 25_123])
def test_start_is_a_place_in_the_stream(source, start):
    assert torch.equal(rows_of(source, 500, start=start), rows_of(source, 30_000)[start : start + 500])


def test_arrays_and_files_are_read(tmp_path):
    x = np.random.Generator(np.random.Philox(1)).standard_normal((50, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    save_file({"acts": torch.from_numpy(x), "other": torch.zeros(1)}, tmp_path / "x.safetensors")
    expected = rows_of(TensorSource(x), 50)
    assert torch.equal(rows_of(TensorSource(tmp_path / "x.npy"), 50), expected)
    assert torch.equal(rows_of(TensorSource(tmp_path / "x.safetensors", key="acts"), 50), expected)
    with pytest.raises(ConfigError, match=r"\['acts', 'other'\]"):
        TensorSource(tmp_path / "x.safetensors")


def test_bad_arrays_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"shape \(2, 3, 4\)"):
        TensorSource(torch.zeros(2, 3, 4))
    with pytest.raises(ConfigError, match="int64"):
        TensorSource(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(NoTokens):
        TensorSource(torch.zeros(0, 3))
    with pytest.raises(UnreadableText, match=r"neither \.npy"):
        TensorSource(tmp_path / "x.pt")
    (tmp_path / "bad.npy").write_bytes(b"not an array")
    with pytest.raises(UnreadableText, match=r"bad\.npy"):
        TensorSource(tmp_path / "bad.npy")


def test_few_bad_rows_are_dropped_and_counted_many_stop_the_run():
    guard = NonFiniteGuard("blocks.0.mlp_post")
    rows = torch.zeros(2000, 3)
    rows[7, 1] = torch.nan
    kept = guard(rows)
    assert len(kept) == 2000
    assert kept.isfinite().all()
    assert guard.dropped == 1
    rows[:10] = torch.inf
    with pytest.raises(NonFiniteActivations, match=r"11 of 4,000 activations at blocks\.0\.mlp_post.*the first of them row 7 of"):
        guard(rows)


def test_bad_rows_of_an_array_never_train():
    rows = torch.zeros(2000, 3)
    rows[3, 0] = torch.nan
    assert TensorSource(rows).rows.isfinite().all()
    rows[:100] = torch.inf
    with pytest.raises(NonFiniteActivations):
        TensorSource(rows)


def test_a_dropped_row_moves_no_other():
    rows = torch.arange(3000.0)[:, None].repeat(1, 2)
    rows[0] = torch.nan
    rows[1700] = torch.nan
    kept = NonFiniteGuard("x")(rows)
    assert kept[0, 0] == 1
    assert kept[1700, 0] == 1699
    assert torch.equal(kept[1701:], rows[1701:])


def test_broken_files_are_named_not_traced(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(UnreadableText, match=r"cut\.safetensors"):
        TensorSource(tmp_path / "cut.safetensors")
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(UnreadableText, match="holds no tensor"):
        TensorSource(tmp_path / "empty.safetensors")
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    with pytest.raises(UnreadableText, match=r"words\.npy"):
        TensorSource(tmp_path / "words.npy")
