"""A model and a text, opened and checked against each other: what every stage of the main job starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from saescope.activations.stream import MOST_CONTEXT
from saescope.data.corpus import Corpus
from saescope.data.packing import PackConfig, choose_packing, pack
from saescope.errors import ConfigError, NoTokens, ProvenanceMismatch
from saescope.evals.tokens import report_documents, selection_documents
from saescope.models.language_model import LanguageModel
from saescope.pipeline.config import ModelConfig, RunConfig, TextConfig
from saescope.training.config import TrainConfig
from saescope.training.optimizer import default_lr

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint

FORWARD_TOKENS = 4096
"""Tokens per forward pass of the model while training, where a training step has fewer. Out of memory halves it."""


@dataclass(frozen=True)
class Subject:
    """What is looked at: a model at a hook point, reading a text in a certain way."""

    lm: LanguageModel
    at: "HookPoint"
    corpus: Corpus
    pack: PackConfig


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
    """The model, hook point, text and packing of a run."""
    lm = open_model(cfg.model)
    at = lm.resolve(cfg.at)
    corpus = open_corpus(cfg.text)
    return Subject(lm, at, corpus, packing_of(cfg.text, lm, corpus, forward_tokens(cfg.train)))


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


def resolved(cfg: RunConfig, subject: Subject) -> RunConfig:
    """The config with everything that it leaves open chosen. Raises: ConfigError for a width or k that does not fit."""
    from saescope.saes.registry import build

    d_in = subject.lm.width(subject.at)
    d_sae = cfg.sae.width(d_in)
    options = vars(build(cfg.sae.sae, 1, d_sae, cfg.sae.options(), seed=None).cfg)  # checks k against d_sae
    lr = cfg.train.lr if cfg.train.lr is not None else default_lr(d_sae)
    return replace(
        cfg,
        at=str(subject.at),
        text=replace(cfg.text, context=subject.pack.context, packing=subject.pack.packing),
        sae=replace(cfg.sae, d_sae=d_sae, k=options.get("k"), l1=options.get("l1")),
        train=replace(cfg.train, lr=lr, dead_tokens=cfg.train.dead_after),
    )
