"""`concepts`: which label each latent is best at, and which latent is best at each label. Chosen on S, measured on R.

S (selection documents)   max_i, table H -> best label of every latent; best latent, edge and token rule of every label
R (report documents)      table H, distinct tokens, top texts -> every number that is shown
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from saescope import errors
from saescope._version import __version__
from saescope.activations.encode import Dictionary, EncodeOnly, Reducer, encode_pass
from saescope.data.corpus import Corpus, Document
from saescope.data.labels import Labeller
from saescope.data.packing import PackConfig
from saescope.evals import tokens
from saescope.evals.concept_report import ConceptReport, Edge, Found, RowReport
from saescope.evals.concept_scores import at_edge, best_labels, figures, find_concepts, find_edges, purest_labels
from saescope.evals.concept_table import Classes, ConceptTable
from saescope.evals.concept_tokens import Chosen, DistinctTokens, TokenClasses, TokenLabels, TokenRule, TopTexts, token_rule
from saescope.evals.controls import Coordinates, Moments, neurons
from saescope.evals.sparsity import Firing
from saescope.models.route import Route
from saescope.saes.storage import sae_sha256
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel

Progress = Callable[[str, int, int], None]
"""Called with (part, counted tokens done, counted tokens in all); parts: "maxima", "select", "report"."""
_SIGN_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class ConceptConfig:
    """How much text the labels are chosen on, and how much they are measured on."""

    select_tokens: int = 500_000
    """Counted tokens of S, or all of them where there are fewer."""
    report_tokens: int = 500_000
    """Counted tokens of R."""
    top_texts: int = 20
    """Texts of a latent in which its label is searched: those with its largest activations."""

    def __post_init__(self) -> None:
        for name in ("select_tokens", "report_tokens", "top_texts"):
            if getattr(self, name) < 1:
                raise errors.ConfigError(f"{name}={getattr(self, name)} leaves nothing to look at. Expected at least 1.")


def concepts(
    rows: Mapping[str, Dictionary],
    lm: "LanguageModel",
    at: "HookPoint | str | Route",
    corpus: Corpus,
    cfg: ConceptConfig,
    *,
    pack: PackConfig,
    largest: Mapping[str, Float[Tensor, " d_sae"]] | None = None,
    progress: Progress | None = None,
) -> ConceptReport:
    """Labels of the latents of every row ("sae", "neurons", ...), on the same text, each part of which is encoded once for all rows.

    `largest` gives max_i of some rows; those of the others take a pass over S of their own. Every label of the corpus is looked for.
    Raises: WidthMismatch, UnknownHookPoint, NoTokens, NonFiniteActivations.
    """
    route = Route.of(lm, at)
    for name, row in rows.items():
        if row.d_in != (width := route.d_in(lm)):
            raise errors.WidthMismatch(f"row {name!r} reads d_in={row.d_in}, but {route.input} of {lm.name} is {width} wide.")
    job = _Search(rows, lm, route, corpus, cfg, pack, progress or (lambda *_: None))
    job.read_maxima(dict(largest or {}))
    job.select()
    return job.report()


def neuron_row(lm: "LanguageModel", at: "HookPoint | str | Route", corpus: Corpus, pack: PackConfig) -> Coordinates:
    """The model's own coordinates, of what is read, as a dictionary: two halves each where the text's first tokens show signs."""
    route = Route.of(lm, at).input
    fit = Moments(route.d_in(lm), sample_rows=1)
    documents, _ = tokens.selection_documents(corpus)
    read, _ = tokens.DocumentReader(documents, lm.tokenizer, pack).take(_SIGN_TOKENS)
    plain = EncodeOnly(Coordinates(torch.zeros(route.d_in(lm), device=lm.device), signed=False))
    encode_pass(lm, route, tokens.batches(read, lm.tokenizer, pack), {"x": (plain, [fit])})
    return neurons(fit)


class _Search:
    """The steps of `concepts`, and what they leave for one another."""

    def __init__(
        self,
        rows: Mapping[str, Dictionary],
        lm: "LanguageModel",
        route: Route,
        corpus: Corpus,
        cfg: ConceptConfig,
        pack: PackConfig,
        progress: Progress,
    ):
        self.rows, self.lm, self.route, self.corpus, self.cfg, self.pack, self.progress = rows, lm, route, corpus, cfg, pack, progress
        documents, warning = tokens.selection_documents(corpus)
        self.documents, self.n_select = tokens.DocumentReader(documents, lm.tokenizer, pack).take(cfg.select_tokens)
        self.warnings = [warning] if warning else []
        self.labeller = Labeller(corpus.labelling, lm.tokenizer)
        self.classes = Classes(self.labeller.families)
        self.labels = torch.tensor(self.classes.labels)

    def read_maxima(self, given: dict[str, Tensor]) -> None:
        firing = {name: Firing(row.d_sae) for name, row in self.rows.items() if name not in given}
        if firing:
            self._encode("maxima", self.documents, self.n_select, {name: [reducer] for name, reducer in firing.items()}, labelled=False)
        self.largest = given | {name: reducer.max_F for name, reducer in firing.items()}

    def select(self) -> None:
        """Table H over S, and everything that is chosen on it."""
        tables = self._tables()
        self.select_words = TokenClasses(self.classes, self.lm.d_vocab)
        sinks = {name: [table] for name, table in tables.items()}
        self.n_select = self._encode("select", self.documents, self.n_select, sinks, [self.select_words])
        self.best, self.purest, self.found, self.edges, self.on_select = {}, {}, {}, {}, {}
        for name, table in tables.items():
            table.result()
            self.best[name], self.purest[name] = best_labels(table), purest_labels(table)
            self.found[name], self.edges[name] = find_concepts(table), find_edges(table)
            self.on_select[name] = figures(table, self.found[name][self.labels].clamp_min(0), self.labels)
        self.documents = []

    def report(self) -> ConceptReport:
        """The same over R."""
        reader = tokens.DocumentReader(tokens.report_documents(self.corpus), self.lm.tokenizer, self.pack)
        documents, n = reader.take(self.cfg.report_tokens)
        tables, words, around = self._tables(), TokenClasses(self.classes, self.lm.d_vocab), TokenLabels()
        texts, distinct = {}, {}
        for name, row in self.rows.items():
            latents = torch.cat([self.found[name], self.edges[name][0]]).unique()
            chosen = Chosen(latents[latents >= 0], row.d_sae)
            texts[name], distinct[name] = TopTexts(chosen, self.cfg.top_texts), DistinctTokens(chosen, self.lm.d_vocab)
        sinks = {name: [tables[name], texts[name], distinct[name]] for name in self.rows}
        n_report = self._encode("report", documents, n, sinks, [words, around])
        around.result()
        table = next(iter(tables.values())).result()
        return ConceptReport(
            classes=self.classes,
            n=table.n_C,
            base=table.base_C,
            rows={name: self._row(name, tables[name].result(), texts[name], distinct[name], around) for name in self.rows},
            rules=self._rules(words),
            provenance=self._origin()
            | {"n_tokens_select": self.n_select, "n_tokens_report": n_report, "n_documents_report": len(documents)},
            warnings=self.warnings,
        )

    def _row(self, name: str, table: ConceptTable, texts: TopTexts, distinct: DistinctTokens, around: TokenLabels) -> RowReport:
        latents, (edge_latent, edge_bin), on_select = self.found[name], self.edges[name], self.on_select[name]
        measured = figures(table, latents[self.labels].clamp_min(0), self.labels)
        places = {int(latent): place for place, latent in enumerate(texts.chosen.latents)}
        n_distinct, peaks, found = distinct.result(), texts.result(), {}
        f1 = 2 * on_select.precision * on_select.recall / (on_select.precision + on_select.recall)

        def searched(latent: int, column: int) -> dict[str, int]:
            """In how many of its top texts the label occurs."""
            at, family = peaks[places[latent]], int(self.classes.family[column])
            return {"texts": len(at), "texts_with": int(around.near(at, family, self.classes.place(column)).sum())}

        for k, column in enumerate(self.classes.labels):
            if (latent := int(latents[column])) < 0:
                continue
            edge = int(edge_latent[column]), int(edge_bin[column])
            precision, recall = at_edge(table, *edge, column)
            found[column] = Found(
                latent=latent,
                precision=float(measured.precision[k]),
                recall=float(measured.recall[k]),
                purity=float(measured.purity[k]),
                active=int(measured.active[k]),
                distinct_tokens=int(n_distinct[places[latent]]),
                **searched(latent, column),
                edge=Edge(latent=edge[0], first_bin=edge[1], precision=precision, recall=recall, **searched(edge[0], column)),
                select_f1=float(f1[k]),
            )
        everyone, row = torch.arange(len(table)), self.rows[name]
        halves = row.d_in if isinstance(row, Coordinates) and row.signed else None
        best, purest = self.best[name], self.purest[name]
        return RowReport(
            best=best,
            figures=figures(table, everyone, best),
            purest=purest,
            purity=figures(table, everyone, purest),
            found=found,
            halves=halves,
        )

    def _rules(self, words: TokenClasses) -> dict[int, TokenRule]:
        """For each label the one-token rule of the recall that the first row's latent has on S."""
        first = next(iter(self.rows))
        recall = zip(self.classes.labels, self.on_select[first].recall.tolist(), strict=True)
        return {column: token_rule(self.select_words, words, column, r) for column, r in recall if int(self.found[first][column]) >= 0}

    def _tables(self) -> dict[str, ConceptTable]:
        return {name: ConceptTable(self.classes, self.largest[name]) for name in self.rows}

    def _encode(
        self,
        part: str,
        documents: Iterable[Document],
        n: int,
        sinks: Mapping[str, list[Any]],
        shared: Iterable[Reducer] = (),
        *,
        labelled: bool = True,
    ) -> int:
        """One pass for all rows; `shared` reducers read the tokens only, and go with the first row."""
        first = next(iter(sinks))
        reducers = {name: (EncodeOnly(self.rows[name]), [*own, *(shared if name == first else ())]) for name, own in sinks.items()}
        batches = tokens.batches(self.labeller.watch(documents) if labelled else documents, self.lm.tokenizer, self.pack)
        labels = self.labeller if labelled else None
        return encode_pass(self.lm, self.route.input, batches, reducers, labels=labels, progress=lambda done: self.progress(part, done, n))

    def _origin(self) -> dict[str, Any]:
        return {
            **({"sae_sha256": sae_sha256(self.rows["sae"])} if "sae" in self.rows else {}),
            **self.lm.fingerprint,
            "hook_point": str(self.route),
            "corpus": self.corpus.name,
            "corpus_sha256": self.corpus.sha256,
            "context_length": self.pack.context,
            "packing": self.pack.packing,
            "config": asdict(self.cfg),
            "version": __version__,
        }
