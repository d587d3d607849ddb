"""saescope features build SAE: the feature database."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.config import config_hash, to_dict
from saescope.errors import ConfigError, did_you_mean
from saescope.features.build import FeatureConfig, build_features
from saescope.pipeline.config import RunConfig
from saescope.pipeline.outputs import refuse_occupied
from saescope.pipeline.revisit import Revisit, Revisited, at_least_1, revisit
from saescope.pipeline.stages import feature_config

ACTIONS = ("build",)
USAGE = "usage: saescope features build SAE [--feature-tokens N] [--out DIR]\n       saescope features build --help"


@dataclass(frozen=True, kw_only=True)
class BuildOptions(Revisit):
    """What the features are described by, and where the bundle goes."""

    feature_tokens: int | None = None
    """Tokens read; None: as the run's, or 1,000,000."""
    seed: int | None = None
    """Of the order of documents and of sampled examples; None: as the run's, or 0."""
    out: Path | None = None
    """Folder of the bundle; None: features/ of the run or SAE folder, or the run's reports/ where anything differs from the run."""
    json: bool = False
    """Print what was built as JSON."""

    def __post_init__(self):
        super().__post_init__()
        at_least_1("feature_tokens", self.feature_tokens)

    def config(self, run: RunConfig | None) -> FeatureConfig:
        """The description of an SAE of this run, or of none."""
        usual = feature_config(run) if run else FeatureConfig()
        return FeatureConfig(n_tokens=self.feature_tokens or usual.n_tokens, seed=self.seed if self.seed is not None else usual.seed)


def main(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("--help", "-h"):
        print(USAGE, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] not in ACTIONS:
        raise ConfigError(f"saescope features has no action {argv[0]!r}, only {', '.join(ACTIONS)}.{did_you_mean(argv[0], ACTIONS)}")
    options = parse(
        argv[1:], BuildOptions, prog="saescope features build", description="SAE: describe every feature by the text.", positional=("sae",)
    )
    if options.out is not None:
        refuse_occupied(options.out, "saescope.features")
    seen = revisit(options, text_as="corpus")
    opened, subject, cfg = seen.opened, seen.subject, options.config(seen.cfg)
    folder = options.out or _folder(options, seen, cfg)
    with Terminal().stage("describing features", cfg.n_tokens) as tick:
        store = build_features(
            opened.sae, subject.lm, subject.at, subject.corpus, folder, cfg, pack=subject.pack, progress=tick
        )  # fmt: skip
    facts = {"folder": str(folder), "n_features": len(store), "n_alive": len(store.alive()), "n_tokens": store.n_tokens}
    if options.json:
        print_json(facts)
    else:
        console().print(f"{facts['n_alive']:,} of {facts['n_features']:,} features fired in {facts['n_tokens']:,} tokens: {folder}")
    return 0


def _folder(options: BuildOptions, seen: Revisited, cfg: FeatureConfig) -> Path:
    """The run's own bundle if it is described as its run does; else a report of its own, so that the run's page stays true."""
    run = seen.opened.run
    if run is None:
        return seen.opened.folder / "features"
    if seen.cfg is not None and cfg == feature_config(seen.cfg) and not seen.changes:
        return run.features
    return run.reports / f"features-{config_hash({**seen.changes, **to_dict(cfg)})[:12]}"
