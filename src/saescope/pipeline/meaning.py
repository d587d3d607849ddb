"""What the features of a run are about: their labels, where the text has some that tell, and the before-and-after of the page."""

import shutil
from pathlib import Path

from saescope.activations.encode import Dictionary
from saescope.config import to_dict
from saescope.errors import ConfigError, CorruptArtifact, NewerSchema, NotAnArtifact, NoTokens
from saescope.evals.before_after import BeforeAfterConfig, before_after
from saescope.evals.before_after_result import BeforeAfter
from saescope.evals.concepts import ConceptConfig, concepts, neuron_row
from saescope.features.concepts import FOLDER, describe_concepts
from saescope.features.store import FeatureStore
from saescope.pipeline.config import RunConfig
from saescope.pipeline.reporter import Parts, Reporter
from saescope.pipeline.subject import Subject
from saescope.run_folder import RunFolder
from saescope.saes.base import SAE
from saescope.saes.storage import sae_sha256

TELLING = ("topic", "source")
"""Families that say what a text is about: without one of them every text has the same labels, and features are not named by them."""


def concepts_stage(run: RunFolder, sae: SAE, store: FeatureStore, subject: Subject, cfg: RunConfig, reporter: Reporter) -> FeatureStore:
    """The labels of the features, in run/features/concepts; the store as it was where the text has none, or `label_tokens` is 0."""
    if not cfg.label_tokens or not set(TELLING) & set(subject.corpus.labelling.families):
        return store
    wanted = ConceptConfig(select_tokens=cfg.label_tokens, report_tokens=cfg.label_tokens)
    said = store.concept_provenance
    if said.get("config") == to_dict(wanted) and said.get("corpus_sha256") == subject.corpus.sha256:
        return store
    rows: dict[str, Dictionary] = {"sae": sae, "neurons": neuron_row(subject.lm, subject.at, subject.corpus, subject.pack)}
    with Parts(reporter, "labels of the text") as progress:
        report = concepts(rows, subject.lm, subject.at, subject.corpus, wanted, pack=subject.pack, progress=progress)
    folder = concepts_folder(run)
    shutil.rmtree(folder, ignore_errors=True)
    report.save(folder)
    describe_concepts(run.features, report.columns("sae"), report.provenance)
    return FeatureStore.open(run.features, verify="size")


def concepts_folder(run: RunFolder) -> Path:
    """Where a run keeps the labels of its features, and the report on the labels themselves."""
    return run.features / FOLDER


def before_after_stage(run: RunFolder, sae: SAE, subject: Subject, cfg: RunConfig, reporter: Reporter) -> BeforeAfter | None:
    """The before-and-after of the page, in run/eval/before-after; None where `label_tokens` is 0 or the text holds too little."""
    if not cfg.label_tokens:
        return None
    wanted = BeforeAfterConfig(report_tokens=cfg.label_tokens, select_tokens=min(100_000, cfg.label_tokens), seed=cfg.train.seed)
    folder = run.path / "eval" / "before-after"
    try:
        made = BeforeAfter.load(folder)
        if made.provenance.get("config") == to_dict(wanted) and made.provenance.get("sae_sha256") == sae_sha256(sae):
            return made
    except (NotAnArtifact, CorruptArtifact, NewerSchema):
        pass
    try:
        with Parts(reporter, "before and after") as progress:
            made = before_after(sae, subject.lm, subject.at, subject.corpus, wanted, pack=subject.pack, progress=progress)
    except (NoTokens, ConfigError) as error:  # too few documents, or none that a neuron and a feature share
        reporter.say(f"no before and after: {error}")
        return None
    made.save(folder)
    return made
