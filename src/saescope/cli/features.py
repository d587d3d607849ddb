"""saescope features build SAE: the feature database."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.errors import ConfigError, did_you_mean
from saescope.features.build import FeatureConfig, build_features
from saescope.pipeline.revisit import Revisit, revisit
from saescope.pipeline.stages import sae_digest

ACTIONS = ("build",)
USAGE = "usage: saescope features build SAE [--feature-tokens N] [--out DIR]\n       saescope features build --help"


@dataclass(frozen=True, kw_only=True)
class BuildOptions(Revisit):
    """What the features are described by, and where the bundle goes."""

    feature_tokens: int = 1_000_000
    """Tokens read."""
    seed: int = 0
    """Of the order of documents and of sampled examples."""
    out: Path | None = None
    """Folder of the bundle; None: features/ of the run, or of the SAE folder."""
    json: bool = False
    """Print what was built as JSON."""


def main(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("--help", "-h"):
        print(USAGE)
        return 0 if argv else 2
    if argv[0] not in ACTIONS:
        raise ConfigError(f"saescope features has no action {argv[0]!r}, only {', '.join(ACTIONS)}.{did_you_mean(argv[0], ACTIONS)}")
    options = parse(
        argv[1:], BuildOptions, prog="saescope features build", description="SAE: describe every feature by the text.", positional=("sae",)
    )
    cfg = FeatureConfig(n_tokens=options.feature_tokens, seed=options.seed)  # before anything is loaded
    opened, subject = revisit(options)
    folder = options.out or (opened.run.features if opened.run else opened.folder / "features")
    with Terminal().stage("describing features", options.feature_tokens) as tick:
        store = build_features(
            opened.sae, subject.lm, subject.at, subject.corpus, folder, cfg, pack=subject.pack,
            provenance=sae_digest(opened.folder), progress=tick,
        )  # fmt: skip
    facts = {"folder": str(folder), "n_features": len(store), "n_alive": len(store.alive()), "n_tokens": store.n_tokens}
    if options.json:
        print_json(facts)
    else:
        console().print(f"{facts['n_alive']:,} of {facts['n_features']:,} features fired in {facts['n_tokens']:,} tokens: {folder}")
    return 0
