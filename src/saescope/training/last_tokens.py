"""Two objectives in one run: one for most of the tokens, another for the last of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from saescope.activations.shuffle import PoolPlan
from saescope.activations.source import ActivationSource, StepBatch
from saescope.activations.stream import StreamSource
from saescope.errors import ConfigError
from saescope.shapes import Float, Tensor
from saescope.training.end_to_end import CleanBatch, EndToEnd
from saescope.training.objective import Given, Objective, reconstruction


@dataclass(frozen=True)
class LastTokens:
    """One objective for the first steps and another for the last `share` of them, which read on where the first ended.

    Both see one optimizer, one schedule and one set of counters. `stream` is the text of the last part, where the first reads a
    cache of it. A function of the step alone, so that a run resumes exactly on either side of the switch.

    Raises: ConfigError for a share outside (0, 1].
    """

    last: EndToEnd
    share: float = 0.1
    first: Objective = reconstruction
    stream: StreamSource | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"last={self.share} is a share of the tokens. It must lie above 0 and be at most 1: set --last.")

    @property
    def stated(self) -> dict[str, Any]:
        """The objective as JSON."""
        return {**self.last.stated, "last": self.share}

    def batches(self, source: ActivationSource, plan: PoolPlan, first_step: int) -> Iterator[StepBatch]:
        """The first objective's batches up to the switch, the last one's from there on. Raises: as the last one's."""
        text = source if self.stream is None else self.stream
        self.last.text_of(text, plan.batch_tokens)  # refused before the first step, not at the switch
        switch = plan.n_steps - max(1, round(self.share * plan.n_steps))
        if first_step < switch:
            n_tokens = switch * plan.batch_tokens
            yield from self.first.batches(source, replace(plan, n_tokens=n_tokens, rows=min(plan.rows, n_tokens)), first_step)
        yield from self.last.batches(text, plan, max(first_step, switch))

    def __call__(self, given: Given) -> dict[str, Float[Tensor, ""]]:
        return (self.last if isinstance(given.batch, CleanBatch) else self.first)(given)
