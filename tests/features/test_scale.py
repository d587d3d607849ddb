import numpy as np
import pytest

from saescope.draws import draws
from saescope.features import scale


@pytest.fixture
def magnitude() -> np.ndarray:
    drawn = np.exp2(draws(0, "test scale").uniform(-30, 12, 5000)).astype(np.float32)
    powers = np.exp2(np.arange(-20.0, 12)).astype(np.float32)
    return np.concatenate([drawn, powers, np.nextafter(powers, np.float32(0)), np.nextafter(powers, np.float32(np.inf))])


def test_exponent_closes_its_octave_from_above(magnitude):
    e = scale.exponent(magnitude).astype(int)
    assert (magnitude <= np.exp2(e.astype(float))).all()
    assert (magnitude > np.exp2(e - 1.0)).all()
    assert scale.exponent(np.array([1.0, 1.5, 2.0, 0.5], np.float32)).tolist() == [0, 1, 1, -1]


def test_log_bin_is_the_floor_of_quarter_octaves_below_m(magnitude):
    e = np.full(len(magnitude), 12, np.int16)
    expected = np.minimum(63, np.floor(4 * np.log2(2.0**12 / magnitude.astype(np.float64))))
    wrong = scale.log_bin(magnitude, e) != expected
    # the logarithm itself may round across an edge that is no power of two
    near_edge = np.abs(4 * np.log2(magnitude.astype(np.float64)) % 1 - 0.5) > 0.499999
    assert not (wrong & ~near_edge).any()
    assert scale.log_bin(np.array([4096, 2048, 1024], np.float32), e[:3]).tolist() == [0, 4, 8]


def test_lin_bin_is_64_equal_bins(magnitude):
    e = scale.exponent(magnitude)
    bins = scale.lin_bin(magnitude, e)
    top = np.exp2(e.astype(float))
    assert ((bins >= 32) & (bins <= 63)).all()
    assert (magnitude > bins * top / 64).all()
    assert (magnitude <= (bins + 1) * top / 64).all()


def test_every_stratum_holds_what_its_edges_say(magnitude):
    for e in (12, 3, -2):
        held = magnitude[magnitude <= 2.0**e]
        stratum = scale.stratum(held, np.full(len(held), e, np.int16))
        edges = scale.stratum_edges(e)
        assert len(edges) == scale.N_STRATA
        for s, (lo, hi) in enumerate(edges):
            np.testing.assert_array_equal(stratum == s, (held > lo) & (held <= hi), err_msg=f"stratum {s}")
        assert ((stratum == -1) == (held <= edges[-1][0])).all()
        assert [hi for _, hi in edges[1:]] == [lo for lo, _ in edges[:-1]]


def test_histograms_count_the_strata_exactly(magnitude):
    e = np.full(len(magnitude), scale.exponent(magnitude).max(), np.int16)
    lin, log = (np.bincount(bins, minlength=64) for bins in (scale.lin_bin(magnitude, e), scale.log_bin(magnitude, e)))
    stratum = scale.stratum(magnitude, e)
    assert scale.stratum_counts(lin, log) == np.bincount(stratum[stratum >= 0], minlength=15).tolist()
