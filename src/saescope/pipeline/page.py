"""What the run's page says, gathered from its artifacts."""

import shlex
from typing import Any

from saescope.config import to_dict
from saescope.evals.before_after_result import BeforeAfter
from saescope.evals.report import eval_table
from saescope.evals.result import EvalResult
from saescope.features.store import FeatureStore
from saescope.pipeline.config import ModelConfig, RunConfig, TextConfig
from saescope.pipeline.labels_table import named_latents
from saescope.render.labels import LabelTable
from saescope.render.view_models import Fact, RunPage


def run_page(
    cfg: RunConfig,
    provenance: dict[str, Any],
    result: EvalResult,
    store: FeatureStore,
    *,
    pair: BeforeAfter | None = None,
    labels: LabelTable | None = None,
) -> RunPage:
    """The page of one run: facts, result table, before and after, labels, all features, and cards for some."""
    training = provenance["training"]
    at = cfg.at
    sae = f"{cfg.sae.sae}, {cfg.sae.d_sae:,} latents"
    sparsity = f"k = {cfg.sae.k}" if cfg.sae.k is not None else f"l1 = {cfg.sae.l1}"
    facts = (
        Fact("Model", provenance["model"], f"revision {provenance['revision']}, {provenance['dtype']}"),
        Fact("Hook point", at, f"{training['input_scale']:.4g} = input scale, folded into the weights"),
        Fact("SAE", sae, sparsity),
        Fact("Text", provenance["corpus"], f"{provenance['packing']}, {provenance['context_length']} tokens, BOS {provenance['bos']}"),
        Fact("Held out", provenance["holdout"], f"{result.provenance['n_documents']:,} documents in the report"),
        Fact(
            "Trained",
            f"{provenance['n_tokens']:,} tokens",
            f"{training['steps']:,} steps of {cfg.train.batch_tokens:,}, lr {cfg.train.lr:.2g}",
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
        before_after=pair.view() if pair else None,
    )


def command_line(cfg: RunConfig) -> str:
    """The command that makes such a run again: every option that is not at its default."""
    usual = to_dict(RunConfig(model=ModelConfig(model=""), text=TextConfig(text=""), at=""))
    words = ["saescope", "run", cfg.model.model]
    for group, value in to_dict(cfg).items():
        fields = value if isinstance(value, dict) else {group: value}
        before = usual[group] if isinstance(value, dict) else usual
        words += [word for name, given in fields.items() if given != before[name] and name != "model" for word in _flag(name, given)]
    return shlex.join(words)


def _flag(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", str(value)]
