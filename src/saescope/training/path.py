"""Which path a step takes: the pairs that matter, or the whole matrix where they are many."""

import torch

from saescope.saes.base import SAE
from saescope.shapes import Float, Tensor

ROWS = 256
"""Tokens on which the share of pairs is measured."""
STEPS = 20
"""Steps between measurements."""
SPARSE_BELOW, DENSE_ABOVE = 0.09, 0.11
"""Shares of all (token, latent) pairs; on a CPU both paths take as long near a tenth."""


class Path:
    """Whether a step is sparse: from the share of pairs that `SAE.keeps` marks, with some reluctance to change."""

    def __init__(self) -> None:
        self.sparse, self.share = True, 0.0

    @torch.no_grad()
    def choose(self, sae: SAE, x: Float[Tensor, "n d_in"]) -> None:
        """Measure the share on the first rows of x."""
        self.share = sae.keeps(sae.pre_acts(x[:ROWS])).float().mean().item()
        self.sparse = self.share < (DENSE_ABOVE if self.sparse else SPARSE_BELOW)
