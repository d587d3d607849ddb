"""What is minimised."""

from typing import Protocol

from saescope.saes.base import SAE, TrainState
from saescope.shapes import Float, Tensor


class Objective(Protocol):
    def __call__(
        self, sae: SAE, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState
    ) -> dict[str, Float[Tensor, ""]]: ...


def reconstruction(
    sae: SAE, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState
) -> dict[str, Float[Tensor, ""]]:
    """The architecture's own loss: its paper's equation."""
    return sae.loss(x, target, state)
