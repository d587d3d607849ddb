"""The mixing pool: rows of one document come in together and leave far apart, at O(batch) per step."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from saescope.activations.source import ActivationSource, Batch
from saescope.draws import draws
from saescope.shapes import Float, Int, Tensor


@dataclass(frozen=True, kw_only=True)
class PoolPlan:
    """A ring of `rows` slots that gives batches of `batch_tokens` out of a stream of `n_tokens`.

    In cycle c, step j gives out the slots perm_c[j b : (j+1) b] and puts the stream's next b rows there. Every row is given
    out once, within 2 x `rows` of its place in the stream. What the ring holds is a function of the step, so a resumed run
    refills it from the last 2 x `rows` rows at most.
    """

    n_tokens: int
    batch_tokens: int
    rows: int
    seed: int

    @classmethod
    def fitting(
        cls, *, n_tokens: int, batch_tokens: int, d_row: int, seed: int, rows: int = 2**18, max_bytes: int = 512 * 2**20
    ) -> "PoolPlan":
        """At most `rows` slots and `max_bytes` of two-byte values, at least 32 batches where there are as many; whole batches."""
        slots = min(rows, max_bytes // (2 * d_row), n_tokens)
        n_batches = max(slots // batch_tokens, min(32, n_tokens // batch_tokens), 1)
        return cls(n_tokens=n_tokens, batch_tokens=batch_tokens, rows=n_batches * batch_tokens, seed=seed)

    @property
    def n_steps(self) -> int:
        return self.n_tokens // self.batch_tokens

    def order(self, cycle: int | str) -> Int[Tensor, " rows"]:
        return torch.from_numpy(draws(self.seed, "pool", 0, cycle).permutation(self.rows))


def mixed(source: ActivationSource, plan: PoolPlan, *, first_step: int = 0) -> Iterator[Float[Tensor, "batch_tokens d_row"]]:
    """The batches of steps first_step, first_step + 1, ... of `plan`; equal to those of a run from step 0."""
    b, per_cycle = plan.batch_tokens, plan.rows // plan.batch_tokens
    first_drained = plan.n_steps - per_cycle
    cycle = min(first_step, first_drained) // per_cycle
    start = cycle * plan.rows
    stream = _batches_of(b, source.batches(plan.n_steps * b - start, seed=plan.seed, start=start))
    # At the start of cycle c the ring holds the stream's rows [c P, (c + 1) P), where cycle c - 1 has put them.
    slots = plan.order(cycle - 1) if cycle else torch.arange(plan.rows)
    head = next(stream)
    ring = head.new_empty(plan.rows, head.shape[1])
    ring[slots[:b]] = head
    for batch_slots in slots.split(b)[1:]:
        ring[batch_slots] = next(stream)
    order = slots
    for step in range(cycle * per_cycle, first_drained):
        if step % per_cycle == 0:
            order = plan.order(step // per_cycle)
        batch_slots = order[step % per_cycle * b :][:b]
        if step >= first_step:
            yield ring[batch_slots]
        ring[batch_slots] = next(stream)
    for batch_slots in plan.order("drain").split(b)[max(0, first_step - first_drained) :]:
        yield ring[batch_slots]


def _batches_of(n: int, batches: Iterator[Batch]) -> Iterator[Float[Tensor, "n d_row"]]:
    """The same rows in batches of exactly n; a rest shorter than n is left out."""
    held: list[Tensor] = []
    count = 0
    for batch in batches:
        held.append(batch.rows)
        count += len(batch.rows)
        if count >= n:
            joined = torch.cat(held)
            whole = count // n * n
            yield from joined[:whole].split(n)
            held, count = [joined[whole:]], count - whole
