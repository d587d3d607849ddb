"""The training of a small language model on a stream of tokens: one plain loop, resumable bit for bit."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from saescope.errors import ConfigError, TrainingDiverged
from saescope.recipes.fused_loss import unembedded_cross_entropy
from saescope.recipes.token_stream import Order, TokenStream
from saescope.shapes import Float, Int, Tensor
from saescope.training.checkpoint import Progress, adam_state, load_adam_state, load_checkpoint, save_checkpoint
from saescope.training.interrupts import StopRequest

MICRO_TOKENS = 4096
"""Tokens of one forward and backward pass: keeps the activations in the cache."""


@dataclass(frozen=True, kw_only=True)
class LMTrainConfig:
    tokens: int
    """Tokens that are predicted, repeated ones included."""
    context: int = 256
    batch_tokens: int = 4096
    """Tokens per step: of a million tokens of babel the same learning rate made 4.33, 3.76, 3.29 and 3.02 nats per token
    with 16,384, 8,192, 4,096 and 2,048; 4,096 is what the bundled model was made with."""
    lr: float = 4e-3
    """At its highest."""
    warmup: float = 0.03
    """Share of the steps in which the learning rate rises; then it falls to zero in a straight line."""
    weight_decay: float = 0.1
    """Of the matrices; not of embeddings, norms and biases."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products; weights, sums and the optimiser are always float32."""
    seed: int = 0
    """Of the initial weights and the order of the sequences."""
    checkpoint_minutes: float = 5

    def __post_init__(self) -> None:
        for name, least in (("tokens", 1), ("context", 2), ("batch_tokens", self.context)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name):,} was asked for. It must be at least {least:,}: set --{name}.")
        for name in ("lr", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)} was asked for. It must be 0 or more: set --{name}.")

    @property
    def n_rows(self) -> int:
        """Sequences of a step."""
        return self.batch_tokens // self.context

    @property
    def n_steps(self) -> int:
        return -(-self.tokens // (self.n_rows * self.context))

    def lr_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rising = max(1, round(self.warmup * self.n_steps))
        return self.lr * min((step + 1) / rising, (self.n_steps - step) / max(1, self.n_steps - rising))


class LMTrainee:
    """The model and its optimiser, as a checkpoint sees them."""

    def __init__(self, model: Any, cfg: LMTrainConfig):
        self.model, self.cfg = model, cfg
        self.names = dict(model.named_parameters())
        matrices = [p for name, p in self.names.items() if p.ndim > 1 and ".layers." in name]
        others = [p for name, p in self.names.items() if not (p.ndim > 1 and ".layers." in name)]
        groups = [{"params": matrices, "weight_decay": cfg.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=cfg.lr, betas=(0.9, 0.98), fused=True)

    def state(self) -> dict[str, Tensor]:
        return {f"p/{name}": p.detach() for name, p in self.names.items()} | adam_state(self.optimizer, self.names)

    def scalars(self) -> dict[str, Any]:
        return {}

    def load_state(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, p in self.names.items():
                p.copy_(tensors[f"p/{name}"])
        load_adam_state(self.optimizer, self.names, tensors)

    def step(self, rows_BP: Int[Tensor, "batch pos"], step: int) -> float:
        """One update; returns the loss in nats per token. Nothing is changed when it is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.cfg.lr_at(step)
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for micro_BP in rows_BP.split(max(1, MICRO_TOKENS // self.cfg.context)):
            loss = cross_entropy(self.model, micro_BP, self.cfg.precision) * (len(micro_BP) / len(rows_BP))
            loss.backward()
            total += loss.item()
        if math.isfinite(total):
            torch.nn.utils.clip_grad_norm_(self.names.values(), 1.0)
            self.optimizer.step()
        return total


def cross_entropy(model: Any, rows_BP: Int[Tensor, "batch pos"], precision: str = "float32") -> Float[Tensor, ""]:
    """Mean of -ln P(next token) over all positions but the last, with its gradient."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        h_BPD = model.base_model(rows_BP[:, :-1], use_cache=False).last_hidden_state
    unembedding = model.get_output_embeddings().weight
    return unembedded_cross_entropy(h_BPD.float().flatten(0, 1), unembedding, rows_BP[:, 1:].flatten(), precision == "bfloat16")


def train_language_model(
    model: Any,
    stream: TokenStream,
    cfg: LMTrainConfig,
    *,
    stamp: dict[str, Any],
    checkpoints: Path | None = None,
    stage: Callable[[int, int], AbstractContextManager[Callable[..., None]]] | None = None,
    record: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Train `model` in place. The newest checkpoint is continued; Ctrl-C and SIGTERM write one before they end the run.

    `stage(total, done)` opens a progress display in tokens. `stamp` says what a checkpoint must share with the run that continues it.
    Raises: TrainingDiverged, ProvenanceMismatch, NoTokens.
    """
    trainee: Any = LMTrainee(model, cfg)
    order = Order(stream, cfg.context, cfg.seed)
    resumed = load_checkpoint(checkpoints, {"lm": trainee}, stamp) if checkpoints else None
    first, per_step = resumed.step if resumed else 0, cfg.n_rows * cfg.context
    display = stage(cfg.n_steps * per_step, first * per_step) if stage else nullcontext(lambda done, **facts: None)
    model.train()
    saved_at = time.monotonic()
    with display as tick, StopRequest() as stop:
        for step, rows in zip(range(first, cfg.n_steps), order.batches(cfg.n_rows, first=first), strict=False):
            loss = trainee.step(rows, step)
            if not math.isfinite(loss):
                raise TrainingDiverged(
                    f"the loss was not finite at step {step} of {cfg.n_steps}. Lower --lr, and start anew with --replace."
                )
            tick((step + 1) * per_step, loss=loss)
            if record:
                record({"step": step + 1, "tokens": (step + 1) * per_step, "loss": loss, "lr": cfg.lr_at(step)})
            due = time.monotonic() - saved_at > 60 * cfg.checkpoint_minutes
            if stop.requested or (due and step + 1 < cfg.n_steps):
                path = save_checkpoint(checkpoints, {"lm": trainee}, Progress(step + 1, 0, {}), stamp) if checkpoints else None
                saved_at = time.monotonic()
                stop.obey(path)
    model.eval()
