"""A trained SAE together with the model and text it belongs to, for the verbs that come after training."""

from dataclasses import dataclass, replace
from pathlib import Path

from saescope.config import from_dict
from saescope.data.corpus import Corpus
from saescope.errors import ConfigError, WidthMismatch
from saescope.interop import OpenedSAE, open_sae
from saescope.models.language_model import LanguageModel
from saescope.pipeline.config import ModelConfig, RunConfig, TextConfig
from saescope.pipeline.subject import Subject, open_corpus, open_model, packing_of


@dataclass(frozen=True, kw_only=True)
class Revisit:
    """Which SAE, and what differs from how it was trained. Fields left at None are the SAE's own."""

    sae: Path
    """A run directory, or an SAE folder."""
    model: str | None = None
    """Hub name or folder of another copy of the model."""
    at: str | None = None
    """Another hook point."""
    text: str | None = None
    """Another text."""
    documents: int | None = None
    """Use only the first so many documents of the text."""
    column: str = "text"
    """Where the text is, in jsonl, parquet and data sets."""
    device: str = "auto"
    """cpu, cuda, cuda:N, mps; auto: the best there is."""
    dtype: str = "auto"
    """float32, bfloat16, float16; auto: that of the weights."""
    batch_tokens: int = 4096
    """Tokens per forward pass."""


def revisit(options: Revisit) -> tuple[OpenedSAE, Subject]:
    """The SAE, and its subject as `options` change it.

    Another text, given for an SAE of a run, is the report text as a whole; the selection documents stay the run's own.
    Raises: ConfigError (a bare SAE folder names no model or text), WidthMismatch, and what opening them raises.
    """
    opened = open_sae(options.sae)
    cfg = _run_config(opened)
    lm = open_model(_model_config(options, opened, cfg))
    at = options.at or opened.provenance.get("hook_points", [None])[0]
    if at is None:
        raise ConfigError(f"the SAE in {options.sae} does not say where it belongs. Give its hook point: --at.")
    point = lm.resolve(at)
    check_width(opened, lm, str(point))
    corpus, text_cfg = _corpus(options, opened, cfg)
    opened = replace(opened, sae=opened.sae.to(lm.device))
    return opened, Subject(lm, point, corpus, packing_of(text_cfg, lm, corpus, options.batch_tokens))


def check_width(opened: OpenedSAE, lm: LanguageModel, at: str) -> None:
    """Raises: WidthMismatch, naming the hook points of the model that fit."""
    width, d_in = lm.width(at), opened.sae.d_in
    if width == d_in:
        return
    trained_at = ", ".join(opened.provenance.get("hook_points", []))
    fitting = [str(info.at) for info in lm.hook_points() if info.width == d_in]
    nearest = f"Hook points of width {d_in}: {', '.join(fitting[:3])}, ..." if fitting else f"{lm.name} has no hook point of width {d_in}."
    raise WidthMismatch(
        f"the SAE reads d_in={d_in}, but {at} of {lm.name} is {width} wide. It was trained at {trained_at or 'an unnamed place'}. "
        f"{nearest} List all: saescope hooks {lm.name}"
    )


def _run_config(opened: OpenedSAE) -> RunConfig | None:
    had = opened.run.read_config() if opened.run else None
    return from_dict(RunConfig, had) if had is not None and "model" in had else None


def _model_config(options: Revisit, opened: OpenedSAE, cfg: RunConfig | None) -> ModelConfig:
    changes = {"device": options.device, "dtype": options.dtype}
    if options.model is not None:
        return ModelConfig(model=options.model, **changes)
    if cfg is None:
        trained_on = opened.provenance.get("model", "an unnamed model")
        raise ConfigError(f"{options.sae} is an SAE without a run, trained on {trained_on}. Say where that model is: --model.")
    return replace(cfg.model, device=options.device, dtype=options.dtype if options.dtype != "auto" else cfg.model.dtype)


def _corpus(options: Revisit, opened: OpenedSAE, cfg: RunConfig | None) -> tuple[Corpus, TextConfig]:
    if cfg is None:
        if options.text is None:
            raise ConfigError(f"{options.sae} is an SAE without a run. Say which text to read: --text.")
        context = opened.provenance.get("context_length")
        text_cfg = TextConfig(text=options.text, column=options.column, documents=options.documents, context=context)
        return open_corpus(text_cfg), text_cfg
    if options.text is None:
        text_cfg = replace(cfg.text, documents=options.documents if options.documents is not None else cfg.text.documents)
        return open_corpus(text_cfg), text_cfg
    whole = options.text if options.documents is None else f"{options.text}:{options.documents}"
    return open_corpus(cfg.text, holdout=whole), cfg.text
