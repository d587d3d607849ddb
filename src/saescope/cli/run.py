"""saescope run MODEL --text T --at HOOK: the main job."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.errors import ConfigError, did_you_mean
from saescope.pipeline import RunConfig, run
from saescope.pipeline.main_job import RunOutcome
from saescope.recipes import RECIPES

DESCRIPTION = """MODEL --text T --at HOOK: text -> activations -> SAE -> result -> features, by one command, into one run directory.

The same command continues an unfinished run and says "done" for a finished one. MODEL may also be given as --model.
Without MODEL, or with "bundled", the model that comes with the package is read on babel at blocks.0.mlp_post.
--recipe NAME, given first, is another job with options of its own (saescope run --recipe NAME --help)."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(RunConfig):
    """The run, and where it goes."""

    out: Path | None = None
    """Run directory; default: runs/MODEL-HOOK-SAE."""
    replace: bool = False
    """Start anew in a folder that holds another run."""
    resume: bool = False
    """Demand that there is something to continue."""
    json: bool = False
    """Print the result as JSON."""

    @property
    def config(self) -> RunConfig:
        return RunConfig(**{field.name: getattr(self, field.name) for field in fields(RunConfig)})

    @property
    def folder(self) -> Path:
        return self.out or Path("runs") / f"{Path(self.model.model).name}-{self.at}-{self.sae.sae}"


def main(argv: Sequence[str]) -> int:
    if argv and argv[0].split("=")[0] == "--recipe":
        return recipe(argv)
    options = parse(model_first(argv), RunOptions, prog="saescope run", description=DESCRIPTION)
    outcome = run(options.config, options.folder, replace=options.replace, resume=options.resume, reporter=Terminal())
    if options.json:
        print_json(outcome.result.to_json() if outcome.result else None)
    else:
        print_outcome(outcome, options.folder)
    return 0


def recipe(argv: Sequence[str]) -> int:
    """`--recipe NAME OPTIONS`: another job than the main one, with options of its own. Raises: ConfigError for an unknown name."""
    words = [*argv[0].split("=", 1), *argv[1:]]
    if len(words) < 2 or words[1] not in RECIPES:
        given = f"{words[1]!r} is no recipe.{did_you_mean(words[1], RECIPES)}" if len(words) > 1 else "--recipe needs a name."
        listed = "; ".join(f"{name} ({line})" for name, (_, line) in RECIPES.items())
        raise ConfigError(f"{given} Recipes: {listed}. See: saescope run --recipe NAME --help")
    recipe = import_module(RECIPES[words[1]][0])
    options = parse(words[2:], recipe.Options, prog=f"saescope run --recipe {words[1]}", description=recipe.DESCRIPTION)
    print(recipe.run(options, Terminal()))
    return 0


def model_first(argv: Sequence[str]) -> list[str]:
    """`MODEL --flags` as `--model MODEL --flags`."""
    return ["--model", *argv] if argv and not argv[0].startswith("-") else list(argv)


def print_outcome(outcome: RunOutcome, folder: Path) -> None:
    """The summary at the end of a run, and what to do next."""
    from saescope.evals.report import summary

    out = console()
    assert outcome.result is not None
    assert outcome.features is not None
    if outcome.state == "done":
        out.print(f"done: {folder} is finished (--replace starts anew)")
    out.print(summary(outcome.result))
    best = outcome.features.choose_cards(1)
    out.print(f"page      {folder / 'index.html'}")
    out.print(f"a feature saescope show {folder} {best[0] if best else 0}")
