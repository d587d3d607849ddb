"""Where the neuron and the feature of a pair stand: against random texts, and among all neurons and all latents."""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np

from saescope.evals.topic_convergence import MEASURES
from saescope.render.before_after import Better, MeasureCell, MeasureRow

Values = Mapping[str, np.ndarray]
"""By key of MEASURES a value for each set of texts; NaN where it does not exist."""


def measure_rows(pair: Values, neurons: Values, latents: Values, random: Values) -> tuple[MeasureRow, ...]:
    """A row for each measure; `pair` holds the neuron's value, then the feature's."""
    rows = []
    for key, (neuron, feature) in pair.items():
        name, better, about = MEASURES[key]
        chance = random[key][np.isfinite(random[key])]
        mean, sd = (float(chance.mean()), float(chance.std())) if len(chance) else (None, None)
        cells = (_cell(float(value), mean, sd, neurons[key], latents[key]) for value in (neuron, feature))
        rows.append(
            MeasureRow(
                name=name,
                about=about,
                better=cast(Better, better),
                neuron=next(cells),
                feature=next(cells),
                random=mean,
                random_sd=sd,
                neurons=median(neurons[key]),
                latents=median(latents[key]),
            )
        )
    return tuple(rows)


def median(values: np.ndarray) -> float | None:
    """Of the values that exist; None where none does."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None


def share_below(values: np.ndarray, value: float) -> float | None:
    """Share of the values that are smaller, and half of those that are equal."""
    values = values[np.isfinite(values)]
    if not len(values) or not math.isfinite(value):
        return None
    return float(((values < value).sum() + (values == value).sum() / 2) / len(values))


def _cell(value: float, mean: float | None, sd: float | None, neurons: np.ndarray, latents: np.ndarray) -> MeasureCell:
    if not math.isfinite(value):
        return MeasureCell(None)
    z = (value - mean) / sd if mean is not None and sd else None
    return MeasureCell(value, z, share_below(neurons, value), share_below(latents, value))
