"""What is minimised, and what a step reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from saescope.activations.shuffle import PoolPlan, mixed
from saescope.activations.source import ActivationSource, StepBatch
from saescope.saes.base import SAE, TrainState
from saescope.shapes import Float, Tensor
from saescope.training.columns import Columns


@dataclass(frozen=True)
class Given:
    """What an objective is given of one job at one step."""

    sae: SAE
    x: Float[Tensor, "n d_in"]
    """Scaled."""
    target: Float[Tensor, "n d_out"]
    """Scaled; x itself unless the job has another target."""
    state: TrainState
    batch: StepBatch
    columns: Columns
    """Where x and target come from, and the way back to the model's units."""


class Objective(Protocol):
    """Named loss terms of a step, already multiplied by their coefficients, from batches of its own choice."""

    @property
    def stated(self) -> Mapping[str, Any]:
        """What is minimised, as JSON: a checkpoint is continued by the same objective only."""
        ...

    def batches(self, source: ActivationSource, plan: PoolPlan, first_step: int) -> Iterator[StepBatch]:
        """The batches of steps first_step, first_step + 1, ...: a pure function, so that a run resumes exactly."""
        ...

    def __call__(self, given: Given) -> dict[str, Float[Tensor, ""]]: ...


class Reconstruction:
    """The architecture's own loss, its paper's equation, on rows that the mixing pool gives out."""

    stated: Mapping[str, Any] = {"objective": "reconstruction"}

    def batches(self, source: ActivationSource, plan: PoolPlan, first_step: int) -> Iterator[StepBatch]:
        return (StepBatch(rows) for rows in mixed(source, plan, first_step=first_step))

    def __call__(self, given: Given) -> dict[str, Float[Tensor, ""]]:
        return given.sae.loss(given.x, given.target, given.state)


reconstruction = Reconstruction()
