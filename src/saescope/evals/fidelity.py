"""What the model loses when x_hat takes the place of x: cross-entropy, KL, agreement. Every row shares the clean forwards.

Only counted positions are spliced; the others keep x. `.with_bos` metrics splice and count every real position.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from saescope.activations.encode import Dictionary
from saescope.evals.per_point import CleanActs, row_of
from saescope.evals.result import Better, Metric
from saescope.evals.sums import Array, DocumentSums, Intervals, mean
from saescope.interventions.edits import Ablate, Patch, Replace
from saescope.models.route import Route
from saescope.shapes import Bool, Float, Int, Tensor

if TYPE_CHECKING:
    from saescope.data.packing import TokenBatch
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel

BATCH_BUDGET = 2**24
"""Most logits, and most dense latents, of one fidelity batch (64 MiB in float32): it sets its number of sequences."""
CHUNK_BUDGET = 2**22
"""Most logits of one softmax (16 MiB in float32)."""
LEAST_GAP = 0.01
"""Nats below which an ablation changes too little for a ratio."""
NATS = "nats/token"


class Fidelity:
    """Per-document sums of every splice, and the metrics of a row from them.

    Columns: `tokens`, then the cross-entropy sums `clean`, `zero`, `mean` and one per row, then `<row>.kl`, `.top1`, `.tv`.
    """

    def __init__(self, intervals: Intervals, d_vocab: int):
        self.intervals, self.d_vocab = intervals, d_vocab
        self.counted, self.everywhere = DocumentSums(), DocumentSums()

    def row(self, name: str, *, with_bos: bool) -> dict[str, Metric]:
        """All metrics of the row `name` ("clean" for a reconstruction that is exact)."""
        metrics = self._cross_entropies(self.counted, name, "")
        distances: dict[str, tuple[str, Better]] = {"kl": (NATS, "lower"), "top1_agree": ("share of tokens", "higher"), "tv": ("", "lower")}
        for key, (unit, better) in distances.items():
            metrics[f"fidelity.{key}"] = self.intervals.metric(
                self.counted,
                mean,
                ("tokens", f"{name}.{key}"),
                unit=unit,
                better=better,
            )
        return metrics | (self._cross_entropies(self.everywhere, name, ".with_bos") if with_bos else {})

    def _cross_entropies(self, sums: DocumentSums, name: str, suffix: str) -> dict[str, Metric]:
        metric = self.intervals.metric
        columns = {"clean": "clean", "sae": name, "zero": "zero", "mean": "mean"}
        metrics = {
            f"fidelity.ce.{key}{suffix}": metric(sums, mean, ("tokens", column), unit=NATS, better="lower" if key == "sae" else "")
            for key, column in columns.items()
        }
        metrics[f"fidelity.delta_ce{suffix}"] = metric(sums, delta, ("tokens", "clean", name), unit=NATS, better="lower")
        for how in ("zero", "mean"):
            metrics[f"fidelity.recovered.{how}{suffix}"] = self._recovered(sums, name, how)
        return metrics

    def _recovered(self, sums: DocumentSums, name: str, how: str) -> Metric:
        tokens = sums.total("tokens")
        gap = float((sums.total(how) - sums.total("clean")) / tokens) if tokens else 0.0
        small = f"{how} ablation adds {gap:.2g} nats to the cross-entropy, less than {LEAST_GAP}: no ratio"
        if gap < LEAST_GAP:
            return Metric(None, n=int(tokens), unit="share", better="higher", reason=small)
        return self.intervals.metric(sums, recovered, ("tokens", "clean", name, how), unit="share", better="higher")

    def warnings(self) -> list[str]:
        """Ablations that leave the model worse than knowing nothing: each flatters every ratio over it."""
        tokens, nothing_known = self.counted.total("tokens"), math.log(self.d_vocab)
        ces = {how: float(self.counted.total(how) / tokens) for how in ("zero", "mean") if tokens}
        return [
            f"{how} ablation gives a cross-entropy of {ce:.2f} nats, above ln V = {nothing_known:.2f}: "
            f"recovered.{how} is flattering; read delta CE"
            for how, ce in ces.items()
            if ce > nothing_known
        ]


def delta(tokens: Array, clean: Array, spliced: Array) -> Array:
    """CE_sae - CE_clean, in nats per token; positive is worse."""
    return (spliced - clean) / tokens


def recovered(tokens: Array, clean: Array, spliced: Array, ablated: Array) -> Array:
    """(CE_ablated - CE_sae) / (CE_ablated - CE_clean), from sums."""
    return (ablated - spliced) / (ablated - clean)


@torch.no_grad()
def fidelity_pass(
    lm: "LanguageModel",
    at: "HookPoint | Route",
    batches: "Iterable[TokenBatch]",
    splices: "Sequence[Splice]",
    sums: Fidelity,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Fill `sums` from the batches: one clean forward each, and one or two for every splice."""
    done, route = 0, Route.of(lm, at)
    for batch in batches:
        done += int(batch.counted.sum())
        if bool(batch.predicts_with_bos.any()):
            logits, acts = _clean_pass(lm, route, batch)
            clean = _Clean(logits, batch)
            ones = torch.ones_like(clean.ce)
            exact = {"tokens": ones, "clean": clean.ce, "clean.kl": 0 * ones, "clean.top1_agree": ones, "clean.tv": 0 * ones}
            sums.counted.add(clean.docs[clean.counted], {key: value[clean.counted] for key, value in exact.items()})
            sums.everywhere.add(clean.docs, {"tokens": ones, "clean": clean.ce})
            for splice in splices:
                logits = _logits(lm, batch, splice.edits(batch.counted, acts))
                values = clean.against(logits, compare=splice.compare)
                sums.counted.add(clean.docs[clean.counted], {splice.name + key: value[clean.counted] for key, value in values.items()})
                if splice.with_bos:
                    logits = _logits(lm, batch, splice.edits(batch.mask, acts))
                    sums.everywhere.add(clean.docs, {splice.name: clean.against(logits, compare=False)[""]})
        if progress:
            progress(done)


def _logits(lm: "LanguageModel", batch: "TokenBatch", edits: Sequence[Any]) -> Float[Tensor, "batch pos d_vocab"]:
    logits = lm.run(batch.tokens, mask=batch.mask, edit=edits).logits
    assert logits is not None, "a pass without stop_at has logits"
    return logits


def _clean_pass(lm: "LanguageModel", route: Route, batch: "TokenBatch") -> tuple[Float[Tensor, "batch pos d_vocab"], CleanActs]:
    """Logits, and the activations where splices are made of them: edits at one hook point would change what is read at the next."""
    run = lm.run(batch.tokens, mask=batch.mask, read=route.reads if len(route.reads) > 1 else ())
    assert run.logits is not None, "a pass without stop_at has logits"
    return run.logits, CleanActs(route, run.acts)


@dataclass(frozen=True)
class Splice:
    """What takes the place of x in one row's forwards."""

    name: str
    edits: Callable[[Bool[Tensor, "batch pos"], CleanActs], Sequence[Any]]
    """The edits, from the positions they act on and what the clean model has there."""
    with_bos: bool
    """Whether the splice of all real positions is measured too: one more forward."""
    compare: bool = True
    """Whether KL, agreement and total variation are measured."""


def splices(
    at: "HookPoint | Route", mean_x: Float[Tensor, " d"], rows: Mapping[str, Dictionary], with_bos: Collection[str]
) -> list[Splice]:
    """The two ablations of what is reconstructed, x_hat of every row and, of the row `sae` of a crosscoder, of each hook point alone."""
    route = at if isinstance(at, Route) else Route((at,))
    points = route.writes
    several = len(route.reads) > 1

    def zero(where: Tensor, _: CleanActs) -> list[Any]:
        return [Ablate(None, how="zero", at=point, positions=where) for point in points]

    def at_mean(where: Tensor, clean: CleanActs) -> list[Any]:
        return [Ablate(None, how="mean", at=point, reference=part, positions=where) for point, part in clean.parts(mean_x).items()]

    def replaced(row: Dictionary) -> Callable[[Tensor, CleanActs], list[Any]]:
        return lambda where, _: [Replace(row, at=points[0], positions=where, read=route.reads[0] if route.target else None)]

    def patched(row: Dictionary, which: "Sequence[HookPoint]") -> Callable[[Tensor, CleanActs], list[Any]]:
        return lambda where, clean: [Patch(clean.x_hat(row)[point], at=point, positions=where) for point in which]

    found = [Splice("zero", zero, with_bos=True, compare=False), Splice("mean", at_mean, with_bos=True, compare=False)]
    for name, row in rows.items():
        found.append(Splice(name, patched(row, points) if several else replaced(row), with_bos=name in with_bos))
    if several and "sae" in rows:
        found += [Splice(row_of(point), patched(rows["sae"], [point]), with_bos=False) for point in points]
    return found


class _Clean:
    """The clean predictions of one batch: log-probabilities [n, V] at every position that predicts a token."""

    def __init__(self, logits: Float[Tensor, "batch pos d_vocab"], batch: "TokenBatch"):
        where_BP = batch.predicts_with_bos
        self.counted: Bool[Tensor, " n"] = batch.predicts[where_BP]
        self.docs: Int[Tensor, " n"] = batch.doc_ids[where_BP]
        self.targets = batch.tokens.roll(-1, dims=1)[where_BP].to(logits.device)
        self.places = where_BP.flatten().nonzero()[:, 0].to(logits.device)
        # Filled chunk by chunk: float32 copies of all logits never exist beside it.
        self.log_p = torch.empty(len(self.places), logits.shape[-1], device=logits.device)
        for part in self._parts():
            self.log_p[part] = self._log_softmax(logits, part)
        self.top = self.log_p.argmax(-1)
        self.ce = self._ce(self.log_p, slice(None)).cpu().double()

    def against(self, logits: Float[Tensor, "batch pos d_vocab"], *, compare: bool) -> dict[str, Float[Tensor, " n"]]:
        """Cross-entropy ("") of other logits; with `compare` also KL(p, q) in nats, top-1 agreement and 1/2 sum |p - q|."""
        chunks: list[dict[str, Tensor]] = []
        for part in self._parts():
            log_p, log_q = self.log_p[part], self._log_softmax(logits, part)
            values = {"": self._ce(log_q, part)}
            if compare:
                p = log_p.exp()
                values[".kl"] = (p * (log_p - log_q)).sum(-1)
                values[".top1_agree"] = self.top[part] == log_q.argmax(-1)
                values[".tv"] = 0.5 * (p - log_q.exp_()).abs_().sum(-1)
            chunks.append(values)
        return {key: torch.cat([values[key] for values in chunks]).cpu().double() for key in chunks[0]}

    def _log_softmax(self, logits: Float[Tensor, "batch pos d_vocab"], part: slice) -> Float[Tensor, "n d_vocab"]:
        return logits.flatten(0, 1)[self.places[part]].float().log_softmax(-1)

    def _ce(self, log_q: Float[Tensor, "n d_vocab"], part: slice) -> Float[Tensor, " n"]:
        return -log_q.gather(1, self.targets[part, None])[:, 0]

    def _parts(self) -> Iterator[slice]:
        step = max(1, CHUNK_BUDGET // self.log_p.shape[1])
        return (slice(start, start + step) for start in range(0, len(self.log_p), step))


def fidelity_batch(context: int, widest: int, most: int) -> int:
    """Sequences of a batch whose `widest` rows (logits, or an SAE's latents) fit the budget."""
    return max(1, min(most, BATCH_BUDGET // (context * widest)))
