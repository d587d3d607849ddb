"""What a sweep says at its end: the evaluation of every SAE, the table of all, the figure and the page."""

from collections.abc import Mapping
from dataclasses import replace

from saescope.config import from_dict, to_dict
from saescope.disk import write_json, write_text
from saescope.evals.evaluate import EvalConfig
from saescope.evals.evaluate_each import evaluate_each
from saescope.evals.pareto import Point, Trained, points, to_json
from saescope.evals.pareto_report import COLUMNS, pareto_figure, pareto_rows
from saescope.evals.result import EvalResult
from saescope.files import read_manifest
from saescope.pipeline.config import FREE, RunConfig
from saescope.pipeline.main_job import describe
from saescope.pipeline.metrics import read_records
from saescope.pipeline.page import command_line
from saescope.pipeline.reporter import Parts, Reporter
from saescope.pipeline.stages import eval_config
from saescope.pipeline.subject import Subject
from saescope.pipeline.sweep_config import SweepConfig
from saescope.render.numbers import count
from saescope.render.sweep import SweepPage
from saescope.render.training_curves import training_curves
from saescope.render.view_models import Fact
from saescope.run_folder import FINISHED, RunFolder
from saescope.saes import storage
from saescope.web.export import write_sweep_page

MEASURED = ("sae/manifest.json", "result.json")
"""Of an SAE's own folder, once it is measured."""
FIGURE_NOTE = (
    "Markers are means over seeds, small dots the seeds; lines join one architecture in order of L0. "
    "Better is up on the left, down on the right."
)


def measure(folder: RunFolder, subjects: Mapping[str, Subject], runs: Mapping[str, RunConfig], reporter: Reporter) -> None:
    """A result.json in the folder of every SAE that has none, without control rows. Those at one hook point share the forwards."""
    places: dict[str, list[str]] = {}
    for name, subject in subjects.items():
        if not all((folder.saes / name / file).is_file() for file in MEASURED):
            places.setdefault(str(subject.at), []).append(name)
    for at, names in places.items():
        subject, run = subjects[names[0]], runs[names[0]]
        saes = {name: storage.load(folder.saes / name / "sae", device=subject.lm.device) for name in names}
        with Parts(reporter, f"evaluating {len(names)} SAEs at {at}" if len(places) > 1 else f"evaluating {len(names)} SAEs") as progress:
            results = evaluate_each(
                saes, subject.lm, subject.at, subject.corpus, without_controls(run), pack=subject.pack, progress=progress
            )  # fmt: skip
        for name, result in results.items():
            with folder.one_of_several(name, to_dict(runs[name]), finished=MEASURED, free=FREE) as inner:
                result.save(inner.path)


def describe_each(folder: RunFolder, subjects: Mapping[str, Subject], runs: Mapping[str, RunConfig], reporter: Reporter) -> None:
    """All that a run leaves, in the folder of every SAE: control rows, features, page."""
    for name, run in runs.items():
        with folder.one_of_several(name, to_dict(run), finished=FINISHED, free=FREE) as inner:
            if inner.state != "done":
                reporter.say(f"{name}:")
                describe(inner, storage.load(inner.sae, device=subjects[name].lm.device), subjects[name], run, reporter)


def without_controls(run: RunConfig) -> EvalConfig:
    """How a sweep measures an SAE: as its run does, without the control rows."""
    return replace(eval_config(run), controls=())


def read_points(folders: Mapping[str, RunFolder]) -> list[Point]:
    """The numbers of every SAE. Raises: NotAnArtifact where one has not been measured; ProvenanceMismatch."""
    return points(
        {name: EvalResult.load(folder.path, verify="size") for name, folder in folders.items()},
        {name: _trained(folder) for name, folder in folders.items()},
    )


def write_report(folder: RunFolder, folders: Mapping[str, RunFolder], cfg: SweepConfig | RunConfig) -> list[Point]:
    """pareto.json, pareto.svg and index.html of a sweep, from the results of its SAEs; returns their points."""
    found = read_points(folders)
    write_json(folder.path / "pareto.json", to_json(found))
    write_text(folder.path / "pareto.svg", pareto_figure(found, alone=True) + "\n")
    write_sweep_page(folder.index, replace(_page(folders, cfg, found), training=training_curves(read_records(folder.metrics))))
    return found


def _trained(folder: RunFolder) -> Trained:
    run, manifest = from_dict(RunConfig, folder.read_config() or {}), read_manifest(folder.sae, storage.SCHEMA, storage.VERSION)
    return Trained(
        architecture=run.sae.sae,
        options=dict(manifest.config["options"]),
        seed=run.train.seed if run.sae.init_seed is None else run.sae.init_seed,
        tokens=int(manifest.provenance["n_tokens"]),
    )


def _page(folders: Mapping[str, RunFolder], cfg: SweepConfig | RunConfig, found: list[Point]) -> SweepPage:
    first = folders[found[0].name]
    result, provenance = EvalResult.load(first.path, verify="size"), storage.read_provenance(first.sae)
    places = list(dict.fromkeys(point.at for point in found))
    seeds = sorted({point.seed for point in found})
    return SweepPage(
        title=f"{provenance['model']} {cfg.at}",
        facts=(
            Fact("Model", provenance["model"], f"revision {provenance['revision']}, {provenance['dtype']}"),
            Fact("Hook points" if len(places) > 1 else "Hook point", ", ".join(places)),
            Fact("SAEs", count(len(found)), ", ".join(dict.fromkeys(point.architecture for point in found))),
            Fact("Text", provenance["corpus"], f"{provenance['packing']}, {provenance['context_length']} tokens, BOS {provenance['bos']}"),
            Fact("Held out", provenance["holdout"], f"{result.provenance['n_documents']:,} documents in the report"),
            Fact("Trained", f"{provenance['n_tokens']:,} tokens", f"one stream for all, steps of {cfg.train.batch_tokens:,}"),
            Fact("Seeds", ", ".join(map(str, seeds)), f"of the initial weights; that of the stream is {cfg.train.seed}"),
        ),
        columns=tuple(COLUMNS.values()),
        rows=pareto_rows(found, {name: f"saes/{name}/index.html" for name, folder in folders.items() if folder.index.is_file()}),
        note=_note(result),
        figure=pareto_figure(found),
        figure_note=FIGURE_NOTE,
        command=command_line(cfg),
        provenance=tuple(Fact(name, str(result.provenance[name])) for name in ("weights_sha256", "corpus_sha256", "version")),
    )


def _note(result: EvalResult) -> str:
    predictions, read, silent = (result.metric("sae", key).n or 0 for key in ("fidelity.delta_ce", "sparsity.l0", "sparsity.dead"))
    return (
        f"Held-out text: {count(predictions)} predictions, {count(read)} activations (silent: in {count(silent)} tokens); "
        "special tokens and position 0 are not counted."
    )
