"""A target L0 for penalised SAEs: the penalty is scaled until the L0 is what was asked for."""

import math
import warnings

import torch

from saescope.shapes import Float, Tensor
from saescope.training.config import TrainConfig

UPDATES = 400
"""Moves that the controller aims at in a run."""
MOST_STEPS_BETWEEN = 50
STEPS_AVERAGED = 10
GAIN, PULL, MOST = 0.05, 1.0, 2.0
TOLERANCE = 0.05
LAST = 0.05
"""Share of the steps, at the end, whose mean L0 is compared with the target."""


class L0Goal:
    """The L0 that was asked for, and what it was over the last 5 % of the steps."""

    def __init__(self, target: float, cfg: TrainConfig):
        self.target, self.n_steps = target, cfg.n_steps
        self.end = torch.zeros(2, dtype=torch.float64)
        """Sum and count of L0 in the last 5 % of the steps."""

    @property
    def m(self) -> float:
        """What the sparsity term is multiplied by."""
        return 1.0

    def update(self, step: int, l0: Float[Tensor, ""]) -> None:
        """After step number `step` (from 0) had this mean L0."""
        if step >= self.n_steps * (1 - LAST):
            l0 = l0.detach().cpu().double()
            self.end += torch.stack([l0, torch.ones_like(l0)])

    @property
    def reached(self) -> float | None:
        """Mean L0 over the last 5 % of the steps; None before them."""
        return (self.end[0] / self.end[1]).item() if self.end[1] else None

    def warn_unless_reached(self, name: str) -> None:
        reached = self.reached
        if reached is not None and abs(reached / self.target - 1) > TOLERANCE:
            warnings.warn(
                f"{name} was to have an L0 of {self.target:g}, but ended at {reached:.3g}, more than 5 % off. "
                "Train longer, or choose a target between 1 and a quarter of the latents.",
                stacklevel=3,
            )

    def state(self) -> Float[Tensor, " m"]:
        return self.end.clone()

    def load_state(self, state: Float[Tensor, " m"]) -> None:
        self.end.copy_(state)


class L0Controller(L0Goal):
    """Multiplier m of the sparsity term, by a proportional and an integral part in log space:

        e = clip(log(L0_ema / L0*), -2, 2),     log m = integral + e,     integral += 0.05 e at every move

    A move is due 400 times in a run, at least every 50 steps, once the penalty's warm-up is over. The integral finds the penalty;
    e itself pushes back at once where the L0 has left its target, without which the slow answer of the weights makes the L0
    swing. L0_ema averages over 10 steps, or the interval if longer.
    """

    def __init__(self, target: float, cfg: TrainConfig):
        super().__init__(target, cfg)
        self.warmup_steps = cfg.sparsity_warmup * cfg.n_steps
        self.every = max(1, min(MOST_STEPS_BETWEEN, cfg.n_steps // UPDATES))
        self.integral = torch.zeros((), dtype=torch.float64)
        self.l0_ema = torch.zeros((), dtype=torch.float64)

    @property
    def m(self) -> float:
        return math.exp(self.integral.item() + PULL * self.error) if self.l0_ema else 1.0

    @property
    def error(self) -> float:
        """e, 0 before the first step."""
        return min(max(math.log(max(self.l0_ema.item(), 1e-9) / self.target), -MOST), MOST)

    def update(self, step: int, l0: Float[Tensor, ""]) -> None:
        super().update(step, l0)
        share = 1.0 if step == 0 else 1 / max(STEPS_AVERAGED, self.every)
        self.l0_ema += share * (l0.detach().cpu().double() - self.l0_ema)
        if step >= self.warmup_steps and (step + 1) % self.every == 0:
            self.integral += GAIN * self.error

    def state(self) -> Float[Tensor, " m"]:
        return torch.cat([torch.stack([self.integral, self.l0_ema]), super().state()])

    def load_state(self, state: Float[Tensor, " m"]) -> None:
        self.integral.copy_(state[0])
        self.l0_ema.copy_(state[1])
        super().load_state(state[2:])
