"""A trained SAE together with the model and text it belongs to, for the verbs that come after training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from saescope.config import from_dict
from saescope.errors import ConfigError, UnreadableText, WidthMismatch
from saescope.evals.rows import check_widths
from saescope.interop import OpenedSAE, open_sae
from saescope.models.language_model import LanguageModel
from saescope.models.route import Route
from saescope.pipeline.config import ModelConfig, RunConfig, TextConfig
from saescope.pipeline.subject import Subject, autocast_of, check_model, forward_tokens, open_corpus, open_model, packing_of

FINE_TUNE = "fine_tune"
"""What config and provenance of a fine-tuned run have beside those of a trained one: what was tuned, and whose child it is."""


@dataclass(frozen=True, kw_only=True)
class Revisit:
    """Which SAE, and what differs from how it was trained. Fields left at None are the SAE's own."""

    sae: Path
    """A run directory, or an SAE folder."""
    model: str | None = None
    """Hub name or folder of another copy of the model."""
    at: str | None = None
    """Another hook point; of a crosscoder several, with commas or as a pattern."""
    target: str | None = None
    """Another hook point that a transcoder reconstructs."""
    text: str | None = None
    """Another text."""
    documents: int | None = None
    """Use only the first so many documents of the text."""
    column: str | None = None
    """Where the text is, in jsonl, parquet and data sets; None: as the run's, or "text"."""
    device: str = "auto"
    """cpu, cuda, cuda:N, mps; auto: the best there is."""
    dtype: str = "auto"
    """float32, bfloat16, float16; auto: that of the weights."""
    batch_tokens: int | None = None
    """Tokens per forward pass; None: as the run's, or 4,096."""

    def __post_init__(self):
        for name in ("documents", "batch_tokens"):
            at_least_1(name, getattr(self, name))

    def changes(self) -> dict[str, Any]:
        """The options that make a result another one than the SAE's own."""
        given = {name: getattr(self, name) for name in ("model", "at", "target", "text", "documents", "column")} | {
            "dtype": None if self.dtype == "auto" else self.dtype
        }
        return {name: value for name, value in given.items() if value is not None}


def at_least_1(name: str, value: int | None) -> None:
    """Raises: ConfigError for a size below 1; None passes."""
    if value is not None and value < 1:
        raise ConfigError(f"{name}={value} was asked for. It must be at least 1: set --{name.replace('_', '-')}.")


@dataclass(frozen=True)
class Revisited:
    """What `revisit` opened."""

    opened: OpenedSAE
    subject: Subject
    cfg: RunConfig | None
    """The run's own config; None for an SAE without a run."""
    changes: dict[str, Any]
    """What was asked for that is not the SAE's own."""
    model: ModelConfig
    text: TextConfig


def revisit(options: Revisit, *, text_as: Literal["report", "corpus"]) -> Revisited:
    """The SAE, and its subject as `options` change it.

    What another text is: "report": all of it is held out and reported on, beside the run's own documents where there is a run;
    "corpus": it takes the place of the run's text, with its own parts.
    Raises: ConfigError (a bare SAE folder names no model or text), WidthMismatch, and what opening them raises.
    """
    opened = open_sae(options.sae)
    cfg = _run_config(opened)
    model_cfg = _model_config(options, opened, cfg)
    lm = open_model(model_cfg)
    route = _route(options, opened, lm)
    if options.model is None and options.dtype == "auto":
        check_model(opened.provenance, lm)
    text_cfg, held_out = _text(options, opened, cfg, text_as)
    corpus = open_corpus(text_cfg, holdout=held_out, holdout_column=options.column)
    batch_tokens = options.batch_tokens or forward_tokens(cfg.train if cfg else None)
    opened = replace(opened, sae=opened.sae.to(lm.device))
    subject = Subject(lm, route, corpus, packing_of(text_cfg, lm, corpus, batch_tokens), autocast_of(model_cfg))
    return Revisited(opened, subject, cfg, options.changes(), model_cfg, text_cfg)


def _route(options: Revisit, opened: OpenedSAE, lm: LanguageModel) -> Route:
    """Where the SAE reads and what it reconstructs. Raises: ConfigError where nobody says, WidthMismatch."""
    sae, said = opened.sae, opened.provenance
    at, target = options.at or ",".join(said.get("hook_points", [])), options.target or said.get("target")
    if not at:
        raise ConfigError(f"the SAE in {options.sae} does not say where it belongs. Give its hook point: --at.")
    if sae.transcodes and not target:
        raise ConfigError(f"the transcoder in {options.sae} does not say what it reconstructs. Give that hook point: --target.")
    if target and not sae.transcodes:
        raise ConfigError(f"--target {target} was given, but the SAE in {options.sae} reconstructs what it reads. Leave it out.")
    route = Route.of(lm, at, target)
    check_width(opened, lm, route)
    check_widths(sae, lm, route, what="the SAE")
    return route


def check_width(opened: OpenedSAE, lm: LanguageModel, route: Route) -> None:
    """Raises: WidthMismatch if the SAE reads another width, naming the hook points of the model that fit."""
    width, d_in = route.d_in(lm), opened.sae.d_in
    if width == d_in:
        return
    trained_at = ", ".join(opened.provenance.get("hook_points", []))
    fitting = [str(info.at) for info in lm.hook_points() if info.width == d_in]
    nearest = f"Hook points of width {d_in}: {', '.join(fitting[:3])}, ..." if fitting else f"{lm.name} has no hook point of width {d_in}."
    raise WidthMismatch(
        f"the SAE reads d_in={d_in}, but {route.input} of {lm.name} is {width} wide. It was trained at {trained_at or 'an unnamed place'}. "
        f"{nearest} List all: saescope hooks {lm.name}"
    )


def _run_config(opened: OpenedSAE) -> RunConfig | None:
    had = opened.run.read_config() if opened.run else None
    return from_dict(RunConfig, {name: value for name, value in had.items() if name != FINE_TUNE}) if had and "model" in had else None


def _model_config(options: Revisit, opened: OpenedSAE, cfg: RunConfig | None) -> ModelConfig:
    if options.model is not None:
        return ModelConfig(model=options.model, device=options.device, dtype=options.dtype)
    if cfg is None:
        trained_on = opened.provenance.get("model", "an unnamed model")
        raise ConfigError(f"{options.sae} is an SAE without a run, trained on {trained_on}. Say where that model is: --model.")
    return replace(cfg.model, device=options.device, dtype=options.dtype if options.dtype != "auto" else cfg.model.dtype)


def _text(options: Revisit, opened: OpenedSAE, cfg: RunConfig | None, text_as: str) -> tuple[TextConfig, str | None]:
    """The text, and what is held out of it instead of its own holdout."""
    if cfg is None and options.text is None:
        raise ConfigError(f"{options.sae} is an SAE without a run. Say which text to read: --text.")
    had = cfg.text if cfg else _as_trained(opened.provenance, options.text or "", options.column or "text")
    if options.text is not None and text_as == "report":
        if not Path(options.text).expanduser().exists():
            raise UnreadableText(f"--text {options.text}: there is no such file or folder. The text to report on must be local.")
        return had, options.text if options.documents is None else f"{options.text}:{options.documents}"
    changes: dict[str, Any] = {} if options.column is None else {"column": options.column}
    if options.text is not None:
        changes |= {"text": options.text, "documents": None}
    if options.documents is not None:
        changes["documents"] = options.documents
    return replace(had, **changes), None


def _as_trained(provenance: Mapping[str, Any], text: str, column: str) -> TextConfig:
    """How the text of an SAE without a run was laid into sequences."""
    stated: dict[str, Any] = {"context": provenance.get("context_length"), "packing": provenance.get("packing", "auto")}
    return TextConfig(text=text, column=column, bos=provenance.get("bos") != "none", **stated)
