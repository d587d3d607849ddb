"""`run`: the stages in order, in one folder that can be left and continued."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from saescope.config import to_dict
from saescope.evals.result import EvalResult
from saescope.features.store import FeatureStore
from saescope.pipeline.config import FREE, RunConfig
from saescope.pipeline.labels_table import labels_table
from saescope.pipeline.meaning import before_after_stage, concepts_folder, concepts_stage
from saescope.pipeline.metrics import read_records
from saescope.pipeline.outputs import refuse_occupied, refuse_unwritable
from saescope.pipeline.page import run_page
from saescope.pipeline.reporter import Reporter, Silent
from saescope.pipeline.stages import eval_stage, features_stage, train_stage
from saescope.pipeline.subject import Subject, check_text, open_subject, resolved
from saescope.pipeline.sweep_config import refuse_several
from saescope.pipeline.trackers import require_trackers
from saescope.render.training_curves import training_curves
from saescope.run_folder import FINISHED, RunFolder, State
from saescope.saes.base import SAE
from saescope.saes.storage import load, read_provenance
from saescope.web.export import write_run_page

TRAINED = ("sae/manifest.json",)


@dataclass(frozen=True)
class RunOutcome:
    """What a run left, and whether it was there already."""

    folder: RunFolder
    state: State
    """As the folder was found: "new", "continue" or "done"."""
    sae: SAE
    result: EvalResult | None
    """None after `until="sae"`."""
    features: FeatureStore | None


def run(
    cfg: RunConfig,
    out: Path | str,
    *,
    replace: bool = False,
    resume: bool = False,
    until: Literal["sae", "page"] = "page",
    reporter: Reporter | None = None,
) -> RunOutcome:
    """The main job: trains an SAE, measures it beside its controls, describes its features and writes the page.

    A folder with an unfinished run of the same config is continued; a finished one is only read; one of another config is
    refused with the fields that differ (`replace` starts anew; `resume` demands something to continue). `until="sae"` stops
    after training; the same call without it goes on from there.

    Raises: any SaescopeError; before anything is trained wherever that is possible.
    """
    reporter = reporter or Silent()
    finished = TRAINED if until == "sae" else FINISHED
    earlier = RunFolder(out)
    cfg = cfg.with_subject()
    refuse_several(cfg)
    cfg = cfg.settled(None if replace else earlier.read_config())
    earlier.refuse_foreign()
    if earlier.is_finished(finished) and not replace and earlier.read_config() == to_dict(cfg):  # without loading the model
        return _read(RunFolder(out, "done"), until)
    refuse_unwritable(out)
    require_trackers(cfg.log)
    if cfg.cache_folder is not None:
        refuse_occupied(cfg.cache_folder, "saescope.cache", flag="--cache")
    subject = open_subject(cfg)
    cfg = resolved(cfg, subject)
    check_text(subject, report=until == "page")
    with RunFolder.open_or_create(out, to_dict(cfg), replace=replace, resume=resume, finished=finished, free=FREE) as folder:
        if folder.state == "done":
            return _read(folder, until)
        sae = train_stage(folder, subject, cfg, reporter)
        if until == "sae":
            return RunOutcome(folder, folder.state, sae, None, None)
        result, features = describe(folder, sae, subject, cfg, reporter)
        return RunOutcome(folder, folder.state, sae, result, features)


def describe(run: RunFolder, sae: SAE, subject: Subject, cfg: RunConfig, reporter: Reporter) -> tuple[EvalResult, FeatureStore]:
    """All that comes after training: result, features, labels, before and after, and the page."""
    result = eval_stage(run, sae, subject, cfg, reporter)
    features = features_stage(run, sae, subject, cfg, reporter)
    features = concepts_stage(run, sae, features, subject, cfg, reporter)
    pair = before_after_stage(run, sae, subject, cfg, reporter)
    labels = labels_table(concepts_folder(run)) if features.concept_provenance else None
    course = training_curves(read_records(run.metrics))
    page = run_page(cfg, read_provenance(run.sae), result, features, pair=pair, labels=labels, training=course)
    write_run_page(run.index, page)
    return result, features


def _read(folder: RunFolder, until: str) -> RunOutcome:
    if until == "sae":
        return RunOutcome(folder, "done", load(folder.sae), None, None)
    return RunOutcome(folder, "done", load(folder.sae), EvalResult.load(folder.path), FeatureStore.open(folder.features))
