"""`evaluate`: the rows of one result table from one corpus, with shared forwards and mandatory controls."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from saescope import errors
from saescope._version import __version__
from saescope.activations.encode import Dictionary, EncodeOnly, encode_pass
from saescope.data.corpus import Corpus, Document
from saescope.data.packing import PackConfig
from saescope.evals import tokens
from saescope.evals.controls import TRAINED, UNTRAINED, Coordinates, Moments, control, impossible
from saescope.evals.fidelity import Fidelity, fidelity_batch, fidelity_pass, splices
from saescope.evals.geometry import geometry
from saescope.evals.per_point import ALIKE, PerPoint, row_of, spliced_note
from saescope.evals.result import EvalResult, Metric
from saescope.evals.rows import RowReducers, check_rows
from saescope.evals.sparsity import Firing
from saescope.evals.sums import Intervals
from saescope.files import environment
from saescope.models.route import Route
from saescope.saes.crosscoder import Crosscoder
from saescope.saes.storage import sae_sha256
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel

Progress = Callable[[str, int, int], None]
"""Called with (part, counted tokens done, counted tokens in all); parts: "select", "activations", "dead", "fidelity"."""
L0_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What is measured, and on how much text."""

    suite: Literal["quick"] = "quick"
    fidelity_tokens: int = 32_000
    """Counted tokens of R whose predictions are compared with x spliced out."""
    activation_tokens: int = 100_000
    """Counted tokens of R for reconstruction and sparsity, for every row."""
    dead_tokens: int | None = None
    """Tokens in which a dead latent never fires; where R holds fewer, the count goes on in S and the training documents.
    None: the activation tokens."""
    select_tokens: int = 32_768
    """Counted tokens of S that means, PCA and the controls are fitted on."""
    controls: tuple[str, ...] = ("neurons", "neurons_topk", "pca", "untrained")
    """Control rows made here, of: neurons, neurons_topk, pca, untrained, random_dictionary."""
    n_resamples: int = 1000
    """Bootstrap resamples of an interval; 0 leaves intervals out."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("fidelity_tokens", "activation_tokens", "select_tokens"):
            if getattr(self, name) < 1:
                raise errors.ConfigError(f"{name}={getattr(self, name)} leaves nothing to measure. Expected at least 1.")
        if self.dead_tokens is not None and self.dead_tokens < 1:
            raise errors.ConfigError(f"dead_tokens={self.dead_tokens} leaves nothing to count. Expected at least 1, or None.")
        if self.n_resamples < 0:
            raise errors.ConfigError(f"n_resamples={self.n_resamples} is negative. Expected 0 (no intervals) or more.")
        if self.suite != "quick":
            raise errors.ConfigError(f"{self.suite!r} is no suite of evaluations. Suites: quick.")
        for name in self.controls:
            if name not in UNTRAINED:
                near = errors.did_you_mean(name, UNTRAINED)
                raise errors.ConfigError(f"{name!r} is not a control row. Rows: {', '.join(UNTRAINED)}.{near}")


def evaluate(
    rows: Mapping[str, Dictionary],
    lm: "LanguageModel",
    at: "HookPoint | str | Route",
    text: Corpus,
    cfg: EvalConfig,
    *,
    pack: PackConfig,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> EvalResult:
    """Every metric of the suite for `rows` (one of them "sae") and for the controls of `cfg`, which are matched to its L0.

    Numbers are from the report documents; means and controls are fitted on the selection documents. Only which latents fire
    (dead, density, ultralow, dense) is counted beyond the report documents where these hold fewer than `cfg.dead_tokens`.
    `at` may be a `Route`: of a transcoder its target is compared and replaced, of a crosscoder all its hook points, each of which
    has a row `sae@POINT` of its own too. `provenance` adds facts to those stated anyway (model, hook point, corpus, sizes, config);
    it replaces none of them.
    Raises: ConfigError (no row "sae"), UnknownHookPoint, WidthMismatch, NoTokens, NonFiniteActivations.
    """
    route = Route.of(lm, at)
    check_rows(rows, lm, route)
    job = Evaluation(rows, lm, route, text, cfg, pack, progress or (lambda *_: None))
    fit = job.fit_selection()
    job.add_controls(fit)
    job.read_activations()
    job.measure_fidelity(fit.mean)
    return job.result(dict(provenance or {}))


class Evaluation:
    """The steps of `evaluate`, and what they leave for one another. `tested` are the rows that get a result, with tables of their own."""

    tested: tuple[str, ...] = ("sae",)

    def __init__(
        self,
        rows: Mapping[str, Dictionary],
        lm: "LanguageModel",
        route: Route,
        text: Corpus,
        cfg: EvalConfig,
        pack: PackConfig,
        progress: Progress,
    ):
        self.lm, self.route, self.text, self.cfg, self.pack, self.progress = lm, route, text, cfg, pack, progress
        self.given = list(rows)
        self.rows: dict[str, Dictionary] = dict(rows)
        self.metrics: dict[str, dict[str, Metric]] = {}
        self.warnings: list[str] = []
        self.timing: dict[str, float] = {}
        self.intervals = Intervals(n_resamples=cfg.n_resamples, seed=cfg.seed)
        self.columns: dict[str, dict[str, Tensor]] = {}
        self.tables: dict[str, dict[str, Tensor]] = {}
        self.facts: dict[str, Any] = {}

    def fit_selection(self) -> Moments:
        """Mean, covariance and the SAE's L0 over S."""
        with self._timed("select"):
            documents, warning = tokens.selection_documents(self.text)
            if warning:
                self.warnings.append(warning)
            chosen, n = tokens.DocumentReader(documents, self.lm.tokenizer, self.pack).take(self.cfg.select_tokens)
            fit = Moments(self.route.d_out(self.lm))
            self._encode("select", chosen, {"sae": (EncodeOnly(self.rows[self.tested[0]]), [fit])}, n)
            self.facts["n_tokens_select"] = fit.n
            return fit

    def add_controls(self, fit: Moments) -> None:
        for name in self.cfg.controls:
            if name in self.rows:
                continue
            if reason := impossible(name, self.rows["sae"]):
                self.metrics[name] = {"row": Metric(None, status="skipped", reason=reason)}
            else:
                self.rows[name] = control(name, self.rows["sae"], fit, seed=self.cfg.seed)

    def read_activations(self) -> None:
        """Reconstruction, sparsity and geometry of every row, and the per-latent table of the SAE."""
        reader = tokens.DocumentReader(tokens.report_documents(self.text), self.lm.tokenizer, self.pack)
        self.fidelity_documents, self.n_fidelity = reader.take(self.cfg.fidelity_tokens)
        more, n_more = reader.take(self.cfg.activation_tokens - self.n_fidelity)
        scales = self._scales()
        reducers = {name: RowReducers(row, self.intervals, scales) for name, row in self.rows.items()}
        per_point = PerPoint(self.route.slices(self.lm), self.intervals)
        with self._timed("activations"):
            documents, n = self.fidelity_documents + more, self.n_fidelity + n_more
            sinks = {name: (row, [*reducers[name].all, *([per_point] if name == "sae" else [])]) for name, row in self.rows.items()}
            self.facts["n_tokens"] = self._encode("activations", documents, sinks, n)
            self.facts["n_documents"] = len(documents)
        with self._timed("dead"):
            self._count_further(reader, {name: reducers[name].firing for name in self.tested})
        with self._timed("geometry"):
            for name, row in self.rows.items():
                shape, columns = geometry(row)
                self.metrics[name] = reducers[name].metrics() | shape
                if name in self.tested:
                    self.columns[name] = reducers[name].columns() | {key: column.cpu() for key, column in columns.items()}
                    self.tables[name] = reducers[name].tables()
        self.metrics |= per_point.result()
        if "sae" in self.tested:
            self._check_l0()

    def _scales(self) -> Tensor | None:
        """What makes the hook points of a crosscoder comparable; None for any other row."""
        return next((row.scales for row in self.rows.values() if isinstance(row, Crosscoder)), None)

    def _count_further(self, reader: tokens.DocumentReader, firing: Mapping[str, Firing]) -> None:
        """Go on counting which latents of the SAE fire, up to `dead_tokens`: in R, then in S and the training documents."""
        had = next(iter(firing.values()))
        missing = (self.cfg.dead_tokens or 0) - had.n_tokens
        if missing <= 0:
            return
        documents, n = reader.take(missing)
        if n < missing:
            rest, n_rest = tokens.DocumentReader(tokens.further_documents(self.text), self.lm.tokenizer, self.pack).take(missing - n)
            documents, n = documents + rest, n + n_rest
        if documents:  # a text that is held out whole has nothing beyond R
            self._encode("dead", documents, {name: (EncodeOnly(self.rows[name]), [counted]) for name, counted in firing.items()}, n)
        self.facts["n_tokens_dead"] = had.n_tokens

    def measure_fidelity(self, mean_x: Float[Tensor, " d"]) -> None:
        with self._timed("fidelity"):
            sums = Fidelity(self.intervals, self.lm.d_vocab)
            exact = {name for name, row in self.rows.items() if isinstance(row, Coordinates) and row.exact}
            spliced = splices(self.route, mean_x, {name: row for name, row in self.rows.items() if name not in exact}, with_bos=self.given)
            widest = max(self.lm.d_vocab, *(row.d_sae for row in self.rows.values()))
            size = fidelity_batch(self.pack.context, widest, self.pack.batch_sequences)
            batches = tokens.batches(self.fidelity_documents, self.lm.tokenizer, self.pack, batch_sequences=size)
            fidelity_pass(self.lm, self.route, batches, spliced, sums, lambda n: self.progress("fidelity", n, self.n_fidelity))
            self.warnings += sums.warnings()
            for name in self.rows:
                self.metrics[name] |= sums.row("clean" if name in exact else name, with_bos=name in self.given)
                if name in exact:
                    exactly_0 = self.metrics[name]["fidelity.delta_ce"]
                    self.metrics[name]["fidelity.delta_ce"] = replace(exactly_0, reason="x itself: exact, no forward was run")
            for point in self.route.writes:
                if (name := row_of(point)) in self.metrics:  # ablations are of all hook points together: no ratio to them
                    alone = sums.row(name, with_bos=False)
                    self.metrics[name] |= {key: metric for key, metric in alone.items() if not key.endswith((".zero", ".mean"))}

    def result(self, provenance: dict[str, Any]) -> EvalResult:
        for name, reason in TRAINED.items():
            self.metrics.setdefault(name, {"row": Metric(None, status="missing", reason=reason)})
        first = [*self.given, *(row_of(point) for point in self.route.writes if row_of(point) in self.metrics)]
        order = [*first, *(name for name in self.metrics if name not in first)]
        return self.result_of("sae", {name: self.metrics[name] for name in order}, provenance)

    def result_of(self, tested: str, rows: Mapping[str, dict[str, Metric]], provenance: Mapping[str, Any]) -> EvalResult:
        """The result of one of the tested rows, with the rows that stand beside it."""
        stated = {
            "sae_sha256": sae_sha256(self.rows[tested]),
            "hook_point": str(self.route),
            **({"spliced": " ".join([said, *([] if self._scales() is None else [ALIKE])])} if (said := spliced_note(self.route)) else {}),
            "corpus": self.text.name,
            "corpus_sha256": self.text.sha256,
            "seed": self.cfg.seed,
            **self.facts,
            "context_length": self.pack.context,
            "packing": self.pack.packing,
            "bos": "excluded",
            "bos_prepended": self.pack.bos,
            "dtype": str(self.lm.dtype).removeprefix("torch."),
            "config": asdict(self.cfg) | {"controls": list(self.cfg.controls)},
            "version": __version__,
        }
        return EvalResult(
            rows={name: dict(sorted(metrics.items(), key=_group)) for name, metrics in rows.items()},
            provenance={**provenance, **self.lm.fingerprint, **stated},
            suite=self.cfg.suite,
            warnings=list(self.warnings),
            environment=environment() | {"timing_s": {part: round(seconds, 2) for part, seconds in self.timing.items()}},
            latents=self.columns[tested],
            tables=self.tables[tested],
        )

    def _check_l0(self) -> None:
        l0 = self.metrics["sae"]["sparsity.l0"].value
        for name in ("neurons_topk", "pca", "untrained", "random_dictionary"):
            other = self.metrics[name].get("sparsity.l0") if name in self.metrics else None
            if l0 and other and other.value is not None and abs(other.value / l0 - 1) > L0_TOLERANCE:
                self.warnings.append(f"row {name} has L0 {other.value:.1f}, the SAE {l0:.1f}: more than 5 % apart, not quite comparable")

    def _encode(self, part: str, documents: list[Document], sinks: Mapping[str, Any], n_tokens: int) -> int:
        batches = tokens.batches(documents, self.lm.tokenizer, self.pack)
        return encode_pass(self.lm, self.route, batches, sinks, n_tokens=None, progress=lambda n: self.progress(part, n, n_tokens))

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timing[part] = time.perf_counter() - start


def _group(item: tuple[str, Metric]) -> int:
    return ("fidelity", "reconstruction", "sparsity", "geometry", "row").index(item[0].partition(".")[0])
