"""saescope before-after SAE: the top texts of a neuron beside those of a feature."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.config import config_hash, to_dict
from saescope.evals.before_after import BeforeAfter, BeforeAfterConfig, before_after
from saescope.evals.before_after_result import SCHEMA
from saescope.pipeline.config import RunConfig
from saescope.pipeline.outputs import refuse_occupied
from saescope.pipeline.reporter import Parts
from saescope.pipeline.revisit import Revisit, Revisited, at_least_1, revisit
from saescope.render.before_after import before_after_text


@dataclass(frozen=True, kw_only=True)
class BeforeAfterOptions(Revisit):
    """Which pair, on how much text, and where the result goes."""

    neuron: int | None = None
    """A coordinate of the hook point; None: a polysemantic one is chosen on selection documents."""
    feature: int | None = None
    """A feature; None: the one most correlated with the neuron, chosen on selection documents."""
    tokens: int | None = None
    """Tokens of report documents that are read; None: 500,000."""
    texts: int = BeforeAfterConfig().texts
    """Top texts measured of every neuron and feature, one per document."""
    seed: int | None = None
    """Of the random texts; None: as the run's, or 0."""
    out: Path | None = None
    """Folder for result.json; None: the run's reports/, or before-after/ in an SAE folder."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self):
        super().__post_init__()
        at_least_1("tokens", self.tokens)
        self.config(None)  # checked before anything is loaded

    def config(self, run: RunConfig | None) -> BeforeAfterConfig:
        """The comparison for an SAE of this run, or of none."""
        usual = BeforeAfterConfig(seed=run.train.seed if run else 0)
        return BeforeAfterConfig(
            neuron=self.neuron,
            feature=self.feature,
            report_tokens=self.tokens or usual.report_tokens,
            texts=self.texts,
            seed=self.seed if self.seed is not None else usual.seed,
        )


def main(argv: Sequence[str]) -> int:
    options = parse(
        argv,
        BeforeAfterOptions,
        prog="saescope before-after",
        description="SAE: the top texts of a neuron beside those of a feature, and how much the texts of each agree.",
        positional=("sae",),
    )
    if options.out is not None:
        refuse_occupied(options.out, SCHEMA)
    seen = revisit(options, text_as="report")
    subject, cfg = seen.subject, options.config(seen.cfg)
    with Parts(Terminal(), "before and after") as progress:
        result = before_after(seen.opened.sae, subject.lm, subject.at, subject.corpus, cfg, pack=subject.pack, progress=progress)
    path = result.save(options.out or _folder(seen, cfg))
    _show(result, path, as_json=options.json)
    return 0


def _show(result: BeforeAfter, path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(result.to_json())
        return
    out = console()
    out.print(before_after_text(result.view()))
    out.print(f"\nresult    {path}")


def _folder(seen: Revisited, cfg: BeforeAfterConfig) -> Path:
    """A report of its own in the run; where there is none, a folder beside the SAE's weights."""
    run = seen.opened.run
    if run is None:
        return seen.opened.folder / "before-after"
    return run.reports / f"before-after-{config_hash({**seen.changes, **to_dict(cfg)})[:12]}"
