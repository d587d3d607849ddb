"""Many SAEs beside one another: a point each of L0 against what the model loses, and a refusal of what cannot be compared."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from saescope.errors import ConfigError, ProvenanceMismatch
from saescope.evals.result import EvalResult

SCHEMA = "saescope.pareto/1"
_SAME: dict[str, tuple[str, ...]] = {
    "model": ("weights_sha256", "tokenizer_sha256", "dtype"),
    "hook point": ("hook_point",),
    "text": ("corpus_sha256", "context_length", "packing", "bos_prepended"),
    "tokens": ("bos", "n_documents", "n_tokens", "config.fidelity_tokens", "config.dead_tokens"),
}
"""What must be equal in the provenance of two results, by what it is about."""
_ADVICE = {
    "model": "Measure both in the same model: saescope eval SAE --model MODEL.",
    "hook point": "Only SAEs at one hook point can be compared: leave one out.",
    "text": "Measure both on the same text: saescope eval SAE --text FILE.",
    "tokens": "Measure both on as many tokens: saescope eval SAE --fidelity-tokens N --activation-tokens N --silent-tokens N.",
}
METRICS = {
    "l0": "sparsity.l0",
    "delta_ce": "fidelity.delta_ce",
    "recovered_zero": "fidelity.recovered.zero",
    "recovered_mean": "fidelity.recovered.mean",
    "fvu": "reconstruction.fvu",
}
"""Numbers of a point, and where a result has them."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How an SAE was made: what its result does not say."""

    architecture: str = "sae"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Its architecture's own config."""
    seed: int = 0
    """Of its initial weights."""
    tokens: int | None = None
    """That it was trained on."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One SAE: how it was made, and its numbers on report documents. None: not defined there."""

    name: str
    architecture: str
    options: Mapping[str, Any]
    d_sae: int
    at: str
    seed: int
    tokens: int | None
    l0: float | None
    """Latents per token of `encode`."""
    delta_ce: float | None
    """CE_sae - CE_clean, nats per token."""
    recovered_zero: float | None
    """(CE_zero - CE_sae) / (CE_zero - CE_clean)."""
    recovered_mean: float | None
    fvu: float | None
    silent: float | None
    """Share of the latents without one firing ..."""
    silent_tokens: int | None
    """... in so many tokens."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean, least and largest value over seeds."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Points that differ in their seed only, at least one."""

    name: str
    points: tuple[Point, ...]

    @property
    def first(self) -> Point:
        return self.points[0]

    def spread(self, number: str) -> Spread | None:
        """Over the seeds, of one of METRICS or "silent"; None where a seed has no such number."""
        values = [value for point in self.points if (value := getattr(point, number)) is not None]
        if len(values) < len(self.points):
            return None
        return Spread(mean=sum(values) / len(values), low=min(values), high=max(values))

    def mean(self, number: str) -> float | None:
        spread = self.spread(number)
        return None if spread is None else spread.mean

    def to_json(self) -> dict[str, Any]:
        spreads = {number: self.spread(number) for number in (*METRICS, "silent")}
        numbers = {number: None if spread is None else asdict(spread) for number, spread in spreads.items()}
        return {"name": self.name, "points": [point.name for point in self.points], **numbers}


def points(results: Mapping[str, EvalResult], trained: Mapping[str, Trained] | None = None) -> list[Point]:
    """A point of each result, by hook point in the order of the results, then by architecture, width and L0.

    `trained` says how the SAEs were made; without it they are settings of their own.
    Raises: ProvenanceMismatch where results of one hook point cannot be compared.
    """
    made = trained or {}
    found = [_point(name, result, made.get(name, Trained(options={"of": name}))) for name, result in results.items()]
    order = list(dict.fromkeys(point.at for point in found))
    for at in order:
        refuse_incomparable({point.name: results[point.name] for point in found if point.at == at})
    return sorted(found, key=lambda point: (order.index(point.at), point.architecture, point.d_sae, point.l0 or 0.0))


def refuse_incomparable(results: Mapping[str, EvalResult]) -> None:
    """Numbers may stand side by side if they are of one model, at one hook point, on the same text, counted on the same tokens.

    Raises: ProvenanceMismatch, naming two results and the field in which they differ; ConfigError for no result.
    """
    if not results:
        raise ConfigError("there is no result to compare. Give at least one.")
    (first, reference), *others = results.items()
    for name, result in others:
        for what, keys in _SAME.items():
            for key in keys:
                a, b = _stated(reference, key), _stated(result, key)
                if a != b:
                    raise ProvenanceMismatch(
                        f"{first} and {name} cannot stand in one table, for another {what}: "
                        f"{key} is {_short(a)} of {first}, but {_short(b)} of {name}. {_ADVICE[what]}"
                    )


def settings(found: Iterable[Point]) -> list[Setting]:
    """Points joined over seeds, in the order of their first ones."""
    groups: dict[str, list[Point]] = {}
    for point in found:
        made = [point.at, point.architecture, point.d_sae, point.tokens, dict(point.options)]
        groups.setdefault(json.dumps(made, sort_keys=True, default=str), []).append(point)
    return [
        Setting(name=group[0].name if len(group) == 1 else re.sub(r"-s\d+$", "", group[0].name), points=tuple(group))
        for group in groups.values()
    ]


def to_json(found: Sequence[Point]) -> dict[str, Any]:
    """What `pareto.json` holds: every point, and the settings with their spread over seeds."""
    return {
        "schema": SCHEMA,
        "points": [asdict(point) for point in found],
        "settings": [setting.to_json() for setting in settings(found)],
    }


def _point(name: str, result: EvalResult, made: Trained) -> Point:
    dead, n_latents = result.metric("sae", "sparsity.dead"), result.value("sae", "sparsity.n_latents")
    assert n_latents is not None
    return Point(
        name=name,
        architecture=made.architecture,
        options=dict(made.options),
        d_sae=int(n_latents),
        at=str(result.provenance["hook_point"]),
        seed=made.seed,
        tokens=made.tokens,
        silent=None if dead.value is None else dead.value / n_latents,
        silent_tokens=dead.n,
        **{number: result.value("sae", key) for number, key in METRICS.items()},
    )


def _stated(result: EvalResult, key: str) -> Any:
    """A field of the provenance; dotted ones lie in its config."""
    part, _, name = key.rpartition(".")
    return (result.provenance.get(part) or {}).get(name) if part else result.provenance.get(name)


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,}", value) else str(value)
