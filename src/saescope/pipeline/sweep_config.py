"""What a sweep is asked to do: a grid of SAEs, and the run that each of them equals."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any

from saescope.errors import ConfigError, did_you_mean
from saescope.pipeline.config import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """The SAEs of a sweep: one for each combination of the values given. What an architecture has not is left out of its grid."""

    sae: tuple[str, ...] = ("batch_topk",)
    """Architectures: relu,gated,topk,jumprelu."""
    d_sae: tuple[int, ...] = ()
    """Numbers of latents; or give --expansion."""
    expansion: tuple[float, ...] = ()
    """Latents per input dimension; 8 if neither is given."""
    l0: tuple[float, ...] = ()
    """Latents per token: k of those that choose so many, the target of penalised ones."""
    k: tuple[int, ...] = ()
    """k of those that choose k latents, in the place of --l0."""
    l1: tuple[float, ...] = ()
    """Sparsity coefficients of relu and gated, in the place of --l0."""
    seeds: tuple[int, ...] = ()
    """Seeds of the initial weights alone, the stream of batches is common; none: that of the run."""
    lr_of: tuple[str, ...] = ()
    """Architectures with another learning rate than --lr: gated=5e-5."""
    set: tuple[str, ...] = ()
    """Other options: decoder=free for every architecture that has a decoder to choose, relu.decoder=free for one."""

    def __post_init__(self):
        if not self.sae:
            raise ConfigError("a sweep was asked for without an architecture. Name at least one: --sae topk,relu.")
        for name in ("sae", "d_sae", "expansion", "l0", "k", "l1", "seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ConfigError(
                    f"{name} lists a value twice ({', '.join(map(str, values))}). Name each once: set --{name.replace('_', '-')}."
                )
        if self.d_sae and self.expansion:
            raise ConfigError("both d_sae and expansion were given. Give one of --d-sae, --expansion.")
        self.saes()

    def saes(self) -> dict[str, SAEConfig]:
        """The grid by name: architecture, and what varies. Raises: ConfigError for options that fit none, or two alike."""
        options = {architecture: self._options(architecture) for architecture in self.sae}
        self._refuse_unused(options)
        found: dict[str, SAEConfig] = {}
        for architecture, known in options.items():
            axes = self._axes(known)
            words = tuple(_for(architecture, word) for word in self.set if _applies(word, architecture, known))
            for values in product(*axes.values()):
                chosen = dict(zip(axes, values, strict=True))
                varied = [_part(name, value) for name, value in chosen.items() if len(axes[name]) > 1]
                settings = dict(_setting(name, value, known) for name, value in chosen.items())
                found["-".join([architecture, *varied])] = SAEConfig(sae=architecture, set=words, **settings)
        return found

    def learning_rate(self, architecture: str) -> float | None:
        """The one that `lr_of` has for an architecture. Raises: ConfigError for what is no ARCHITECTURE=NUMBER."""
        rates = {}
        for word in self.lr_of:
            name, _, text = word.partition("=")
            try:
                rates[name] = float(text)
            except ValueError as error:
                raise ConfigError(f"--lr-of {word} is no ARCHITECTURE=NUMBER, such as gated=5e-5.") from error
            if name not in self.sae:
                raise ConfigError(f"--lr-of {word}: {name} is not in the sweep ({', '.join(self.sae)}).{did_you_mean(name, self.sae)}")
        return rates.get(architecture)

    def _options(self, architecture: str) -> list[str]:
        """The options that an architecture has, with the activation that `set` gives it."""
        from saescope.saes.registry import class_and_config

        given = dict(_for(architecture, word).partition("=")[::2] for word in self.set if _applies(word, architecture, ["activation"]))
        return [option.name for option in fields(class_and_config(architecture, given)[1])]

    def _axes(self, known: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """The values of each dimension that an architecture with these options has; k and l1 take the place of l0."""
        own = {name: values for name in ("k", "l1") if name in known and (values := getattr(self, name))}
        by_l0 = self.l0 if not own and {"k", "l0"} & set(known) else ()
        axes = {"d_sae": self.d_sae, "expansion": self.expansion, **own, "l0": by_l0, "init_seed": self.seeds}
        return {name: values for name, values in axes.items() if values}

    def _refuse_unused(self, options: Mapping[str, Sequence[str]]) -> None:
        asked, used = ", ".join(options), {name for known in options.values() for name in self._axes(known)}
        for name in ("l0", "k", "l1"):
            if getattr(self, name) and name not in used:
                instead = " --k and --l1 take its place." if name == "l0" and (self.k or self.l1) else ""
                raise ConfigError(f"--{name} applies to none of --sae {asked}.{instead} Leave it out, or add an architecture that has it.")
        names = sorted({name for known in options.values() for name in known})
        for word in self.set:
            if not any(_applies(word, architecture, known) for architecture, known in options.items()):
                near = did_you_mean(word.partition("=")[0].rpartition(".")[2], names)
                raise ConfigError(
                    f"--set {word} sets no option of {asked}. Expected NAME=VALUE or ARCHITECTURE.NAME=VALUE "
                    f"with one of {', '.join(names)}.{near}"
                )
        for architecture in options:
            self.learning_rate(architecture)


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Many SAEs on one stream."""

    model: ModelConfig = field(default_factory=ModelConfig)
    text: TextConfig = field(default_factory=TextConfig)
    at: str = ""
    """Hook points: one, several with commas, or a pattern (blocks.*.resid_post)."""
    target: str = ""
    """Hook point that the transcoders of the sweep reconstruct."""
    grid: GridConfig = field(default_factory=GridConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    cache: str = "auto"
    """Activations on disk: auto (while training, if the text is read more than once and they fit), never, or a folder to keep."""
    silent_tokens: int = 500_000
    """Tokens in which a latent that never fires is reported as dead."""
    features: bool = False
    """Make of each SAE all that a run leaves: control rows, features and a page of its own."""
    feature_tokens: int = 1_000_000
    """Tokens that the features are described by."""
    label_tokens: int = 200_000
    """Held-out tokens that labels are chosen on, and as many that they are measured on; 0: none."""
    log: str = ""
    """Who follows the training besides metrics.jsonl, with commas between: tensorboard, wandb, trackio. Each is an extra to install."""

    def __post_init__(self):
        runs = [self.single(sae) for sae in self.grid.saes().values()]  # what a run refuses is refused here
        if self.target and not any(run.target for run in runs):
            raise ConfigError(f"--target applies to none of --sae {', '.join(self.grid.sae)}, only to transcoders. Leave it out.")

    def with_subject(self) -> "SweepConfig":
        """This config with text and hook point, as `RunConfig.with_subject`."""
        run = self.single(SAEConfig()).with_subject()
        return replace(self, text=run.text, at=run.at)

    def single(self, sae: SAEConfig, at: str | None = None) -> RunConfig:
        """The run of one SAE of the sweep, at one hook point."""
        from saescope.saes.registry import ARCHITECTURES

        lr = self.grid.learning_rate(sae.sae)
        return RunConfig(
            model=self.model,
            text=self.text,
            at=self.at if at is None else at,
            target=self.target if ARCHITECTURES[sae.sae][0].transcodes else "",
            sae=sae,
            train=self.train if lr is None else replace(self.train, lr=lr),
            cache=self.cache,
            silent_tokens=self.silent_tokens,
            feature_tokens=self.feature_tokens,
            label_tokens=self.label_tokens,
            log=self.log,
        )

    def runs(self, points: Sequence[str]) -> dict[str, RunConfig]:
        """The run that each SAE equals, by the SAE's name: its hook point where there are several, and its place in the grid.

        A crosscoder reads all the hook points and is there once.
        """
        from saescope.saes.registry import ARCHITECTURES

        found: dict[str, RunConfig] = {}
        saes = self.grid.saes()
        for at in points:
            for name, sae in saes.items():
                if ARCHITECTURES[sae.sae][0].joins:
                    found[name] = self.single(sae, ",".join(points))
                else:
                    found[f"{file_name(at)}-{name}" if len(points) > 1 else name] = self.single(sae, at)
        return found


def several(cfg: RunConfig) -> bool:
    """Whether a run names several hook points for an architecture that reads one: then it is a sweep over them."""
    from saescope.saes.registry import ARCHITECTURES

    return any(sign in cfg.at for sign in ",*?[") and not ARCHITECTURES[cfg.sae.sae][0].joins


def refuse_several(cfg: RunConfig) -> None:
    """Raises: ConfigError where one run is asked for, but is a sweep over hook points."""
    if several(cfg):
        raise ConfigError(
            f"{cfg.at} are several hook points, and {cfg.sae.sae} reads one. Train one SAE at each: saescope.sweep(cfg, out)."
        )


def runs_at(cfg: RunConfig, points: Sequence[str]) -> dict[str, RunConfig]:
    """One run at each of several hook points, by the point's name."""
    return {file_name(at): replace(cfg, at=at) for at in points}


def one_run(cfg: RunConfig | SweepConfig) -> RunConfig:
    """Any run of a sweep: all share its model, text, stream and cache."""
    return cfg if isinstance(cfg, RunConfig) else cfg.single(next(iter(cfg.grid.saes().values())))


def file_name(at: str) -> str:
    """A hook point as a part of a folder's name: module paths may hold any sign."""
    return re.sub(r"[^\w.+-]", "_", at)


def _owner(word: str) -> str:
    """ARCHITECTURE of ARCHITECTURE.NAME=VALUE, "" of NAME=VALUE."""
    return word.partition("=")[0].rpartition(".")[0]


def _applies(word: str, architecture: str, known: Sequence[str]) -> bool:
    """Whether a word of --set is meant for an architecture with these options."""
    owner, _, name = word.partition("=")[0].rpartition(".")
    return "=" in word and name in known and owner in ("", architecture)


def _for(architecture: str, word: str) -> str:
    """NAME=VALUE of a word that may begin with the architecture it is for."""
    return word.removeprefix(f"{architecture}.") if _owner(word) else word


def _setting(name: str, value: Any, known: Sequence[str]) -> tuple[str, Any]:
    """Field and value of SAEConfig: an L0 is k for architectures that choose k latents. Raises: ConfigError for a broken k."""
    if name != "l0" or "k" not in known:
        return name, value
    if value != int(value):
        raise ConfigError(f"--l0 {value:g} is no number of latents to keep. Architectures that choose k latents need a whole one.")
    return "k", int(value)


def _part(name: str, value: Any) -> str:
    """How the name of an SAE says a value: l0-32, d-4096, x-8, s1."""
    if name == "init_seed":
        return f"s{value}"
    said = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{ {'d_sae': 'd', 'expansion': 'x'}.get(name, name) }-{said}"
