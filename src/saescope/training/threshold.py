"""The inference threshold of batch-rule SAEs: a running mean while training, an exact quantile afterwards."""

from collections.abc import Iterable

import torch

from saescope.errors import NoTokens
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.shapes import Float, Tensor

DECAY = 0.999


class LeastKept:
    """Bias-corrected running mean (decay 0.999, float64) of the least value that a batch kept."""

    def __init__(self, device: torch.device | str = "cpu"):
        self.sum = torch.zeros((), dtype=torch.float64, device=device)
        self.weight = torch.zeros((), dtype=torch.float64, device=device)

    def update(self, least: Float[Tensor, ""]) -> None:
        seen = least.isfinite()
        self.sum.copy_(torch.where(seen, DECAY * self.sum + (1 - DECAY) * least.double(), self.sum))
        self.weight.copy_(torch.where(seen, DECAY * self.weight + (1 - DECAY), self.weight))

    @property
    def value(self) -> Float[Tensor, ""]:
        return self.sum / self.weight.clamp_min(torch.finfo(torch.float64).tiny)


@torch.no_grad()
def calibrate_threshold(sae: BatchTopKSAE, rows: Iterable[Float[Tensor, "_ d_in"]], *, l0: float | None = None) -> float:
    """Set tau to the value at which the mean L0 over `rows` is `l0` (default: k). Returns tau.

    tau is the (l0 * N)-th largest positive pre-activation of N tokens, exactly: a first look at some rows gives a floor
    above which all values of all rows are kept.
    """
    wanted = sae.cfg.k if l0 is None else l0
    floor, kept, n = None, [], 0
    for x in rows:
        positive = sae.pre_acts(x).relu()
        if floor is None:  # room for rows with three times the mean
            count = min(positive.numel(), int(3 * wanted * len(x)) + 1)
            floor = positive.flatten().topk(count).values[-1]
        kept.append(positive[positive > floor])
        n += len(x)
    if n == 0:
        raise NoTokens("the threshold was to be calibrated on no tokens. Give more text, or hold out less of it.")
    values = torch.cat(kept)
    rank = min(round(wanted * n), len(values))
    if rank:
        least_kept = values.kthvalue(len(values) - rank + 1).values
        sae.tau.copy_(torch.nextafter(least_kept, torch.zeros_like(least_kept)))
    return sae.tau.item()
