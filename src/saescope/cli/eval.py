"""saescope eval SAE: how good an SAE is, beside its controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.config import config_hash, to_dict
from saescope.evals.evaluate import EvalConfig
from saescope.evals.report import summary
from saescope.pipeline.config import RunConfig
from saescope.pipeline.outputs import refuse_occupied
from saescope.pipeline.revisit import Revisit, Revisited, at_least_1, revisit
from saescope.pipeline.stages import eval_config, measured

WHOLE_TEXT = 10**12
SILENT_TOKENS = 500_000


@dataclass(frozen=True, kw_only=True)
class EvalOptions(Revisit):
    """What is measured, and where the result goes."""

    suite: Literal["quick"] = "quick"
    """Which metrics."""
    rows: tuple[str, ...] = EvalConfig().controls
    """Control rows: neurons, neurons_topk, pca, untrained, random_dictionary."""
    fidelity_tokens: int | None = None
    """Tokens whose predictions are compared; None: 32,000, or all of --text."""
    activation_tokens: int | None = None
    """Tokens for reconstruction and sparsity; None: 100,000, or all of --text."""
    silent_tokens: int | None = None
    """Tokens in which a latent that never fires is counted as dead; None: as the run's, or 500,000."""
    seed: int | None = None
    """Of the bootstrap and the random controls; None: as the run's, or 0."""
    out: Path | None = None
    """Folder for result.json and eval/; None: the run, or its reports/ where anything differs from how the run was measured."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("fidelity_tokens", "activation_tokens", "silent_tokens"):
            at_least_1(name, getattr(self, name))
        self.config(None)  # the rows are checked before anything is loaded

    def config(self, run: RunConfig | None) -> EvalConfig:
        """The evaluation of an SAE of this run, or of none."""
        usual = eval_config(run) if run else EvalConfig(dead_tokens=SILENT_TOKENS)
        whole = None if self.text is None else WHOLE_TEXT
        return EvalConfig(
            suite=self.suite,
            fidelity_tokens=self.fidelity_tokens or whole or usual.fidelity_tokens,
            activation_tokens=self.activation_tokens or whole or usual.activation_tokens,
            dead_tokens=self.silent_tokens or usual.dead_tokens,
            controls=self.rows,
            seed=self.seed if self.seed is not None else usual.seed,
        )


def main(argv: Sequence[str]) -> int:
    options = parse(
        argv, EvalOptions, prog="saescope eval", description="SAE: measure an SAE beside its control rows.", positional=("sae",)
    )
    if options.out is not None:
        refuse_occupied(options.out, "saescope.eval")
    seen = revisit(options, text_as="report")
    subject, cfg = seen.subject, options.config(seen.cfg)
    result = measured(seen.opened.sae, subject, cfg, Terminal())
    folder = options.out or _folder(options, seen, cfg)
    result.save(folder)
    if options.json:
        print_json(result.to_json())
    else:
        out = console()
        out.print(summary(result))
        out.print(f"result    {folder / 'result.json'}")
    return 0


def _folder(options: EvalOptions, seen: Revisited, cfg: EvalConfig) -> Path:
    """The SAE's own folder if it was measured as its run does; else a report of its own, so that the run's page stays true."""
    run = seen.opened.run
    if run is None:
        return seen.opened.folder
    if seen.cfg is not None and cfg == eval_config(seen.cfg) and not seen.changes:
        return run.path
    return run.reports / f"eval-{config_hash({**seen.changes, **to_dict(cfg)})[:12]}"
