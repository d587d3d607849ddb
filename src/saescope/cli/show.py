"""saescope show RUN FEATURE: one feature as a card in the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saescope.cli._common import console, parse, print_json
from saescope.features.store import FeatureStore
from saescope.render.card import card_text
from saescope.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """A feature."""

    run: Path
    """Run directory, or feature bundle."""
    feature: int
    """Its number."""
    context: int = 16
    """Tokens shown on each side of an example's peak."""
    json: bool = False
    """Print its columns as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(argv, ShowOptions, prog="saescope show", description="RUN FEATURE: one feature as a card.", positional=("run", "feature"))
    run = RunFolder(options.run)
    store = FeatureStore.open(run.features if run.read_config() is not None else options.run)
    feature = store[options.feature]
    if options.json:
        print_json(dict(feature.columns))
    else:
        console().print(card_text(feature.card(context=options.context)))
    return 0
