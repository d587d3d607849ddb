"""How a run went: the facts of its records against tokens, one chart each, a curve per SAE. Of unfinished runs too."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saescope.render.numbers import number, percent

MOST_POINTS = 120
"""Points of a curve; of more records each is the mean of neighbouring ones, and where curves are few a band is their range."""
TITLES = {
    "fvu": ("FVU", "squared error over the variance of what is reconstructed, of the batch"),
    "l0": ("L0", "latents active per token of the batch, by the rule of training"),
    "dead": ("Dead latents", "share of latents silent for longer than the run's limit"),
    "mse": ("Squared error", "loss term: sum over coordinates, mean over tokens, inputs at unit mean square"),
    "sparsity": ("Sparsity penalty", "loss term, with its coefficient"),
    "auxk": ("AuxK", "loss term: what dead latents make of the error"),
    "aux": ("Auxiliary reconstruction", "loss term: by the gate alone"),
    "pre_act": ("Pre-activation penalty", "loss term: for dead latents below their threshold"),
    "end_to_end": ("End-to-end loss", "loss term: KL and downstream error with their weights"),
    "kl": ("KL divergence", "nats per token: the model's predictions against those from reconstructions"),
    "downstream": ("Downstream error", "squared error at later hook points"),
    "sparsity_scale": ("Scale of the penalty", "warm-up, times the control that reaches a wanted L0"),
    "window": ("Window hits", "share of pre-activations so near their threshold that it learns from them"),
    "pairs": ("Pairs", "share of (token, latent) pairs that a step computes with; above a tenth it takes them all"),
    "resampled": ("Resampled latents", "dead latents that were given new directions, so far"),
    "lr": ("Learning rate", "of Adam"),
    "skipped_steps": ("Skipped steps", "without a finite loss, so far"),
}
FIRST, LAST = ("fvu", "l0", "dead"), ("sparsity_scale", "window", "pairs", "resampled", "lr", "skipped_steps")
ALWAYS = (*FIRST, "lr")
"""Shown where they are constant, too."""
SETTINGS = ("dead_after_tokens", "sparse", "input_scale", "scale_outliers", "scales", "step", "tokens")
"""No course: constants of the run."""
SHARES = ("dead", "pairs")
ALONE = 1
"""Style of a run's only SAE: the orange of all charts of one thing."""


@dataclass(frozen=True)
class TrainingCurve:
    """One fact of one SAE: points (tokens, mean, least, most). `style` is the place of the SAE among all of the run."""

    name: str
    style: int
    points: tuple[tuple[float, float, float, float], ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True)
class CurvePanel:
    """One chart: a fact, of all SAEs that have it."""

    key: str
    curves: tuple[TrainingCurve, ...]

    @property
    def title(self) -> str:
        return TITLES.get(self.key, (self.key.replace("_", " "), ""))[0]

    @property
    def about(self) -> str:
        return TITLES.get(self.key, ("", ""))[1]

    @property
    def end(self) -> str:
        """The last value; of several SAEs the range."""
        values = [curve.last for curve in self.curves]
        low, high = self.text(min(values)), self.text(max(values))
        return low if low == high else f"{low} .. {high}"

    def text(self, value: float) -> str:
        return percent(value) if self.key in SHARES else number(value)


@dataclass(frozen=True)
class TrainingCurves:
    """All charts of a run."""

    names: tuple[str, ...]
    """SAEs, in the order of their styles."""
    panels: tuple[CurvePanel, ...]
    n_records: int
    tokens: int
    """Where the last record stands."""
    per_point: int = 1
    """Records in one point."""


def training_curves(records: Sequence[Mapping[str, Any]], *, only: str | None = None) -> TrainingCurves | None:
    """The charts of the records in a run's metrics.jsonl, of all its SAEs or `only` one; None where there is none yet.

    What a record holds is drawn, known or not: FVU, L0 and dead share first, loss terms next, schedules last. Numbers only, and
    none that never changed (but for those in `ALWAYS`).
    """
    told = [record for record in records if (only in record.get("saes", {}) if only is not None else record.get("saes"))]
    if not told:
        return None
    names = (only,) if only is not None else tuple(dict.fromkeys(name for record in told for name in record["saes"]))
    per_point = math.ceil(len(told) / MOST_POINTS)
    panels = []
    for key in _ordered({fact: None for record in told for facts in record["saes"].values() for fact in ("skipped_steps", *facts)}):
        styles = enumerate(names) if len(names) > 1 else ((ALONE, name) for name in names)
        courses = (TrainingCurve(name, style, _points(told, name, key, per_point)) for style, name in styles)
        curves = tuple(curve for curve in courses if curve.points)
        seen = {value for curve in curves for point in curve.points for value in point[2:]}
        if curves and (len(seen) > 1 or key in ALWAYS):
            panels.append(CurvePanel(key, curves))
    return TrainingCurves(names, tuple(panels), len(told), told[-1]["tokens"], per_point)


def _ordered(keys: Mapping[str, None]) -> list[str]:
    """FVU, L0, dead; then loss terms and whatever is new, as the records have them; then schedules."""
    between = [key for key in keys if key not in (*FIRST, *LAST, *SETTINGS)]
    return [key for key in (*FIRST, *between, *LAST) if key in keys]


def _points(records: Sequence[Mapping[str, Any]], name: str, key: str, per_point: int) -> tuple[tuple[float, float, float, float], ...]:
    found = []
    for i in range(0, len(records), per_point):
        group = [(record["tokens"], _value(record, name, key)) for record in records[i : i + per_point]]
        values = [value for _, value in group if value is not None]
        if values:
            found.append((float(group[-1][0]), sum(values) / len(values), min(values), max(values)))
    return tuple(found)


def _value(record: Mapping[str, Any], name: str, key: str) -> float | None:
    value = record.get(key) if key == "skipped_steps" else record["saes"].get(name, {}).get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
