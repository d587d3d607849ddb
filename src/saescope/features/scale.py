"""The binary scale that histograms and strata share: M = 2^e, the power of two at or above a feature's largest activation.

Every bin is half-open on the left, (lo, hi], so that powers of two fall into the octave they close. The bits of a float are
read directly: the predecessor of |f| has the exponent and the leading bits of |f|'s bin, without a logarithm to round.
"""

import numpy as np

NO_EXPONENT = np.int16(-(2**15))
"""e of a feature that never fired."""
N_STRATA = 15
_QUARTERS = np.array([int(np.float32(2.0 ** (q / 4)).view(np.int32)) & 0x7FFFFF for q in (1, 2, 3)], np.int32)


def exponent(magnitude: np.ndarray) -> np.ndarray:
    """e with 2^(e-1) < |f| <= 2^e, for |f| > 0 (int16)."""
    return ((_below(magnitude) >> 23) - 126).astype(np.int16)


def log_bin(magnitude: np.ndarray, e: np.ndarray) -> np.ndarray:
    """min(63, floor(4 log2(2^e / |f|))): 16 octaves by quarters, the strongest first."""
    quarter = 3 - np.searchsorted(_QUARTERS, _below(magnitude) & 0x7FFFFF, side="right")
    return np.minimum(63, 4 * (e.astype(np.int64) - exponent(magnitude)) + quarter)


def lin_bin(magnitude: np.ndarray, e: np.ndarray) -> np.ndarray:
    """ceil(64 |f| / 2^e) - 1: 64 equal bins of (0, 2^e], the weakest first."""
    return (np.ceil(np.ldexp(magnitude.astype(np.float64), 6 - e.astype(np.int64))) - 1).astype(np.int64)


def stratum(magnitude: np.ndarray, e: np.ndarray) -> np.ndarray:
    """0 (strongest) to 14, -1 below: four equal quarters of each of the two top octaves, then seven octaves."""
    octave = e.astype(np.int64) - exponent(magnitude)
    quarter = 3 - (_below(magnitude) >> 21 & 3)
    return np.where(octave < 2, 4 * octave + quarter, np.where(octave < 9, 6 + octave, -1))


def stratum_edges(e: int) -> list[tuple[float, float]]:
    """(lo, hi) of each stratum: it holds the activations in (lo, hi]."""
    quarters = [(1 - j / 4, 1 - (j - 1) / 4) for j in range(1, 5)]
    top = [(2.0 ** (e - 1 - o) * (1 + lo), 2.0 ** (e - 1 - o) * (1 + hi)) for o in range(2) for lo, hi in quarters]
    return top + [(2.0 ** (e - 1 - o), 2.0 ** (e - o)) for o in range(2, 9)]


def stratum_counts(hist_lin: np.ndarray, hist_log: np.ndarray) -> list[int]:
    """Active tokens in each stratum; exact, for every edge of a stratum is an edge of one of the histograms."""
    top = [int(hist_lin[64 - 8 * (j + 1) : 64 - 8 * j].sum()) for j in range(4)]
    second = [int(hist_lin[32 - 4 * (j + 1) : 32 - 4 * j].sum()) for j in range(4)]
    return top + second + [int(hist_log[4 * o : 4 * o + 4].sum()) for o in range(2, 9)]


def _below(magnitude: np.ndarray) -> np.ndarray:
    """Bits of the float just below |f|."""
    return np.ascontiguousarray(magnitude, np.float32).view(np.int32) - 1
