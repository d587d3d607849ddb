"""What a training run is asked to do, beside the SAE itself."""

from dataclasses import dataclass
from typing import Literal, get_args

from saescope.errors import ConfigError

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Training budget and optimizer. Fields left at None are chosen when the SAE is known; records state them."""

    tokens: int = 6_000_000
    """Tokens to train on; text is read again when it holds fewer."""
    batch_tokens: int = 1024
    """Tokens per training step. The model reads them 4,096 at a time, or more at once where a step has more."""
    lr: float | None = None
    """Peak learning rate of Adam."""
    warmup: float = 0.05
    """Steps (or, below 1, share of all steps) over which the learning rate rises to its peak; at most 1,000 steps as a share."""
    decay: float = 0.8
    """Share of the steps, at the end, over which the learning rate falls to 0 linearly."""
    sparsity_warmup: float = 0.05
    """Share of the steps over which a penalised architecture's sparsity term rises to its weight."""
    clip_norm: float = 1.0
    """Largest norm of the gradient of loss / d_out."""
    dead_tokens: int | None = None
    """A latent silent for so many tokens is dead; None: 1 % of the run, from 25,000 (or 5 % of a short run) to 10M."""
    precision: Precision = "auto"
    """In which a sparse step looks for the pairs that it computes with in float32; auto: bf16 where the CPU has it."""
    seed: int = 0
    """Of initial weights, document order and mixing."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints."""
    checkpoint_steps: int | None = None
    """Steps between checkpoints, instead of minutes."""
    log_steps: int = 100
    """Steps between records."""

    def __post_init__(self):
        for name in ("tokens", "batch_tokens", "log_steps", "checkpoint_steps", "dead_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value} was asked for. It must be at least 1: set --{name.replace('_', '-')}.")
        for name in ("lr", "clip_norm", "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}={value} was asked for. It must be above 0: set --{name.replace('_', '-')}.")
        for name in ("decay", "sparsity_warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)} is a share of the steps. It must lie in [0, 1].")
        if self.precision not in get_args(Precision):
            raise ConfigError(f"precision={self.precision!r} was asked for. There are: {', '.join(get_args(Precision))}. Set --precision.")
        if self.warmup < 0:
            raise ConfigError(f"warmup={self.warmup} was asked for. It must be a number of steps, or a share of them below 1.")
        if self.tokens < self.batch_tokens:
            raise ConfigError(
                f"tokens={self.tokens:,} is less than one batch of {self.batch_tokens:,}. Raise --tokens or lower --batch-tokens."
            )

    @property
    def n_steps(self) -> int:
        return self.tokens // self.batch_tokens

    @property
    def _usual_dead_tokens(self) -> int:
        """On 2M tokens of babel, 25,000 left 1 % of a Gated or JumpReLU SAE silent, 100,000 about ten times as many, at the same FVU."""
        return max(1, min(self.tokens // 20, max(25_000, min(10_000_000, self.tokens // 100))))

    @property
    def dead_after(self) -> int:
        """Tokens of silence after which a latent counts as dead."""
        return self.dead_tokens if self.dead_tokens is not None else self._usual_dead_tokens
