"""saescope show RUN FEATURE: one feature as a card in the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saescope.cli._common import console, parse, print_json
from saescope.errors import ConfigError, NotAnArtifact
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

    def __post_init__(self):
        if self.context < 0:
            raise ConfigError(f"context={self.context} was asked for. It must be at least 0: set --context.")


def main(argv: Sequence[str]) -> int:
    options = parse(
        argv, ShowOptions, prog="saescope show", description="RUN FEATURE: one feature as a card.", positional=("run", "feature")
    )
    store = open_store(options.run)
    feature = store[options.feature]
    if options.json:
        print_json(feature.columns)
    else:
        console().print(card_text(feature.card(context=options.context)))
    return 0


def open_store(path: Path) -> FeatureStore:
    """The features of a run, or a bundle. Raises: NotAnArtifact, CorruptArtifact, NewerSchema."""
    run = RunFolder(path)
    is_run = run.read_config() is not None
    try:
        return FeatureStore.open(run.features if is_run else path)
    except NotAnArtifact as error:
        if is_run:
            raise NotAnArtifact(f"the run {path} has no features yet. Build them: saescope features build {path}") from error
        raise NotAnArtifact(
            f"{path} holds no run and no features ({str(error).rstrip('.')}). Give a run, or the folder of its features."
        ) from error
