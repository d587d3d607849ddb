"""A model and a text, opened and checked against each other: what every stage of the main job starts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from saescope.activations.stream import MOST_CONTEXT, StreamSource
from saescope.data.corpus import Corpus
from saescope.data.packing import PackConfig, choose_packing, pack
from saescope.errors import ConfigError, NoTokens, ProvenanceMismatch
from saescope.evals.tokens import report_documents, selection_documents
from saescope.models.hook_point import HookPoint
from saescope.models.language_model import LanguageModel
from saescope.models.route import Route
from saescope.pipeline.config import SHARED_OPTIONS, Harvest, ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.training.config import TrainConfig
from saescope.training.optimizer import default_lr

if TYPE_CHECKING:
    from saescope.saes.base import SAE

FORWARD_TOKENS = 4096
"""Tokens per forward pass of the model while training, where a training step has fewer. Out of memory halves it."""


@dataclass(frozen=True)
class Subject:
    """What is looked at: a model at its hook points, reading a text in a certain way."""

    lm: LanguageModel
    at: Route
    """One hook point of an SAE, two of a transcoder, several of a crosscoder."""
    corpus: Corpus
    pack: PackConfig
    autocast: bool | None = None

    def stream(self, points: Sequence[HookPoint] = ()) -> StreamSource:
        """Activations of the training documents, at these hook points or its own."""
        return StreamSource(self.lm, points or self.at.points, self.corpus, self.pack, autocast=self.autocast)


def autocast_of(cfg: ModelConfig) -> bool | None:
    """None where the stream decides. Raises: ConfigError."""
    if cfg.harvest not in get_args(Harvest):
        raise ConfigError(f"harvest={cfg.harvest!r} was asked for. There are: {', '.join(get_args(Harvest))}. Set --harvest.")
    return {"auto": None, "fp32": False, "bf16": True}[cfg.harvest]


def open_model(cfg: ModelConfig) -> LanguageModel:
    """Raises: UnknownModel, HubUnreachable, ConfigError."""
    return LanguageModel.load(cfg.model, dtype=cfg.dtype, device=cfg.device, revision=cfg.revision, trust_remote_code=cfg.trust_remote_code)


def open_corpus(cfg: TextConfig, *, holdout: str | None = None, holdout_column: str | None = None) -> Corpus:
    """The text of a config; `holdout` replaces its own. Raises: UnreadableText, NoTokens, ConfigError, HubUnreachable."""
    return Corpus.open(
        cfg.text,
        column=cfg.column,
        split=cfg.split,
        n_documents=cfg.documents,
        piece=cfg.piece,
        holdout=holdout if holdout is not None else cfg.holdout,
        holdout_column=holdout_column,
    )


def packing_of(cfg: TextConfig, lm: LanguageModel, corpus: Corpus, batch_tokens: int) -> PackConfig:
    """How the text is laid into sequences. Raises: ConfigError for a context beyond the model's."""
    context = cfg.context if cfg.context is not None else min(lm.context_length, MOST_CONTEXT)
    if context > lm.context_length:
        raise ConfigError(f"a context of {context} tokens was asked for, but {lm.name} reads at most {lm.context_length}. Lower --context.")
    packing = choose_packing(corpus, lm.tokenizer, context) if cfg.packing == "auto" else cfg.packing
    return PackConfig(context=context, packing=packing, bos=cfg.bos, batch_sequences=max(1, batch_tokens // context))


def check_model(provenance: Mapping[str, Any], lm: LanguageModel) -> None:
    """Raises: ProvenanceMismatch if the SAE of this provenance was trained on other weights or another tokenizer."""
    own = lm.fingerprint
    for name in ("weights_sha256", "tokenizer_sha256"):
        if provenance.get(name) not in (None, own[name]):
            raise ProvenanceMismatch(
                f"the SAE was trained on {provenance.get('model')} with {name} {provenance[name]}, but {lm.name} here has {own[name]}. "
                "Give the model it was trained on, or say that you mean this one: --model."
            )


def forward_tokens(train: TrainConfig | None) -> int:
    """Tokens per forward pass: those of a training step, or more where a step has few."""
    return max(train.batch_tokens, FORWARD_TOKENS) if train else FORWARD_TOKENS


def open_subject(cfg: RunConfig) -> Subject:
    """The model, hook points, text and packing of a run."""
    check_target(cfg)
    lm = open_model(cfg.model)
    route = route_of(cfg, lm)
    corpus = open_corpus(cfg.text)
    return Subject(lm, route, corpus, packing_of(cfg.text, lm, corpus, forward_tokens(cfg.train)), autocast_of(cfg.model))


def check_text(subject: Subject, *, report: bool = True) -> None:
    """Raises: NoTokens, before anything is trained, if a part of the text holds none that a later stage could read.

    `report=False` leaves out the report documents, which training does not read. Of a stream nothing is looked at in advance.
    """
    if subject.corpus.streaming:
        return
    parts = {"training": subject.corpus.documents("train"), "selection": selection_documents(subject.corpus)[0]}
    if report:
        parts["report"] = report_documents(subject.corpus)
    for part, documents in parts.items():
        try:
            any(bool(batch.counted.any()) for batch in pack(documents, subject.lm.tokenizer, subject.pack))
        except NoTokens as error:
            raise NoTokens(f"the {part} documents of {subject.corpus.name} are too few: {error}") from error


def check_target(cfg: RunConfig) -> None:
    """Raises: ConfigError, before a model is loaded, if there is a target and no transcoder, or a transcoder and no target."""
    from saescope.saes.registry import class_and_config

    transcodes = class_and_config(cfg.sae.sae)[0].transcodes
    if transcodes and not cfg.target:
        raise ConfigError(
            f"--sae {cfg.sae.sae} reconstructs another hook point than it reads, but none was given. "
            "Name it, such as --at blocks.3.resid_mid --target blocks.3.mlp_out."
        )
    if cfg.target and not transcodes:
        raise ConfigError(
            f"--target {cfg.target} was given, but --sae {cfg.sae.sae} reconstructs what it reads. "
            "Leave it out, or train a transcoder: --sae transcoder, or --sae skip_transcoder."
        )


def route_of(cfg: RunConfig, lm: LanguageModel) -> Route:
    """The hook points of a run. Raises: UnknownHookPoint; ConfigError for those that its architecture cannot use."""
    from saescope.saes.registry import class_and_config

    check_target(cfg)
    sae, _ = class_and_config(cfg.sae.sae)
    route = Route.of(lm, cfg.at, cfg.target)
    named = ", ".join(map(str, route.reads))
    if sae.joins and len(route.reads) < 2:
        raise ConfigError(
            f"--sae {cfg.sae.sae} has latents for several hook points, but --at {cfg.at} is one ({named}). "
            "Name more, such as --at blocks.1.resid_post,blocks.3.resid_post, or a pattern: --at 'blocks.*.resid_post'."
        )
    if not sae.joins and len(route.reads) > 1:
        raise ConfigError(
            f"--sae {cfg.sae.sae} reads one hook point, but --at {cfg.at} names {len(route.reads)} ({named}). Give one of them, or join "
            "them: --sae crosscoder."
        )
    read, target = route.reads[0], route.target
    if target is not None and (target == read or (None not in (target.layer, read.layer) and target < read)):
        where = "is what is read" if target == read else f"comes before {read} in the model"
        raise ConfigError(f"--target {target} {where}. Give a hook point behind the one that is read --at, such as the output of an MLP.")
    return route


def fresh_sae(cfg: SAEConfig, lm: LanguageModel, route: Route, *, seed: int | None) -> "SAE":
    """An SAE as wide as its hook points. Raises: ConfigError for an option that does not fit."""
    from saescope.saes.registry import build, class_and_config

    widths = route.widths(lm)
    joined = {"widths": widths} if class_and_config(cfg.sae)[0].joins else {}
    return build(cfg.sae, sum(widths), cfg.width(max(widths)), joined | cfg.options(), d_out=route.d_out(lm), seed=seed)


def resolved(cfg: RunConfig, subject: Subject) -> RunConfig:
    """The config with everything that it leaves open chosen. Raises: ConfigError for a width or k that does not fit."""
    import torch

    with torch.device("meta"):
        sae = fresh_sae(cfg.sae, subject.lm, subject.at, seed=None)  # checks k against d_sae
    options: dict[str, Any] = {name: getattr(sae.cfg, name, None) for name in SHARED_OPTIONS}
    lr = cfg.train.lr if cfg.train.lr is not None else default_lr(sae)
    return replace(
        cfg,
        at=",".join(map(str, subject.at.reads)),
        target=str(subject.at.target or ""),
        text=replace(cfg.text, context=subject.pack.context, packing=subject.pack.packing),
        sae=replace(cfg.sae, d_sae=sae.d_sae, **options),
        train=replace(cfg.train, lr=lr, dead_tokens=cfg.train.dead_after),
    )
