"""saescope sweep MODEL --text T --at HOOK --sae A,B --l0 16,32,64: many SAEs on one stream, and what each loses at which L0."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.cli.run import model_first
from saescope.pipeline.sweep_config import SweepConfig, file_name
from saescope.pipeline.sweep_job import SweepOutcome, sweep

DESCRIPTION = """MODEL --text T --at HOOKS: a grid of SAEs on one pass through the model, each of them as if it had been trained alone.

Every option that takes several values (with commas or spaces) is a dimension of the grid: --sae relu,gated,topk --l0 16,32,64 --seeds 0,1.
--at may be several hook points, or a pattern: --at 'blocks.*.resid_post'. It ends with a table, a figure and a page."""


@dataclass(frozen=True, kw_only=True)
class SweepOptions(SweepConfig):
    """The sweep, and where it goes."""

    out: Path | None = None
    """Run directory; default: runs/MODEL-HOOK-sweep. Each SAE is in saes/NAME, a run directory of its own."""
    replace: bool = False
    """Start anew in a folder that holds another run."""
    resume: bool = False
    """Demand that there is something to continue."""
    json: bool = False
    """Print the points as JSON."""

    @property
    def config(self) -> SweepConfig:
        return SweepConfig(**{field.name: getattr(self, field.name) for field in fields(SweepConfig)})

    @property
    def folder(self) -> Path:
        return self.out or Path("runs") / f"{Path(self.model.model).name}-{file_name(self.config.with_subject().at)}-sweep"


def main(argv: Sequence[str]) -> int:
    options = parse(model_first(argv), SweepOptions, prog="saescope sweep", description=DESCRIPTION)
    outcome = sweep(options.config, options.folder, replace=options.replace, resume=options.resume, reporter=Terminal())
    print_points(outcome, options.folder, options.json)
    return 0


def print_points(outcome: SweepOutcome, folder: Path, as_json: bool) -> None:
    """The table of a sweep, and what to do next."""
    from saescope.evals.pareto import to_json
    from saescope.evals.pareto_report import pareto_table

    if as_json:
        print_json(to_json(outcome.points))
        return
    out = console()
    if outcome.state == "done":
        out.print(f"done: {folder} is finished (--replace starts anew)")
    out.print(pareto_table(outcome.points))
    out.print(f"page      {folder / 'index.html'}")
    out.print(f"figure    {folder / 'pareto.svg'}")
    out.print(f"one SAE   {folder / 'saes' / next(iter(outcome.runs))}, as any run: saescope eval, features build, show")


def print_trained(outcome: SweepOutcome, folder: Path, as_json: bool) -> None:
    """What training says of each SAE."""
    from saescope.render.training_table import training_table
    from saescope.saes.storage import read_provenance

    facts = {name: read_provenance(run.sae) for name, run in outcome.runs.items()}
    if as_json:
        print_json(facts)
        return
    out = console()
    out.print(f"{'done' if outcome.state == 'done' else 'trained'}: {len(facts)} SAEs in {folder / 'saes'}")
    out.print(training_table({name: said["training"] for name, said in facts.items()}))
    out.print(f"next      saescope eval {folder / 'saes' / next(iter(facts))}")
