"""An evaluation as two lines, as a terminal table, and as the table of the page."""

from typing import TYPE_CHECKING

from saescope.evals.result import EvalResult, Metric
from saescope.render.numbers import number
from saescope.render.view_models import EvalCell, EvalColumn, EvalRow, EvalTable

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

COLUMNS = (
    EvalColumn("fidelity.delta_ce", "delta CE", "nats/token", "lower", "CE with x_hat in the place of x, minus the clean CE."),
    EvalColumn("fidelity.recovered.zero", "recovered (zero)", "", "higher", "(CE_zero - CE_sae) / (CE_zero - CE_clean), x ablated to 0."),
    EvalColumn(
        "fidelity.recovered.mean", "recovered (mean)", "", "higher", "The same with x ablated to its mean over the selection documents."
    ),
    EvalColumn("fidelity.kl", "KL", "nats/token", "lower", "KL(clean, spliced) of the next-token distributions."),
    EvalColumn("fidelity.top1_agree", "top-1 agrees", "", "higher", "Share of tokens whose likeliest next token stays the same."),
    EvalColumn("reconstruction.fvu", "FVU", "", "lower", "Squared error over squared deviation from the mean of all tokens."),
    EvalColumn("reconstruction.cosine", "cosine", "", "higher", "Mean cosine of x_hat and x."),
    EvalColumn("reconstruction.gamma", "gamma", "", "", "E|x_hat|^2 / E[x . x_hat]; below 1 the reconstruction is shrunk."),
    EvalColumn("sparsity.l0", "L0", "latents/token", "lower", "Mean number of non-zero latents per token."),
    EvalColumn("sparsity.dead", "dead", "latents", "lower", "Latents without one firing in the tokens read."),
    EvalColumn("sparsity.n_dense", "dense", "latents", "lower", "Latents that fire on more than 10 % of the tokens."),
    EvalColumn("geometry.enc_dec_cos", "enc-dec cos", "", "", "Median over latents of cos(W_enc[:, i], W_dec[i])."),
)
"""The columns of the result table, in its order."""
TERMINAL = {
    "fidelity.delta_ce": "delta\nCE",
    "fidelity.recovered.zero": "recov.\nzero",
    "fidelity.recovered.mean": "recov.\nmean",
    "fidelity.kl": "KL\n",
    "reconstruction.fvu": "FVU\n",
    "sparsity.l0": "L0\n",
    "sparsity.dead": "dead\n",
    "sparsity.n_dense": "dense\n",
}
"""The columns that fit a terminal of 80 characters."""
ABOUT = {
    "sae": "the dictionary under test",
    "neurons": "x itself",
    "neurons_topk": "the K coordinates of x farthest from their mean",
    "pca": "the K largest principal components of each token",
    "untrained": "the SAE before its first step, K largest latents",
    "random_dictionary": "random directions, K largest latents",
    "frozen_decoder": "an SAE trained with random directions that never move",
    "shuffled_model": "an SAE trained on the model with shuffled weights",
}


def headline(result: EvalResult) -> str:
    """Delta CE, L0, dead and FVU: a line for the SAE, a line for the neurons."""
    return "\n".join(_summary(result, row) for row in ("sae", "neurons") if row in result.rows and not result.missing(row))


def summary(result: EvalResult) -> "Group":
    """The end of a run on a terminal: the headline, the table, what it was measured on, what is missing, warnings."""
    from rich.console import Group
    from rich.text import Text

    absent = [f"{row}: {reason}" for row in result.rows if (reason := result.missing(row))]
    warnings = [f"warning: {warning}" for warning in result.warnings]
    below = Text("\n".join([note(result), *absent, *warnings]), style="dim")
    return Group(Text(headline(result)), table(result), below)


def table(result: EvalResult) -> "Table":
    """Rows by the main metrics; intervals and all others are in result.json."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.add_column("row", no_wrap=True)
    for heading in TERMINAL.values():
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row, metrics in result.rows.items():
        if not result.missing(row):
            drawn.add_row(row, *(number(_shown(metrics.get(key))) for key in TERMINAL))
    return drawn


def eval_table(result: EvalResult) -> EvalTable:
    """The result table as the page shows it: every row, controls and missing ones included."""
    rows = tuple(
        EvalRow(
            name=row,
            cells={} if result.missing(row) else {column.key: _cell(metrics.get(column.key)) for column in COLUMNS},
            about=ABOUT.get(row, ""),
            missing=result.missing(row) or "",
        )
        for row, metrics in result.rows.items()
    )
    return EvalTable(columns=COLUMNS, rows=rows, note=note(result))


def note(result: EvalResult) -> str:
    """What the numbers were measured on, in a sentence or two."""
    fidelity, read = result.metric("sae", "fidelity.delta_ce").n, result.metric("sae", "sparsity.l0").n
    dead = result.metric("sae", "sparsity.dead").n
    return (
        f"Held-out text: {fidelity or 0:,} predictions, {read or 0:,} activations (dead: silent in {dead or 0:,} tokens); "
        "special tokens and position 0 are not counted. Intervals: 95 %, over documents."
    ) + (f" {spliced}" if (spliced := result.provenance.get("spliced")) else "")


def _summary(result: EvalResult, row: str) -> str:
    delta, l0, fvu = (result.value(row, key) for key in ("fidelity.delta_ce", "sparsity.l0", "reconstruction.fvu"))
    dead, n = result.value(row, "sparsity.dead"), result.value(row, "sparsity.n_latents")
    return f"{row}: delta CE {number(delta)}, L0 {number(l0)}, dead {_count(dead)} of {_count(n)}, FVU {number(fvu)}"


def _count(value: float | None) -> str:
    return number(None if value is None else int(value))


def _shown(metric: Metric | None) -> float | None:
    """Counts as whole numbers."""
    if metric is None or metric.value is None:
        return None
    return int(metric.value) if metric.unit == "latents" else metric.value


def _cell(metric: Metric | None) -> EvalCell:
    if metric is None:
        return EvalCell(None, status="skipped", reason="not measured for this row")
    return EvalCell(_shown(metric), ci=metric.ci, n=metric.n, status=metric.status, reason=metric.reason or "")
