"""saescope fine-tune SAE --what all|decoder|scale: train a finished SAE further, into a run of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.pipeline.fine_tune import FineTuneConfig, fine_tune
from saescope.render.numbers import number

DESCRIPTION = """SAE: train a finished SAE further, or give each of its latents the size that reconstructs best (--what scale).

The result is a run folder of its own, which names its parent's digest; the parent stays as it is."""


@dataclass(frozen=True, kw_only=True)
class FineTuneOptions(FineTuneConfig):
    """The fine-tune, and where it goes."""

    out: Path | None = None
    """Run directory; default: runs/SAE-WHAT."""
    replace: bool = False
    """Start anew in a folder that holds another run."""
    resume: bool = False
    """Demand that there is something to continue."""
    json: bool = False
    """Print the facts as JSON."""

    @property
    def config(self) -> FineTuneConfig:
        return FineTuneConfig(**{field.name: getattr(self, field.name) for field in fields(FineTuneConfig)})

    @property
    def folder(self) -> Path:
        return self.out or Path("runs") / f"{self.sae.resolve().name}-{self.what}"


def main(argv: Sequence[str]) -> int:
    options = parse(argv, FineTuneOptions, prog="saescope fine-tune", description=DESCRIPTION, positional=("sae",))
    tuned = fine_tune(options.config, options.folder, replace=options.replace, resume=options.resume, reporter=Terminal())
    if options.json:
        print_json({"sae": str(options.folder), "what": options.what, "before": tuned.before, "after": tuned.after})
        return 0
    out = console()
    out.print(f"{'done' if tuned.state == 'done' else 'fine-tuned'}: {options.folder}")
    out.print(f"{'':10}{'before':>10}{'after':>10}   (selection documents)")
    for name, shown in {"fvu": "FVU", "l0": "L0", "gamma": "gamma"}.items():
        out.print(f"{shown:10}{number(tuned.before[name]):>10}{number(tuned.after[name]):>10}")
    out.print(f"next      saescope eval {options.folder}")
    return 0
