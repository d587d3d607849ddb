"""saescope concepts SAE: which labels of a text have a latent of their own, beside the model's neurons and single tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saescope.activations.encode import Dictionary
from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.config import config_hash, to_dict
from saescope.evals.concept_report import SCHEMA, ConceptReport
from saescope.evals.concept_table import LOWER, Classes
from saescope.evals.concepts import ConceptConfig, concepts, neuron_row
from saescope.pipeline.outputs import refuse_occupied
from saescope.pipeline.reporter import Parts
from saescope.pipeline.revisit import Revisit, Revisited, at_least_1, revisit
from saescope.render.numbers import count, percent, share

if TYPE_CHECKING:
    from rich.table import Table

ABOUT = """\
latent, neuron: of those with precision >= 0.8 the one of largest recall; neuron above ..: the best without its weak activations; \
entries: the best list of vocabulary entries with the latent's recall. precision: share of its active tokens that have the label; \
recall: share of the label's tokens on which it is on; kinds: vocabulary entries it fires on; purity: precision above base, mean over \
intervals of activation; texts: of its strongest texts, those that hold the label within 16 tokens of the peak."""


@dataclass(frozen=True, kw_only=True)
class ConceptOptions(Revisit):
    """Which labels are looked for, and on how much text."""

    label: str | None = None
    """Labels to show, by commas: arabic,format:dna; None: the strongest of each family."""
    top: int = 20
    """Strongest texts of a latent or neuron in which its label is looked for."""
    tokens: int | None = None
    """Tokens of the selection and of the report documents that are read; None: 500,000 of each, or all there are."""
    out: Path | None = None
    """Folder for result.json; None: reports/ of the run or SAE folder."""
    json: bool = False
    """Print the numbers of all labels as JSON."""

    def __post_init__(self):
        super().__post_init__()
        at_least_1("top", self.top)
        at_least_1("tokens", self.tokens)

    def config(self) -> ConceptConfig:
        n = {} if self.tokens is None else {"select_tokens": self.tokens, "report_tokens": self.tokens}
        return ConceptConfig(top_texts=self.top, **n)


def main(argv: Sequence[str]) -> int:
    options = parse(
        argv, ConceptOptions, prog="saescope concepts", description="SAE: the latents of labels, beside neurons.", positional=("sae",)
    )
    if options.out is not None:
        refuse_occupied(options.out, SCHEMA.partition("/")[0])
    seen = revisit(options, text_as="report")
    subject, cfg = seen.subject, options.config()
    classes = Classes(subject.corpus.labelling.families)
    asked = [classes.find(name) for name in options.label.split(",")] if options.label else []
    rows: dict[str, Dictionary] = {"sae": seen.opened.sae, "neurons": neuron_row(subject.lm, subject.at, subject.corpus, subject.pack)}
    with Parts(Terminal(), "concepts") as progress:
        report = concepts(rows, subject.lm, subject.at, subject.corpus, cfg, pack=subject.pack, progress=progress)
    path = report.save(options.out or _folder(seen, cfg))
    if options.json:
        print_json(report.to_json())
    else:
        _print(report, asked or report.strongest("sae"), path)
    return 0


def _print(report: ConceptReport, columns: Sequence[int], path: Path) -> None:
    out = console()
    for warning in report.warnings:
        out.print(f"warning: {warning}")
    out.print(table(report, columns))
    out.print(ABOUT, style="dim")
    for name, row in report.rows.items():
        said = row.summary()
        measured = f"{count(said['n_measured'])} latents ({count(said['n_unmeasured'])} fire on too few tokens to say)"
        out.print(f"{name:9} mean purity {share(said['purity'])}, monosemantic {percent(said['monosemantic'])} of {measured}")
    n = report.provenance
    out.print(
        f"chosen on {count(n['n_tokens_select'])} tokens of S, measured on {count(n['n_tokens_report'])} tokens of R of {n['corpus']}"
    )
    out.print(f"result    {path}")


def table(report: ConceptReport, columns: Sequence[int]) -> "Table":
    """Four lines per label: the latent, the best neuron, the best neuron above an edge, the best rule over single tokens."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for head in ("label", "base", "found by"):
        made.add_column(head, no_wrap=True, justify="right" if head == "base" else "left")
    for head in ("precision", "recall", "kinds", "purity", "texts"):
        made.add_column(head, no_wrap=True, justify="right")
    for column in columns:
        lines = list(_lines(report, column)) or [["–"] * 6]
        made.add_row(": ".join(report.classes.name(column)), percent(float(report.base[column])), *lines[0])
        for line in lines[1:]:
            made.add_row("", "", *line)
    return made


def _lines(report: ConceptReport, column: int) -> Iterator[list[str]]:
    for row, word in (("sae", "latent"), ("neurons", "neuron")):
        if (found := report.rows[row].found.get(column)) is None:
            continue
        counts = [count(found.distinct_tokens), share(found.purity), f"{found.texts_with} of {found.texts}"]
        yield [f"{word} {report.rows[row].name(found.latent)}", share(found.precision), share(found.recall), *counts]
        if row == "neurons":
            edge = found.edge
            above = f"neuron {report.rows[row].name(edge.latent)} above {percent(LOWER[edge.first_bin])} of its max"
            yield [above, share(edge.precision), share(edge.recall), "–", "–", f"{edge.texts_with} of {edge.texts}"]
    if rule := report.rules.get(column):
        entries = "entry" if rule.n_tokens == 1 else "entries"
        yield [f"{count(rule.n_tokens)} vocabulary {entries}", share(rule.precision), share(rule.recall), count(rule.n_tokens), "–", "–"]


def _folder(seen: Revisited, cfg: ConceptConfig) -> Path:
    reports = seen.opened.run.reports if seen.opened.run else seen.opened.folder / "reports"
    return reports / f"concepts-{config_hash({**seen.changes, **to_dict(cfg)})[:12]}"
