"""One feature of a bundle: its columns as attributes, its examples, and its card."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from saescope.features.scale import stratum_counts, stratum_edges
from saescope.features.window import Window
from saescope.render import view_models as vm

if TYPE_CHECKING:
    from saescope.features.concepts import Concept
    from saescope.features.store import FeatureStore

_PAIR_TITLES = {"decoder": "decoder cosine", "coactive": "fires together (phi)", "encoder": "encoder cosine"}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Feature:
    """Attributes are the columns of the bundle's feature table; `bundle.py` defines them. NULL is None."""

    store: "FeatureStore"
    feature: int
    n_active: int
    n_first: int
    n_tokens: int
    density: float
    max_act: float
    mean_act: float
    m2: float | None
    skew: float | None
    kurtosis: float | None
    token_entropy: float | None
    top_token_share: float | None
    l0_share: float
    mass_share: float
    enc_dec_cos: float | None
    top_exp: int | None
    hist_lin: list[int]
    hist_log: list[int]
    hist_pos: list[int]
    logit_top: list[int] | None
    logit_top_val: list[float] | None
    logit_bottom: list[int] | None
    logit_bottom_val: list[float] | None
    logit_hist: list[int] | None
    logit_lo: float | None
    logit_hi: float | None
    neuron_id: list[int] | None
    neuron_weight: list[float] | None
    neuron_corr: list[float | None] | None
    flags: int

    def __repr__(self) -> str:
        return f"Feature({self.feature}: on {self.n_active:,} of {self.n_tokens:,} tokens, max_act {self.max_act:.3g}; {self.store.origin})"

    @property
    def id(self) -> int:
        return self.feature

    @property
    def columns(self) -> dict[str, Any]:
        """The columns as one mapping, as JSON can hold it."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "store"}

    @property
    def alive(self) -> bool:
        return self.n_active > 0

    def windows(self, kind: vm.ExampleKind | None = None, context: int = 32) -> list[Window]:
        """Examples with their text, `context` tokens each side (32 are kept)."""
        return self.store.windows(self.feature, kind, context)

    @cached_property
    def tokens_fired(self) -> tuple[vm.TokenValue, ...]:
        """The 32 tokens it fires on most, with their share of its active tokens."""
        rows = self.store.rows("tokens_fired", "token, n", "feature", self.feature)
        return tuple(vm.TokenValue(self.store.display(token), n / self.n_active, token) for token, n in rows)

    @cached_property
    def concept(self) -> "Concept | None":
        """The label it is best at; None where the bundle has no labels, or too few tokens were read to say."""
        return self.store.concept(self.feature)

    def neighbours(self, kind: str) -> list[tuple[int, float]]:
        """(feature, value) of the nearest by "decoder" or "encoder" cosine, or of its "coactive" partners by phi."""
        value = "corr" if kind == "coactive" else "cos"
        rows = self.store.rows("pairs", f"kind, b, {value}", "a", self.feature)
        return [(b, v) for row_kind, b, v in rows if row_kind == kind]

    def card(self, context: int = 32) -> vm.FeatureCard:
        """All that a card shows."""
        return vm.FeatureCard(
            id=self.feature,
            n_active=self.n_active,
            n_tokens=self.n_tokens,
            density=self.density,
            max_act=self.max_act,
            mean_act=self.mean_act,
            mass_share=self.mass_share,
            enc_dec_cos=self.enc_dec_cos,
            flags=vm.flag_names(self.flags),
            histogram=self._histogram(),
            positions=tuple(self.hist_pos),
            top_logits=self._logits(self.logit_top, self.logit_top_val),
            bottom_logits=self._logits(self.logit_bottom, self.logit_bottom_val),
            logit_histogram=self._logit_histogram(),
            top_tokens=self.tokens_fired,
            token_entropy=self.token_entropy,
            neurons=self._neurons(),
            neighbours=self._neighbour_groups(),
            concept=self.concept.view(self.store.concept_provenance) if self.concept else None,
            groups=self._groups(context),
            origin=self.store.origin,
        )

    def _repr_html_(self) -> str:
        from saescope.render.card import card_html

        return card_html(self.card())

    def _histogram(self) -> vm.ActivationHistogram | None:
        if self.top_exp is None:
            return None
        return vm.ActivationHistogram(log=tuple(self.hist_log), lin=tuple(self.hist_lin), top=2.0**self.top_exp)

    def _logit_histogram(self) -> vm.LogitHistogram | None:
        if self.logit_hist is None or self.logit_lo is None or self.logit_hi is None:
            return None
        return vm.LogitHistogram(counts=tuple(self.logit_hist), lo=self.logit_lo, hi=self.logit_hi)

    def _logits(self, ids: Sequence[int] | None, values: Sequence[float] | None) -> tuple[vm.TokenValue, ...]:
        return tuple(vm.TokenValue(self.store.display(i), value, i) for i, value in zip(ids or (), values or (), strict=True))

    def _neurons(self) -> tuple[vm.NeuronRow, ...]:
        columns = zip(self.neuron_id or (), self.neuron_weight or (), self.neuron_corr or (), strict=True)
        return tuple(vm.NeuronRow(i, weight, corr) for i, weight, corr in columns)

    def _neighbour_groups(self) -> tuple[vm.NeighbourGroup, ...]:
        groups = []
        for kind, title in _PAIR_TITLES.items():
            if found := self.neighbours(kind):
                near = tuple(vm.Neighbour(b, value, self.store.top_token(b)) for b, value in found)
                groups.append(vm.NeighbourGroup(title, near))
        return tuple(groups)

    def _groups(self, context: int) -> tuple[vm.ExampleGroup, ...]:
        """Examples by kind; each stratum is a group of its own, with its range and its share of the active tokens."""
        found: dict[tuple[vm.ExampleKind, int], list[vm.ExampleView]] = {}
        for window in self.windows(context=context):
            found.setdefault((window.kind, window.stratum), []).append(window.view())
        edges = stratum_edges(self.top_exp) if self.top_exp is not None else []
        counts = stratum_counts(np.array(self.hist_lin), np.array(self.hist_log))
        groups = []
        for (kind, stratum), views in found.items():
            if kind == "stratum":
                (lo, hi), n = edges[stratum], counts[stratum]
                groups.append(vm.ExampleGroup(kind=kind, examples=tuple(views), lo=lo, hi=hi, n=n, share=n / self.n_active))
            else:
                groups.append(vm.ExampleGroup(kind=kind, examples=tuple(views)))
        return tuple(groups)
