"""What a run is asked to do. The same fields are the flags of `saescope run`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from saescope.config import from_dict, to_dict
from saescope.errors import ConfigError
from saescope.models.loading import BUNDLED
from saescope.training.config import TrainConfig

FREE = ("device", "log_steps", "checkpoint_minutes", "checkpoint_steps")
"""Fields in which a run may be continued with another value."""
OPEN = ("context", "packing", "d_sae", "expansion", "k", "l1", "lr", "dead_tokens")
"""Fields that may be left open (None, "auto") and are chosen when the model and the text are known."""


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

    sae: Literal["batch_topk", "topk", "relu"] = "batch_topk"
    """Architecture."""
    d_sae: int | None = None
    """Number of latents; or give --expansion."""
    expansion: float | None = None
    """Latents per input dimension; 8 if neither is given."""
    k: int | None = None
    """Latents per token of topk and batch_topk (default 32)."""
    l1: float | None = None
    """Sparsity coefficient of relu (default 5), for squared error summed over d at unit mean square per coordinate."""

    def __post_init__(self):
        if self.d_sae is not None and self.d_sae < 1:
            raise ConfigError(f"d_sae={self.d_sae} was asked for. It must be at least 1: set --d-sae.")
        if self.expansion is not None and not self.expansion > 0:
            raise ConfigError(f"expansion={self.expansion} was asked for. It must be above 0: set --expansion.")
        if self.k is not None and self.k < 1:
            raise ConfigError(f"k={self.k} latents per token were asked for. k must be at least 1: set --k.")
        for name, owners in (("k", ("topk", "batch_topk")), ("l1", ("relu",))):
            if getattr(self, name) is not None and self.sae not in owners:
                raise ConfigError(f"--{name} does not apply to --sae {self.sae}, only to {' and '.join(owners)}. Leave it out.")

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
        """What the architecture's own config is given."""
        return {name: value for name in ("k", "l1") if (value := getattr(self, name)) is not None}


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


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The main job."""

    model: ModelConfig = field(default_factory=ModelConfig)
    text: TextConfig = field(default_factory=TextConfig)
    at: str = ""
    """Hook point: blocks.3.mlp_post. `saescope hooks MODEL` lists them. The bundled model's default is blocks.0.mlp_post."""
    sae: SAEConfig = field(default_factory=SAEConfig)
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

    def with_subject(self) -> "RunConfig":
        """This config with text and hook point: the bundled model has its own. Raises: ConfigError where another model lacks one."""
        given = {"text": self.text.text, "at": self.at}
        absent = [f"--{name}" for name, value in given.items() if not value]
        if absent and self.model.model != BUNDLED:
            raise ConfigError(
                f"{' and '.join(absent)} must be given for {self.model.model}, such as --text stories.txt --at blocks.3.mlp_post "
                f"(saescope hooks {self.model.model} lists the hook points). Only the bundled model has a text and a hook point of its own."
            )
        return replace(self, text=replace(self.text, text=given["text"] or "babel"), at=given["at"] or "blocks.0.mlp_post")

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
