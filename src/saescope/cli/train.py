"""saescope train MODEL --text T --at HOOK, or saescope train --activations FILE: only the SAE."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.cli.run import RunOptions, model_first, sweep_of_run
from saescope.pipeline import run
from saescope.pipeline.config import ArrayConfig
from saescope.pipeline.sweep_config import several

DESCRIPTION = """MODEL --text T --at HOOK: train an SAE and stop there; `saescope run` with the same options goes on with the rest.
--at with several hook points (A,B or 'blocks.*.resid_post') trains an SAE at each, on one pass through the model.

With --activations FILE (.npy or .safetensors, [tokens, width]) it trains on activations that somebody saved, without a model."""


@dataclass(frozen=True, kw_only=True)
class ArrayOptions(ArrayConfig):
    """Training on saved activations, and where it goes."""

    out: Path = Path("runs/sae")
    """Run directory."""
    replace: bool = False
    """Start anew in a folder that holds another run."""
    resume: bool = False
    """Demand that there is something to continue."""
    json: bool = False
    """Print the facts as JSON."""

    @property
    def config(self) -> ArrayConfig:
        return ArrayConfig(**{field.name: getattr(self, field.name) for field in fields(ArrayConfig)})


def main(argv: Sequence[str]) -> int:
    if any(word == "--activations" or word.startswith("--activations=") for word in argv):
        return _train_on_array(parse(argv, ArrayOptions, prog="saescope train", description=DESCRIPTION))
    options = parse(model_first(argv), RunOptions, prog="saescope train", description=DESCRIPTION)
    if several(options.config):
        return sweep_of_run(options, until="sae")
    outcome = run(options.config, options.folder, replace=options.replace, resume=options.resume, until="sae", reporter=Terminal())
    _print_facts(outcome.folder.sae, options.folder, outcome.state == "done", options.json)
    return 0


def _train_on_array(options: ArrayOptions) -> int:
    from saescope.pipeline.from_array import train_on_array

    folder = train_on_array(options.config, options.out, replace=options.replace, resume=options.resume, reporter=Terminal())
    _print_facts(folder.sae, options.out, folder.state == "done", options.json)
    return 0


def _print_facts(sae: Path, folder: Path, done: bool, as_json: bool) -> None:
    from saescope.render.numbers import number, percent
    from saescope.saes.storage import read_provenance

    facts: dict[str, Any] = read_provenance(sae)
    if as_json:
        print_json(facts)
        return
    training = facts["training"]
    out = console()
    out.print(f"{'done' if done else 'trained'}: {sae}")
    last = f"FVU {number(training['fvu'])}   L0 {number(training['l0'])}   dead {percent(training['dead'])}"
    out.print(f"{facts['n_tokens']:,} tokens   {last} (last batch, training rule)")
    if "model" in facts:
        out.print(f"next      saescope eval {folder}")
