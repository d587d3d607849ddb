"""The inference threshold of batch-rule SAEs: a running mean while training, an exact quantile afterwards."""

from collections.abc import Iterable

import torch

from saescope.activations.encode import LATENT_BUDGET
from saescope.errors import NoTokens
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.shapes import Float, Tensor

DECAY = 0.999
BITS_LEFT_OUT = 10
"""Trailing bits of a float32 that the histogram of calibration ignores."""


class LeastKept:
    """Bias-corrected running mean (decay 0.999, float64) of the least value that a batch kept."""

    def __init__(self) -> None:
        self.sum = torch.zeros((), dtype=torch.float64)  # on the CPU: not every accelerator has float64
        self.weight = torch.zeros((), dtype=torch.float64)

    def update(self, least: Float[Tensor, ""]) -> None:
        least = least.cpu()
        seen = least.isfinite()
        self.sum.copy_(torch.where(seen, DECAY * self.sum + (1 - DECAY) * least.double(), self.sum))
        self.weight.copy_(torch.where(seen, DECAY * self.weight + (1 - DECAY), self.weight))

    @property
    def value(self) -> Float[Tensor, ""]:
        return self.sum / self.weight.clamp_min(torch.finfo(torch.float64).tiny)


def calibrate_threshold(sae: BatchTopKSAE, rows: Iterable[Float[Tensor, "_ d_in"]], *, l0: float | None = None) -> float:
    """Set tau so that the mean L0 over `rows` is `l0` (default: k), or just below. Returns tau. Raises: NoTokens."""
    calibration = Calibration(sae, l0)
    for x in rows:
        calibration.add(x)
    return calibration.set_threshold()


class Calibration:
    """The tau of one SAE, from rows given bit by bit, so that several SAEs can share a pass over the text.

    Keeps no values: positive float32 numbers sort as their bits do, so a histogram over the leading bits (relative width 2^-13)
    finds tau to 0.01 %, whatever the order of the rows. Where fewer values than wanted are positive, tau = 0.
    """

    def __init__(self, sae: BatchTopKSAE, l0: float | None = None):
        self.sae, self.wanted, self.n = sae, sae.cfg.k if l0 is None else l0, 0
        self.counts = torch.zeros(2**31 >> BITS_LEFT_OUT, dtype=torch.int64)

    @torch.no_grad()
    def add(self, x: Float[Tensor, "n d_in"]) -> None:
        for part in x.split(max(1, LATENT_BUDGET // self.sae.d_sae)):
            scores = self.sae.scores(self.sae.pre_acts(part)).float()
            bins = scores[scores > 0].cpu().view(torch.int32) >> BITS_LEFT_OUT
            self.counts += torch.bincount(bins, minlength=len(self.counts))
        self.n += len(x)

    def set_threshold(self) -> float:
        """Set tau so that the mean L0 over the rows is the wanted one, or just below; returns it. Raises: NoTokens."""
        if self.n == 0:
            raise NoTokens("the threshold was to be calibrated on no tokens. Give more text, or hold out less of it.")
        above = self.counts.flip(0).cumsum(0).flip(0)  # values in this bin or a higher one
        lowest_kept = int((above > self.wanted * self.n).sum())
        tau = torch.tensor(max(0, (lowest_kept << BITS_LEFT_OUT) - 1), dtype=torch.int32).view(torch.float32)
        self.sae.tau.copy_(tau if lowest_kept else torch.zeros(()))
        return self.sae.tau.item()
