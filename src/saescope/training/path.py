"""Which path a step takes: the pairs that matter, or the whole matrix where they are many."""

import torch

from saescope.bf16 import is_fast
from saescope.saes.base import SAE
from saescope.saes.select import Precision
from saescope.shapes import Float, Tensor

ROWS = 256
"""Tokens on which the share of pairs is measured."""
STEPS = 20
"""Steps between measurements."""
SPARSE_BELOW, DENSE_ABOVE = 0.07, 0.09
"""Shares of all (token, latent) pairs; on a CPU both paths take as long near 9 % (`benchmarks/crossover.py`)."""


def fastest_precision(device: torch.device) -> Precision:
    """bf16 where a CPU is fast at it."""
    return "bf16" if device.type == "cpu" and is_fast(device) else "fp32"


class Path:
    """How a step computes: in which precision it looks for pairs, and whether it is sparse, from the share of pairs that matter.

    The second changes with some reluctance, so that it does not flap.
    """

    def __init__(self, precision: Precision = "fp32") -> None:
        self.sparse, self.share = True, 0.0
        self.precision: Precision = precision

    @torch.no_grad()
    def choose(self, sae: SAE, x: Float[Tensor, "n d_in"]) -> None:
        """Measure the share on the first rows of x."""
        self.share = sae.share(x[:ROWS])
        self.sparse = self.share < (DENSE_ABOVE if self.sparse else SPARSE_BELOW)
