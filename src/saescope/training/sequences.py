"""Training steps of whole sequences, in the order of the stream."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from saescope.data.packing import TokenBatch

_PADDING = {"tokens": 0, "mask": False, "doc_ids": -1, "places": -1, "counted": False, "predicts": False, "predicts_with_bos": False}


def whole_sequences(batches: "Iterable[TokenBatch]", batch_tokens: int, *, first_step: int = 0) -> "Iterator[TokenBatch]":
    """The sequences of steps first_step, first_step + 1, ...: so many that after step j (j + 1) * batch_tokens tokens have counted.

    The last sequence of a step may go beyond; the next step is shorter by as much, so that a run reads what it was given. No
    sequence may have more than batch_tokens.
    """
    done, step = 0, 0
    held: list[tuple[TokenBatch, int]] = []
    for batch in batches:
        for row, n_counted in enumerate(batch.counted.sum(1).tolist()):
            held.append((batch, row))
            done += n_counted
            if done >= (step + 1) * batch_tokens:
                if step >= first_step:
                    yield _gathered(held)
                held, step = [], step + 1


def _gathered(sequences: "list[tuple[TokenBatch, int]]") -> "TokenBatch":
    """Sequences of several batches as one, padded on the right to the longest."""
    kind = type(sequences[0][0])
    lengths = [int(batch.mask[row].sum()) for batch, row in sequences]
    columns = {}
    for name, padding in _PADDING.items():
        column = getattr(sequences[0][0], name).new_full((len(sequences), max(lengths)), padding)
        for to, (length, (batch, row)) in enumerate(zip(lengths, sequences, strict=True)):
            column[to, :length] = getattr(batch, name)[row, :length]
        columns[name] = column
    assert set(columns) | {"rows"} == {field.name for field in fields(kind)}
    return kind(**columns, rows=torch.stack([batch.rows[row] for batch, row in sequences]))
