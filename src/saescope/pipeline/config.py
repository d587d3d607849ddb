"""What a run is asked to do. The same fields are the flags of `saescope run`."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from saescope.config import from_dict, to_dict
from saescope.errors import ConfigError, did_you_mean
from saescope.models.loading import BUNDLED
from saescope.pipeline.objectives import ObjectiveConfig
from saescope.pipeline.trackers import tracker_names
from saescope.training.config import TrainConfig

FREE = ("device", "log", "log_steps", "checkpoint_minutes", "checkpoint_steps")
"""Fields in which a run may be continued with another value."""
SHARED_OPTIONS = ("k", "l1", "l0")
"""Options that several architectures have, with a flag of their own."""
OPEN = ("context", "packing", "d_sae", "expansion", *SHARED_OPTIONS, "lr", "dead_tokens")
"""Fields that may be left open (None, "auto") and are chosen when the model and the text are known."""

Harvest = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model, and how it is run."""

    model: str = BUNDLED
    """Hub name or folder of a Hugging Face causal language model; "bundled" is the one that comes with the package."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    device: str = "auto"
    """cpu, cuda, cuda:N, mps; auto: the best there is."""
    dtype: str = "auto"
    """float32, bfloat16, float16; auto: that of the weights."""
    harvest: Harvest = "auto"
    """Precision of the products in passes that activations are read from: fp32, bf16 (autocast); auto: bf16 where it is faster."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for authors you trust."""


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Which text, and how it becomes sequences."""

    text: str = ""
    """File (txt, jsonl, parquet), folder, Hub data set, or "babel", the labelled corpus, which is the bundled model's default."""
    column: str = "text"
    """Where the text is, in jsonl, parquet and data sets."""
    split: str = "train"
    """Split of a Hub data set."""
    documents: int | None = None
    """Use only the first so many documents."""
    piece: int | None = None
    """Cut the documents of txt files at the first line end after so many bytes: long files, of which a part is to be held out."""
    holdout: str | None = None
    """PATH[:N]: documents that never train, and that results are reported on. None: 5 % by hash of the document's number."""
    context: int | None = None
    """Tokens per sequence; None: the model's, at most 512."""
    packing: Literal["auto", "documents", "stream"] = "auto"
    """One document per sequence, or documents joined; auto: documents, unless the cut would lose over a tenth of the tokens."""
    bos: bool = True
    """BOS before each document, if the tokenizer has one."""

    def __post_init__(self):
        for name, least in (("documents", 1), ("piece", 1), ("context", 2)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ConfigError(f"{name}={value} was asked for. It must be at least {least}: set --{name}.")


@dataclass(frozen=True, kw_only=True)
class SAEConfig:
    """Which SAE is trained."""

    sae: str = "batch_topk"
    """Architecture: batch_topk, topk, relu, gated, jumprelu, matryoshka, autoencoder, transcoder, skip_transcoder, crosscoder."""
    d_sae: int | None = None
    """Number of latents; or give --expansion."""
    expansion: float | None = None
    """Latents per input dimension (of a crosscoder: of its widest hook point); 8 if neither is given."""
    k: int | None = None
    """Latents per token of topk, batch_topk, matryoshka and what is built on them (default 32)."""
    l1: float | None = None
    """Sparsity coefficient of relu and gated (default 5), for squared error summed over d at unit mean square per coordinate."""
    l0: float | None = None
    """L0 that a penalised architecture (relu, gated, jumprelu) is to reach: its coefficient is scaled while it trains."""
    set: tuple[str, ...] = ()
    """Other options of the architecture, each NAME=VALUE: --set decoder=free sparsity=tanh."""
    init_seed: int | None = None
    """Seed of the initial weights alone; None: --seed, which also orders the text."""

    def __post_init__(self):
        if self.d_sae is not None and self.d_sae < 1:
            raise ConfigError(f"d_sae={self.d_sae} was asked for. It must be at least 1: set --d-sae.")
        if self.expansion is not None and not self.expansion > 0:
            raise ConfigError(f"expansion={self.expansion} was asked for. It must be above 0: set --expansion.")
        if self.k is not None and self.k < 1:
            raise ConfigError(f"k={self.k} latents per token were asked for. k must be at least 1: set --k.")
        if self.l0 is not None and not self.l0 > 0:
            raise ConfigError(f"l0={self.l0} active latents per token were asked for. It must be above 0: set --l0.")
        self.options()

    def width(self, d_in: int) -> int:
        """d_sae for inputs of width d_in."""
        by_expansion = round((8 if self.expansion is None else self.expansion) * d_in)
        if self.d_sae is not None and self.expansion is not None and self.d_sae != by_expansion:
            raise ConfigError(
                f"d_sae={self.d_sae} and expansion={self.expansion} of d_in={d_in} disagree. Give one of --d-sae, --expansion."
            )
        width = self.d_sae if self.d_sae is not None else by_expansion
        if width < 1:
            raise ConfigError(f"expansion={self.expansion} of d_in={d_in} leaves no latent. Raise --expansion.")
        return width

    def options(self) -> dict[str, Any]:
        """What the architecture's own config is given. Raises: ConfigError for an option that it has not."""
        from saescope.saes.registry import ARCHITECTURES, option_names

        known = option_names(self.sae)
        given = {name: value for name in SHARED_OPTIONS if (value := getattr(self, name)) is not None}
        for name in given:
            if name not in known:
                owners = ", ".join(other for other in ARCHITECTURES if name in option_names(other))
                raise ConfigError(f"--{name} does not apply to --sae {self.sae}, only to {owners}. Leave it out.")
        return given | dict(_assignment(word, self.sae, known) for word in self.set)


def _assignment(word: str, architecture: str, known: Collection[str]) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is some, else as text."""
    name, equals, text = word.partition("=")
    if not equals or name not in known:
        raise ConfigError(
            f"--set {word} sets no option of {architecture}. Expected NAME=VALUE with one of {', '.join(known)}.{did_you_mean(name, known)}"
        )
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


@dataclass(frozen=True, kw_only=True)
class ArrayConfig:
    """Training on activations that somebody saved, without a model."""

    activations: Path
    """Array [tokens, width] in a .npy or .safetensors file."""
    key: str | None = None
    """Which tensor of a .safetensors file that holds several."""
    sae: SAEConfig = field(default_factory=SAEConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    device: str = "auto"
    """cpu, cuda, cuda:N, mps; auto: the best there is."""
    log: str = ""
    """Who follows the training besides metrics.jsonl: tensorboard, wandb, trackio."""

    def __post_init__(self):
        tracker_names(self.log)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The main job."""

    model: ModelConfig = field(default_factory=ModelConfig)
    text: TextConfig = field(default_factory=TextConfig)
    at: str = ""
    """Hook point: blocks.3.mlp_post. `saescope hooks MODEL` lists them. The bundled model's default is blocks.0.mlp_post. A crosscoder
    takes several: blocks.1.resid_post,blocks.3.resid_post, or blocks.*.resid_post."""
    target: str = ""
    """Hook point that a transcoder reconstructs from what it reads --at another; empty for every other architecture."""
    sae: SAEConfig = field(default_factory=SAEConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    cache: str = "auto"
    """Activations on disk: auto (while training, if the text is read more than once and they fit), never, or a folder to keep."""
    silent_tokens: int = 500_000
    """Tokens in which a latent that never fires is reported as dead."""
    feature_tokens: int = 1_000_000
    """Tokens that the features are described by."""
    label_tokens: int = 200_000
    """Held-out tokens that the labels of features and the before-and-after card are chosen on, and as many that they are measured on;
    0 leaves both out."""
    cards: int = 200
    """Features shown as cards on the page."""
    log: str = ""
    """Who follows the training besides metrics.jsonl, with commas between: tensorboard, wandb, trackio. Each is an extra to install."""

    def __post_init__(self):
        for name in ("silent_tokens", "feature_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} was asked for. It must be at least 1: set --{name.replace('_', '-')}.")
        if not self.cache:
            raise ConfigError("the cache is '', which names nothing. Expected auto, never, or a folder: set --cache.")
        if self.label_tokens < 0:
            raise ConfigError(f"label_tokens={self.label_tokens} was asked for. It must be at least 0: set --label-tokens.")
        if self.cards < 0:
            raise ConfigError(f"cards={self.cards} was asked for. It must be at least 0: set --cards.")
        tracker_names(self.log)

    def with_subject(self) -> "RunConfig":
        """This config with text and hook point: the bundled model has its own. Raises: ConfigError where another model lacks one."""
        given = {"text": self.text.text, "at": self.at}
        absent = [f"--{name}" for name, value in given.items() if not value]
        if absent and self.model.model != BUNDLED:
            raise ConfigError(
                f"{' and '.join(absent)} must be given for {self.model.model}, such as --text stories.txt --at blocks.3.mlp_post "
                f"(saescope hooks {self.model.model} lists the hook points). Only the bundled model has a text and a hook point of its own."
            )
        at, target = (self.at, self.target) if self.at else self._bundled_points()
        return replace(self, text=replace(self.text, text=given["text"] or "babel"), at=at, target=self.target or target)

    def _bundled_points(self) -> tuple[str, str]:
        """Hook point and target on the bundled model, by what the architecture needs."""
        from saescope.saes.registry import class_and_config

        sae, _ = class_and_config(self.sae.sae)
        if sae.transcodes:
            return "blocks.0.resid_mid", "blocks.0.mlp_out"
        return "blocks.0.resid_mid,blocks.0.resid_post" if sae.joins else "blocks.0.mlp_post", ""

    def settled(self, had: Mapping[str, Any] | None) -> "RunConfig":
        """The resolved config of an earlier run of the same folder, if this one says nothing else; otherwise this config as it is."""
        return from_dict(RunConfig, had) if had is not None and _filled(to_dict(self), had) == had else self

    @property
    def cache_folder(self) -> Path | None:
        """The folder to keep activations in, where one is named."""
        return None if self.cache in ("auto", "never") else Path(self.cache)


def _filled(given: Mapping[str, Any], had: Mapping[str, Any]) -> dict[str, Any]:
    filled = {}
    for name, value in given.items():
        if isinstance(value, Mapping) and isinstance(had.get(name), Mapping):
            filled[name] = _filled(value, had[name])
        else:
            filled[name] = had.get(name, value) if name in OPEN and value in (None, "auto") else value
    return filled
