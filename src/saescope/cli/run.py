"""saescope run MODEL --text T --at HOOK: the main job."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Literal

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.errors import ConfigError, did_you_mean
from saescope.pipeline import RunConfig, run
from saescope.pipeline.labels_table import labels_table, named_latents
from saescope.pipeline.main_job import RunOutcome
from saescope.pipeline.meaning import concepts_folder
from saescope.pipeline.sweep_config import file_name, several
from saescope.recipes import RECIPES

DEMO = {
    **{"sae": {"k": 16}, "train": {"tokens": 2_000_000}, "out": "runs/demo"},
    **{"silent_tokens": 200_000, "feature_tokens": 300_000, "label_tokens": 100_000},
}
"""Of the run without MODEL: enough to see the idea in a few minutes on two cores."""
DESCRIPTION = """MODEL --text T --at HOOK: text -> activations -> SAE -> result -> features, by one command, into one run directory.

The same command continues an unfinished run and says "done" for a finished one. MODEL may also be given as --model.
--at with several hook points (A,B or 'blocks.*.resid_post') trains an SAE at each, on one pass through the model.
Without MODEL it is the demo: the model that comes with the package ("bundled") on babel at blocks.0.mlp_post, in some minutes.
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
        return self.out or Path("runs") / f"{Path(self.model.model).name}-{file_name(self.config.with_subject().at)}-{self.sae.sae}"


def main(argv: Sequence[str]) -> int:
    if argv and argv[0].split("=")[0] == "--recipe":
        return recipe(argv)
    options = parse(
        model_first(argv), RunOptions, prog="saescope run", description=DESCRIPTION, usual=None if _names_a_model(argv) else DEMO
    )
    if several(options.config):
        return sweep_of_run(options)
    outcome = run(options.config, options.folder, replace=options.replace, resume=options.resume, reporter=Terminal())
    if options.json:
        print_json(outcome.result.to_json() if outcome.result else None)
    else:
        print_outcome(outcome, options.folder)
    return 0


def sweep_of_run(options: RunOptions, until: Literal["sae", "page"] = "page") -> int:
    """A run, or its training, at each of several hook points."""
    from saescope.cli.sweep import print_points, print_trained
    from saescope.pipeline.sweep_job import sweep

    out = options.folder
    outcome = sweep(options.config, out, replace=options.replace, resume=options.resume, until=until, reporter=Terminal())
    (print_trained if until == "sae" else print_points)(outcome, out, options.json)
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


def _names_a_model(argv: Sequence[str]) -> bool:
    return bool(argv) and (not argv[0].startswith("-") or any(word.split("=")[0] in ("--model", "--config") for word in argv))


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
    labels = labels_table(concepts_folder(outcome.folder)) if outcome.features.concept_provenance else None
    best = [*named_latents(labels), *outcome.features.choose_cards(1), 0][0]
    out.print(f"page         {folder / 'index.html'}")
    out.print(f"a feature    saescope show {folder} {best}")
    if labels is not None:
        out.print(f"a label      saescope concepts {folder} --label {labels.rows[0].label}")
    out.print(f"before after saescope before-after {folder}")
