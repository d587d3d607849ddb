"""saescope eval SAE: how good an SAE is, beside its controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from saescope.cli._common import console, parse, print_json
from saescope.cli._reporter import Terminal
from saescope.config import config_hash
from saescope.evals.evaluate import EvalConfig, evaluate
from saescope.evals.report import summary
from saescope.interop import OpenedSAE
from saescope.pipeline.revisit import Revisit, revisit
from saescope.pipeline.stages import sae_digest

WHOLE_TEXT = 10**12


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
    silent_tokens: int = 500_000
    """Tokens in which a latent that never fires is counted as dead."""
    seed: int = 0
    """Of the bootstrap and the random controls."""
    out: Path | None = None
    """Folder for result.json and eval/; None: the run, or its reports/ for another text or hook point."""
    json: bool = False
    """Print the result as JSON."""

    @property
    def config(self) -> EvalConfig:
        usual = EvalConfig() if self.text is None else EvalConfig(fidelity_tokens=WHOLE_TEXT, activation_tokens=WHOLE_TEXT)
        return EvalConfig(
            suite=self.suite,
            fidelity_tokens=self.fidelity_tokens if self.fidelity_tokens is not None else usual.fidelity_tokens,
            activation_tokens=self.activation_tokens if self.activation_tokens is not None else usual.activation_tokens,
            dead_tokens=self.silent_tokens,
            controls=self.rows,
            seed=self.seed,
        )


def main(argv: Sequence[str]) -> int:
    options = parse(argv, EvalOptions, prog="saescope eval", description="SAE: measure an SAE beside its control rows.", positional=("sae",))
    cfg = options.config  # before anything is loaded
    opened, subject = revisit(options)
    with Terminal().stage("evaluating", None) as tick:
        result = evaluate(
            {"sae": opened.sae}, subject.lm, subject.at, subject.corpus, cfg, pack=subject.pack,
            provenance=sae_digest(opened.folder), progress=lambda part, done, total: tick(done, part=part),
        )  # fmt: skip
    folder = options.out or _folder(options, opened)
    result.save(folder)
    if options.json:
        print_json(result.to_json())
    else:
        out = console()
        out.print(summary(result))
        out.print(f"result    {folder / 'result.json'}")
    return 0


def _folder(options: EvalOptions, opened: OpenedSAE) -> Path:
    if opened.run is None:
        return opened.folder
    if options.text is None and options.at is None and options.model is None and options.documents is None:
        return opened.run.path
    return opened.run.reports / f"eval-{config_hash(options)[:12]}"
