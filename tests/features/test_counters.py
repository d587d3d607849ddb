import numpy as np
import pytest

from saescope.features.counters import Counters
from saescope.features.scale import lin_bin, log_bin


@pytest.mark.parametrize("signed", [False, True])
def test_equals_counting_the_dense_code(parts, signed):
    part = parts.make(0, n_rows=80, signed=signed)
    dense = parts.dense(part)
    counters = Counters(12)
    for piece in parts.cut(part, 0):
        counters.add(piece)
    found = counters.result()
    on = dense != 0
    assert found["n_tokens"].tolist() == [int(part.counted.sum())] * 12
    np.testing.assert_array_equal(found["n_active"], on.sum(0))
    everything = np.zeros_like(dense)
    everything[part.token_of, part.latent] = part.value
    np.testing.assert_array_equal(found["n_first"], ((everything != 0) & ~part.counted[:, None]).sum(0))
    np.testing.assert_array_equal(found["max_act"], np.abs(dense).max(0))
    np.testing.assert_array_equal(found["signed"], (dense < 0).any(0))
    assert found["density"][3] == on[:, 3].sum() / part.counted.sum()
    for i in range(11):
        f = dense[on[:, i], i].astype(np.float64)
        assert found["mean_act"][i] == np.float32(f.mean())
        assert found["sum_abs"][i] == pytest.approx(np.abs(f).sum(), rel=1e-9)
        centred = f - f.mean()
        assert found["m2"][i] == pytest.approx((centred**2).mean(), rel=1e-6)
        assert found["skew"][i] == pytest.approx((centred**3).mean() / (centred**2).mean() ** 1.5, rel=1e-4, abs=1e-5)
        assert found["kurtosis"][i] == pytest.approx((centred**4).mean() / (centred**2).mean() ** 2, rel=1e-4)
        e = found["top_exp"][i]
        assert 2.0 ** (int(e) - 1) < np.abs(f).max() <= 2.0 ** int(e)
        magnitude, scale = np.abs(f).astype(np.float32), np.full(len(f), e, np.int16)
        np.testing.assert_array_equal(found["hist_lin"][i], np.bincount(lin_bin(magnitude, scale), minlength=64))
        np.testing.assert_array_equal(found["hist_log"][i], np.bincount(log_bin(magnitude, scale), minlength=64))
        position = np.floor(np.log2(part.positions[on[:, i]] + 1)).astype(int)
        np.testing.assert_array_equal(found["hist_pos"][i], np.bincount(position, minlength=16))


def test_a_dead_feature_and_a_constant_one_have_no_shape(parts):
    part = parts.make(1)
    part.value[part.latent == 0] = 0.1
    counters = Counters(12)
    counters.add(part)
    found = counters.result()
    assert np.isnan(found["m2"][11])
    assert np.isnan(found["kurtosis"][11])
    assert found["mean_act"][11] == found["max_act"][11] == 0
    assert np.isnan(found["skew"][0])
    assert found["m2"][0] < 1e-9


@pytest.mark.parametrize("seed", range(8))
def test_shards_and_their_order_do_not_show(parts, seed):
    parts.same_in_any_order(lambda: Counters(12), parts.make(seed, scale=30.0, signed=seed % 2 == 1), seed)


def test_merging_leaves_the_other_alone(parts):
    one, other = Counters(12), Counters(12)
    one.add(parts.make(0))
    other.add(parts.make(1))
    before = {name: array.copy() for name, array in other.arrays().items()}
    one.merge(other)
    for name, array in other.arrays().items():
        np.testing.assert_array_equal(array, before[name])
