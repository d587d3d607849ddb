"""What table H says of latents: the label each is best at, how purely, and which latent is best at a label.

With pi_ib(c) the share of class c among the tokens on which latent i is in interval b (of 11), and base_c its share in the corpus,

    kappa_ib(c) = (pi_ib(c) - base_c) / (1 - base_c)        1: all of them are c;  0: no more of them than everywhere

Everything that is chosen here is chosen on the table of the selection documents; `figures` then reads that of the report documents.

The purest label is the one of kappa, by which purity is defined; but labels nest (DNA is written in Latin letters, a topic is prose), and
of two that hold everywhere kappa cannot prefer the narrower one. So the label that names a latent is the one of the best F1, which asks
for recall as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch

from saescope.evals.concept_table import BINS, ConceptTable, by_family, intervals
from saescope.shapes import Float, Int, Tensor

LEAST_TOKENS = 10
"""Tokens of an interval below which its share says nothing."""
LEAST_PRECISION = 0.8
_SLAB = 512
"""Latents looked at at once: some 50 MB."""


@dataclass(frozen=True)
class Figures:
    """Numbers of pairs (latent, label), one entry per pair; NaN where there is nothing to count."""

    precision: Float[Tensor, " pairs"]
    """Share of the latent's active tokens that have the label."""
    recall: Float[Tensor, " pairs"]
    """Share of the label's tokens on which the latent is on."""
    purity: Float[Tensor, " pairs"]
    """P: mean of kappa over the intervals with at least 10 tokens, clipped to [0, 1]."""
    p_mass: Float[Tensor, " pairs"]
    """Share of the latent's whole activation that falls on the label."""
    base: Float[Tensor, " pairs"]
    """Share of the label in the text."""
    n_eff: Float[Tensor, " pairs"]
    """Breadth: exp of the entropy of p = r / sum r, r_k = E[f | class k of the label's family]; 1: one class only."""
    active: Int[Tensor, " pairs"]
    """Tokens on which the latent is on (decided ones)."""
    share: Float[Tensor, "pairs intervals"]
    """Share of the label in each interval, weakest first."""
    n: Int[Tensor, "pairs intervals"]
    """Tokens of each interval."""


def figures(table: ConceptTable, latent_K: Int[Tensor, " pairs"], column_K: Int[Tensor, " pairs"]) -> Figures:
    """The numbers of some pairs; a column of -1 is no label and has none."""
    slabs = [_figures(table, latent_K[i : i + _SLAB], column_K[i : i + _SLAB]) for i in range(0, max(1, len(latent_K)), _SLAB)]
    return Figures(**{field.name: torch.cat([getattr(slab, field.name) for slab in slabs]) for field in fields(Figures)})


def _figures(table: ConceptTable, latent: Int[Tensor, " pairs"], column_K: Int[Tensor, " pairs"]) -> Figures:
    classes, no_label = table.classes, column_K < 0
    column = column_K.clamp_min(0)
    own_KC = classes.family == classes.family[column][:, None]
    H = table.H_FBC[latent].double()
    hits_KI = intervals(H.gather(2, column[:, None, None].expand(-1, BINS, 1))[..., 0])
    n_KI = intervals((H * own_KC[:, None]).sum(2))
    hits, active, base = hits_KI.sum(1), n_KI.sum(1), table.base_C[column]
    kappa = (hits_KI / n_KI - base[:, None]) / (1 - base[:, None])
    A_KC = table.A_FC[latent] * own_KC
    columns = {
        "precision": hits / active,
        "recall": hits / table.n_C[column],
        "purity": kappa.where(n_KI >= LEAST_TOKENS, torch.nan).nanmean(1).clamp(0, 1),
        "p_mass": A_KC.gather(1, column[:, None])[:, 0] / A_KC.sum(1),
        "base": base,
        "n_eff": _breadth(A_KC, table.n_C),
    }
    return Figures(
        **{name: value.masked_fill(no_label, torch.nan) for name, value in columns.items()},
        active=active.long(),
        share=(hits_KI / n_KI).masked_fill(no_label[:, None], torch.nan),
        n=n_KI.long(),
    )


def _breadth(A_KC: Float[Tensor, "pairs classes"], n_C: Int[Tensor, " classes"]) -> Float[Tensor, " pairs"]:
    r = A_KC / n_C.clamp_min(1)
    p = r / r.sum(1, keepdim=True)
    return torch.exp(-torch.special.xlogy(p, p).sum(1))


def best_labels(table: ConceptTable) -> Int[Tensor, " d_sae"]:
    """The column that names each latent: of the labels that its active tokens have more often than the text, the one of the best F1.

    -1 of a latent that is on for fewer than 10 tokens.
    """
    best = torch.full((len(table),), -1)
    for latents, H in _slabs(table):
        hits = H.sum(1)
        n = by_family(hits, table.classes)
        f1 = 2 * hits / (n + table.n_C)
        able = _possible(table) & (n >= LEAST_TOKENS) & (hits / n > table.base_C)
        top = f1.where(able, 0).max(1)
        best[latents] = top.indices.where(top.values > 0, -1)
    return best


def purest_labels(table: ConceptTable) -> Int[Tensor, " d_sae"]:
    """The column each latent is purest in: argmax over labels of mean_b kappa_ib(c) over the intervals with at least 10 tokens.

    -1 of a latent that has no such interval in any family.
    """
    best = torch.full((len(table),), -1)
    for latents, H in _slabs(table):
        hits = intervals(H)
        n = by_family(hits, table.classes)
        kappa = (hits / n - table.base_C) / (1 - table.base_C)
        mean = kappa.where(n >= LEAST_TOKENS, torch.nan).nanmean(1)
        mean[:, ~_possible(table)] = torch.nan
        top = mean.nan_to_num(nan=-torch.inf).max(1)
        best[latents] = top.indices.where(top.values > -torch.inf, -1)
    return best


def find_concepts(table: ConceptTable, *, least_precision: float = LEAST_PRECISION) -> Int[Tensor, " classes"]:
    """For each label the latent of largest recall among those of at least this precision, else the one of largest precision.

    -1 of a label without tokens, or on which no latent is ever on.
    """
    value, latent = torch.zeros(len(table.classes), dtype=torch.float64), torch.full((len(table.classes),), -1)
    for latents, H in _slabs(table):
        hits = H.sum(1)
        precision = (hits / by_family(hits, table.classes)).nan_to_num(0)
        merit = torch.where(precision >= least_precision, 1 + hits / table.n_C, precision)
        _keep_best(value, latent, merit, latents.start)
    return latent.masked_fill(~_possible(table), -1)


def find_edges(table: ConceptTable) -> tuple[Int[Tensor, " classes"], Int[Tensor, " classes"]]:
    """For each label the latent and the bin such that "in this bin or a stronger one" has the largest F1; -1 where `find_concepts` has."""
    value, place = torch.zeros(len(table.classes), dtype=torch.float64), torch.full((len(table.classes),), -1)
    for latents, H in _slabs(table):
        hits = H.flip(1).cumsum(1).flip(1)
        f1 = 2 * hits / (by_family(hits, table.classes) + table.n_C)
        _keep_best(value, place, f1.nan_to_num(0).flatten(0, 1), latents.start * BINS)
    place = place.masked_fill(~_possible(table), -1)
    return torch.where(place < 0, -1, place // BINS), torch.where(place < 0, -1, place % BINS)


def at_edge(table: ConceptTable, latent: int, first_bin: int, column: int) -> tuple[float, float]:
    """Precision and recall of "latent in this bin or a stronger one" for a label; NaN of no token."""
    hits = table.H_FBC[latent, first_bin:].sum(0)
    n = by_family(hits, table.classes)
    return float(hits[column].double() / n[column]), float(hits[column].double() / table.n_C[column])


def _keep_best(value: Tensor, place: Tensor, merit: Float[Tensor, "rows classes"], first: int) -> None:
    """Take over what beats the best so far; of equals the first stays."""
    top = merit.max(0)
    better = top.values > value
    value[better], place[better] = top.values[better], top.indices[better] + first


def _possible(table: ConceptTable) -> Tensor:
    """Labels that some, but not all of their family's tokens have."""
    possible = torch.zeros(len(table.classes), dtype=torch.bool)
    possible[table.classes.labels] = True
    return possible & (table.n_C > 0) & (table.n_C < table.family_n_C)


def _slabs(table: ConceptTable) -> Iterator[tuple[slice, Float[Tensor, "slab bins classes"]]]:
    for start in range(0, len(table), _SLAB):
        latents = slice(start, min(start + _SLAB, len(table)))
        yield latents, table.H_FBC[latents].double()
