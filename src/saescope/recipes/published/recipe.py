"""What a published recipe is, and its door in `saescope run --recipe NAME`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from saescope.errors import ConfigError
from saescope.pipeline import RunConfig, SweepConfig, run, sweep
from saescope.pipeline.reporter import Reporter

Config = RunConfig | SweepConfig


@dataclass(frozen=True, kw_only=True)
class Band:
    """Where the small run must end, on its report documents. The SAE named `sae` of a sweep."""

    fvu: tuple[float, float]
    l0: tuple[float, float]
    sae: str = ""

    def faults(self, fvu: float | None, l0: float | None) -> list[str]:
        """What lies outside, in words."""
        found = {"FVU": (fvu, self.fvu), "L0": (l0, self.l0)}
        return [
            f"{name} is {'undefined' if value is None else f'{value:.4g}'}, not {low:g} to {high:g}"
            for name, (value, (low, high)) in found.items()
            if value is None or not low <= value <= high
        ]


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """Which of its scales, and where it goes."""

    small: bool = False
    """A run of seconds on a model that comes with the package, which must reach a stated FVU and L0."""
    model: str | None = None
    """Hub name or folder of the model, in the place of the recipe's."""
    text: str | None = None
    """File, folder or Hub data set, in the place of the recipe's."""
    tokens: int | None = None
    """Tokens to train on, in the place of the recipe's."""
    device: str = "auto"
    """cpu, cuda, cuda:N, mps; auto: the best there is."""
    seed: int = 0
    """Of initial weights, document order and mixing."""
    out: Path | None = None
    """Run directory; default: runs/NAME, or runs/NAME-small."""
    replace: bool = False
    """Start anew in a folder that holds another run."""

    def __post_init__(self) -> None:
        if self.small and (self.model or self.text):
            raise ConfigError("--small has a model and a text of its own. Leave out --model and --text, or --small.")

    def applied(self, cfg: Config) -> Config:
        """The recipe's config with what these options change."""
        return replace(
            cfg,
            model=replace(cfg.model, model=self.model or cfg.model.model, device=self.device),
            text=replace(cfg.text, text=self.text or cfg.text.text),
            train=replace(cfg.train, tokens=self.tokens or cfg.train.tokens, seed=self.seed),
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One published way of training."""

    name: str
    about: str | None
    """The docstring of its module."""
    full: Callable[[], Config]
    small: Callable[[Path], Config]
    """Given a folder for a model of its own, where it needs one."""
    band: Band

    @property
    def description(self) -> str:
        return self.about or ""

    def config(self, options: RecipeOptions, out: Path) -> Config:
        """The run that the options ask for."""
        return options.applied(self.small(out.with_name(f"{out.name}-model")) if options.small else self.full())

    def run(self, options: RecipeOptions, reporter: Reporter) -> str:
        """The recipe as a job of the command line: a run or a sweep like any other; returns what it prints at the end.

        Raises: any SaescopeError.
        """
        out = options.out or Path("runs") / (f"{self.name}-small" if options.small else self.name)
        cfg = self.config(options, out)
        if isinstance(cfg, SweepConfig):
            points = {point.name: (point.fvu, point.l0) for point in sweep(cfg, out, replace=options.replace, reporter=reporter).points}
        else:
            result = run(cfg, out, replace=options.replace, reporter=reporter).result
            assert result is not None
            points = {self.band.sae: (result.value("sae", "reconstruction.fvu"), result.value("sae", "sparsity.l0"))}
        lines = [f"{name or 'sae':12} FVU {_number(fvu)}, L0 {_number(l0)}" for name, (fvu, l0) in points.items()]
        if options.small:
            faults = self.band.faults(*points[self.band.sae])
            lines.append("as stated" if not faults else f"not as stated: {'; '.join(faults)}")
        return "\n".join([*lines, f"page         {out / 'index.html'}"])


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"
