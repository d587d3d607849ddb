"""`sweep`: many SAEs on one pass through the model, each of them as if it had been trained alone."""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from saescope.activations.shuffle import PoolPlan
from saescope.activations.stream import StreamSource
from saescope.config import to_dict
from saescope.disk import write_json, write_text
from saescope.evals.pareto import Point
from saescope.models.route import expand
from saescope.pipeline.config import FREE, RunConfig
from saescope.pipeline.metrics import Metrics, read_records
from saescope.pipeline.objectives import objective_of
from saescope.pipeline.outputs import refuse_occupied, refuse_unwritable
from saescope.pipeline.reporter import Reporter, Silent
from saescope.pipeline.stages import activations, job_of, provenance_of, set_thresholds
from saescope.pipeline.subject import (
    Subject,
    autocast_of,
    check_target,
    check_text,
    forward_tokens,
    open_corpus,
    open_model,
    packing_of,
    resolved,
    route_of,
)
from saescope.pipeline.sweep_config import SweepConfig, one_run, runs_at
from saescope.pipeline.sweep_report import describe_each, measure, read_points, write_report
from saescope.pipeline.trackers import Trackers, require_trackers
from saescope.run_folder import SEVERAL, RunFolder, State
from saescope.saes.storage import save
from saescope.training.checkpoint import newest_step
from saescope.training.loop import Job, train

TRAINED = ("sae/manifest.json",)
"""Of each SAE's own folder."""
FINISHED = (SEVERAL, "pareto.json", "index.html")
"""Of the sweep's."""
SCHEMA = "saescope.saes/1"


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep left, and whether it was there already."""

    folder: RunFolder
    state: State
    """As the folder was found: "new", "continue" or "done"."""
    runs: dict[str, RunFolder]
    """The folder of each SAE by its name: a run directory like any other."""
    points: list[Point]
    """Their numbers; none after `until="sae"`."""


def sweep(
    cfg: SweepConfig | RunConfig,
    out: Path | str,
    *,
    replace: bool = False,
    resume: bool = False,
    until: Literal["sae", "page"] = "page",
    reporter: Reporter | None = None,
) -> SweepOutcome:
    """Train every SAE of a grid on one stream of activations, measure them, and say which is best at which L0.

    One forward pass of the model, one pool of rows and one order of tokens serve all; each has its own optimizer and counters,
    and ends as it would have ended alone: `saes/NAME` is the folder of the run that it equals. A `RunConfig` whose hook points
    are several is a sweep over them that goes on with everything a run leaves. Folders are continued, read and refused as by `run`.

    Raises: any SaescopeError; before anything is trained wherever that is possible.
    """
    reporter = reporter or Silent()
    finished = (SEVERAL,) if until == "sae" else FINISHED
    earlier = RunFolder(out)
    cfg = cfg.with_subject()
    earlier.refuse_foreign()
    if earlier.is_finished(finished) and not replace and earlier.read_config() == to_dict(cfg):  # without loading the model
        return _read(RunFolder(out, "done"), until)
    refuse_unwritable(out)
    shared = one_run(cfg)
    require_trackers(shared.log)
    if shared.cache_folder is not None:
        refuse_occupied(shared.cache_folder, "saescope.cache", flag="--cache")
    subjects, runs = _open(cfg)
    check_text(next(iter(subjects.values())), report=until == "page")
    with RunFolder.open_or_create(out, to_dict(cfg), replace=replace, resume=resume, finished=finished, free=FREE) as folder:
        if folder.state == "done":
            return _read(folder, until)
        if not folder.names_of_several():
            _train(folder, subjects, runs, reporter)
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
        if shared.cache_folder is None:
            shutil.rmtree(folder.cache, ignore_errors=True)
        if until == "sae":
            return SweepOutcome(folder, folder.state, _folders(folder), [])
        (describe_each if isinstance(cfg, RunConfig) or cfg.features else measure)(folder, subjects, runs, reporter)
        return SweepOutcome(folder, folder.state, _folders(folder), write_report(folder, _folders(folder), cfg))


def _open(cfg: SweepConfig | RunConfig) -> tuple[dict[str, Subject], dict[str, RunConfig]]:
    """What each SAE looks at, and the run that it equals, with everything chosen that was left open."""
    shared = one_run(cfg)
    for run in [cfg] if isinstance(cfg, RunConfig) else cfg.runs([cfg.at]).values():
        check_target(run)
    lm = open_model(shared.model)
    points = [str(point) for point in expand(lm, cfg.at)]
    runs = runs_at(cfg, points) if isinstance(cfg, RunConfig) else cfg.runs(points)
    corpus = open_corpus(shared.text)
    pack = packing_of(shared.text, lm, corpus, forward_tokens(shared.train))
    subjects = {name: Subject(lm, route_of(run, lm), corpus, pack, autocast_of(shared.model)) for name, run in runs.items()}
    return subjects, {name: resolved(run, subjects[name]) for name, run in runs.items()}


def _train(folder: RunFolder, subjects: Mapping[str, Subject], runs: Mapping[str, RunConfig], reporter: Reporter) -> None:
    """All SAEs, each in its own folder; the index that names them is written last."""
    stream, cfg = _stream(subjects.values()), next(iter(runs.values()))
    jobs = {name: job_of(run, subjects[name]) for name, run in runs.items()}
    objective = objective_of(cfg.objective, jobs.values(), stream, cfg.train.batch_tokens)
    reporter.say(memory(jobs, stream, cfg))
    with Metrics(folder.metrics, Trackers(cfg.log, folder.path, folder.read_config() or {}, reporter.say)) as metrics:
        source = activations(folder, stream, cfg, reporter)
        done = newest_step(folder.checkpoints) * cfg.train.batch_tokens
        with reporter.stage(f"training {len(jobs)} SAEs", cfg.train.tokens, done) as tick:
            report = train(
                jobs, source, cfg.train, objective=objective, record=metrics,
                checkpoints=folder.checkpoints, progress=lambda done: tick(done, **metrics.shown),
            )  # fmt: skip
    set_thresholds(jobs.values(), stream)
    records = read_records(folder.metrics)
    for name, run in runs.items():
        with folder.one_of_several(name, to_dict(run), finished=TRAINED, free=FREE) as inner:
            if inner.state == "done":  # saved before a kill
                continue
            alone = [{**record, "saes": {"sae": record["saes"][name]}} for record in records]
            write_text(inner.metrics, "".join(json.dumps(record) + "\n" for record in alone))
            save(jobs[name].sae, inner.sae, provenance_of(_stream([subjects[name]]), run, report, name))
    said = {name: {"sae": run.sae.sae, "d_sae": run.sae.d_sae, "at": run.at} for name, run in runs.items()}
    write_json(folder.path / SEVERAL, {"schema": SCHEMA, "saes": said}, site="saes.swap")


def memory(jobs: Mapping[str, Job], stream: StreamSource, cfg: RunConfig) -> str:
    """What training takes beside the model, in words: weights, gradients and two moments of every SAE, the pool, a step's latents."""
    parameters = sum(p.numel() for job in jobs.values() for p in job.sae.parameters())
    d_row = max(columns.stop for columns in stream.slices.values())
    plan = PoolPlan.fitting(n_tokens=cfg.train.tokens, batch_tokens=cfg.train.batch_tokens, d_row=d_row, seed=cfg.train.seed)
    widest = max(job.sae.d_sae for job in jobs.values())
    parts = {
        f"{len(jobs)} SAEs of {parameters:,} parameters": 16 * parameters,
        f"a pool of {plan.rows:,} rows": 2 * plan.rows * d_row,
        "the latents of a step": 3 * 4 * cfg.train.batch_tokens * widest,
    }
    total = sum(parts.values())
    return f"memory beside the model: {total / 1e9:.2g} GB ({', '.join(f'{what} {size / 1e9:.2g}' for what, size in parts.items())})"


def _stream(subjects: Iterable[Subject]) -> StreamSource:
    """Every hook point that is read or reconstructed, in the order of the forward pass."""
    first, *others = subjects
    if not others:
        return first.stream()
    points = {point for subject in (first, *others) for point in subject.at.points}
    return first.stream(sorted(points))


def _folders(folder: RunFolder) -> dict[str, RunFolder]:
    return {name: RunFolder(folder.saes / name) for name in folder.names_of_several()}


def _read(folder: RunFolder, until: str) -> SweepOutcome:
    return SweepOutcome(folder, "done", _folders(folder), [] if until == "sae" else read_points(_folders(folder)))
