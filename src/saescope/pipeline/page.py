"""What the run's page says, gathered from its artifacts."""

import shlex
from collections.abc import Sequence
from typing import Any

from saescope.config import to_dict
from saescope.evals.before_after_result import BeforeAfter
from saescope.evals.report import eval_table
from saescope.evals.result import EvalResult
from saescope.features.store import FeatureStore
from saescope.pipeline.config import SHARED_OPTIONS, RunConfig
from saescope.pipeline.labels_table import named_latents
from saescope.pipeline.sweep_config import SweepConfig
from saescope.render.labels import LabelTable
from saescope.render.training_curves import TrainingCurves
from saescope.render.view_models import Fact, RunPage


def run_page(
    cfg: RunConfig,
    provenance: dict[str, Any],
    result: EvalResult,
    store: FeatureStore,
    *,
    pair: BeforeAfter | None = None,
    labels: LabelTable | None = None,
    training: TrainingCurves | None = None,
) -> RunPage:
    """The page of one run: facts, result table, before and after, labels, all features, and cards for some."""
    ended = provenance["training"]
    at = f"{cfg.at} -> {cfg.target}" if cfg.target else cfg.at.replace(",", ", ")
    scales = list(ended.get("scales", {"": ended["input_scale"]}).values())
    sae = f"{cfg.sae.sae}, {cfg.sae.d_sae:,} latents"
    options = {name: value for name in SHARED_OPTIONS if (value := getattr(cfg.sae, name)) is not None}
    sparsity = ", ".join([*(f"{name} = {value}" for name, value in options.items()), *cfg.sae.set])
    facts = (
        Fact("Model", provenance["model"], f"revision {provenance['revision']}, {provenance['dtype']}"),
        Fact("Hook point" if len(scales) == 1 else "Hook points", at, f"{_scales(scales)}, folded into the weights"),
        Fact("SAE", sae, sparsity),
        Fact("Text", provenance["corpus"], f"{provenance['packing']}, {provenance['context_length']} tokens, BOS {provenance['bos']}"),
        Fact("Held out", provenance["holdout"], f"{result.provenance['n_documents']:,} documents in the report"),
        Fact(
            "Trained",
            f"{provenance['n_tokens']:,} tokens",
            f"{ended['steps']:,} steps of {cfg.train.batch_tokens:,}, lr {cfg.train.lr:.2g}",
        ),
        Fact("Described by", f"{store.n_tokens:,} tokens", "of the training documents"),
        Fact("Seed", str(cfg.train.seed)),
    )
    named = named_latents(labels)[: cfg.cards]
    ids = list(dict.fromkeys([*named, *store.choose_cards(cfg.cards)]))[: cfg.cards]
    found = f"{len(named)} that stand for a label; the others are " if named else ""
    return RunPage(
        title=f"{provenance['model']} {at}",
        facts=facts,
        table=eval_table(result),
        features=store.table_rows(),
        cards=tuple(store[i].card() for i in ids),
        cards_note=f"{len(ids)} of {len(store):,} features: {found}half by share of mass, half stratified by density.",
        warnings=tuple(result.warnings),
        provenance=(
            *(Fact(name, str(provenance[name])) for name in ("weights_sha256", "tokenizer_sha256", "corpus_sha256")),
            *(Fact(name, str(result.provenance[key])) for name, key in (("sae_sha256", "sae_sha256"), ("saescope", "version"))),
        ),
        command=command_line(cfg),
        labels=labels,
        training=training,
        before_after=pair.view() if pair else None,
    )


def _scales(scales: Sequence[float]) -> str:
    """The input scale of each hook point."""
    return f"{', '.join(f'{scale:.4g}' for scale in scales)} = input scale{'s' if len(scales) > 1 else ''}"


def command_line(cfg: RunConfig | SweepConfig) -> str:
    """The command that makes such a run, or such a sweep, again: every option that is not at its default."""
    usual = to_dict(type(cfg)())
    words = ["saescope", "run" if isinstance(cfg, RunConfig) else "sweep", cfg.model.model]
    for group, value in to_dict(cfg).items():
        fields = value if isinstance(value, dict) else {group: value}
        before = usual[group] if isinstance(value, dict) else usual
        words += [word for name, given in fields.items() if given != before[name] and name != "model" for word in _flag(name, given)]
    return shlex.join(words)


def _flag(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *map(str, value)] if isinstance(value, list) else [f"--{flag}", str(value)]
