"""What a run minimises: from options to an objective."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from saescope.errors import ConfigError

if TYPE_CHECKING:
    from saescope.activations.stream import StreamSource
    from saescope.training.objective import Objective
    from saescope.training.trainee import Job

LAST = 0.1
"""Share of a fresh run's tokens, at the end, that end-to-end training gets."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is minimised."""

    objective: Literal["reconstruction", "end_to_end", "end_to_end_downstream"] = "reconstruction"
    """The architecture's own loss; end_to_end adds KL between the predictions with x and those with x_hat in its place; _downstream
    adds to that the squared error at later hook points."""
    last: float | None = None
    """Share of the tokens, at the end, that train end to end; those before, by reconstruction. None: 0.1; in a fine-tune 1."""
    kl: float = 1.0
    """Weight of KL, in nats per token."""
    downstream: float = 5.0
    """Weight of the squared error at later hook points, as a share of their mean square."""
    downstream_at: str = ""
    """Later hook points, with commas or as a pattern; empty: the residual stream after every later block."""
    mse: float = 1.0
    """Weight of the squared error of x_hat itself, beside them; 0 leaves it out."""
    balance: bool = True
    """Scale KL and later errors together so that their gradient on W_dec is as large as that of the squared error, at each step."""

    def __post_init__(self):
        if self.last is not None and not 0 < self.last <= 1:
            raise ConfigError(f"last={self.last} is a share of the tokens. It must lie above 0 and be at most 1: set --last.")
        for name in ("kl", "downstream", "mse"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name}={getattr(self, name)} weighs a term of the loss. It must be at least 0: set --{name}.")
        changed = [f.name for f in fields(self)[1:] if getattr(self, f.name) != f.default]
        if self.objective == "reconstruction":
            self._refuse(changed, "an end-to-end objective")
        if self.objective == "end_to_end":
            self._refuse([name for name in changed if name.startswith("downstream")], "--objective end_to_end_downstream")
        if self.objective != "reconstruction" and self.kl == 0 and not (self.objective == "end_to_end_downstream" and self.downstream):
            raise ConfigError(f"kl=0 leaves --objective {self.objective} nothing to train on through the model. Raise --kl.")

    def _refuse(self, names: list[str], owner: str) -> None:
        if names:
            flag = f"--{names[0].replace('_', '-')}"
            raise ConfigError(f"{flag} applies to {owner} only, not to --objective {self.objective}. Set --objective, or leave it out.")


def objective_of(
    cfg: ObjectiveConfig, jobs: "Iterable[Job]", stream: "StreamSource", batch_tokens: int, *, last: float = LAST
) -> "Objective":
    """The objective of jobs on a text, `last` where the config leaves it open; refused here rather than at the first step.

    Later hook points are those behind all that the jobs write.

    Raises: ConfigError, UnknownHookPoint.
    """
    from saescope.models.route import expand
    from saescope.training.end_to_end import EndToEnd, later_points
    from saescope.training.last_tokens import LastTokens
    from saescope.training.objective import reconstruction

    if cfg.objective == "reconstruction":
        return reconstruction
    lm = stream.lm
    written = [point for job in jobs for point in ((job.target,) if job.target is not None else job.read or stream.points)]
    further = cfg.objective == "end_to_end_downstream" and cfg.downstream > 0
    points = (expand(lm, cfg.downstream_at) if cfg.downstream_at else later_points(lm, max(written))) if further else ()
    end_to_end = EndToEnd(
        lm=lm, kl=cfg.kl, downstream=cfg.downstream if further else 0.0, downstream_at=tuple(points), mse=cfg.mse, balance=cfg.balance
    )
    end_to_end.text_of(stream, batch_tokens)
    return LastTokens(end_to_end, last if cfg.last is None else cfg.last, stream=stream)
