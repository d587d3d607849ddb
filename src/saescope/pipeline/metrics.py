"""The records of a training run: metrics.jsonl, always; trackers, where asked for; and what a terminal shows of the last one.

One record per `log_steps` steps: {"step", "tokens", "skipped_steps", "saes": {name: {loss terms, fvu, l0, dead, lr, ...}}}.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from saescope.disk import write_text
from saescope.pipeline.trackers import Trackers
from saescope.render.training_table import training_notes


class Metrics:
    """Appends records to metrics.jsonl and hands them on to the trackers; a context that closes both.

        with Metrics(run.metrics, Trackers(cfg.log, run.path, to_dict(cfg), reporter.say)) as metrics, ...:
            train(sae, source, cfg.train, record=metrics, progress=lambda done: tick(done, **metrics.shown))

    The first record of a resumed run takes the place of those of its step and later.
    """

    def __init__(self, path: Path, trackers: Trackers | None = None):
        self.path, self.trackers = path, trackers
        self.shown: dict[str, Any] = {}
        """Facts for `Tick`: of one SAE by name, of several as `rows`."""
        self._file: TextIO | None = None

    def __enter__(self) -> "Metrics":
        if self.trackers:
            self.trackers.__enter__()
        return self

    def __call__(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            self._begin(record["step"])
        assert self._file is not None
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        self.shown = shown(record["saes"])
        if self.trackers:
            self.trackers(record)

    def __exit__(self, *error: Any) -> None:
        if self._file is not None:
            self._file.close()
        if self.trackers:
            self.trackers.__exit__(*error)

    def _begin(self, first_step: int) -> None:
        """Leave what is before the first record, whole at every moment."""
        had = [(line, json.loads(line)) for line in _lines(self.path)]
        kept = [(line, record) for line, record in had if record["step"] < first_step]
        if self.path.exists():
            write_text(self.path, "".join(line + "\n" for line, _ in kept), site="metrics")
        self._file = self.path.open("a", encoding="utf-8")
        if self.trackers:
            self.trackers.begin([record for _, record in kept], first_step, had[-1][1]["step"] if had else 0)


def read_records(path: Path | str) -> list[dict[str, Any]]:
    """The records of a finished or unfinished run, [] where there are none yet. A last line that a kill has cut is left out."""
    return [json.loads(line) for line in _lines(Path(path))]


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
    return [line for line in lines[:-1] if line]


def shown(saes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a terminal shows beside the bar: fvu, L0 and dead share of one SAE, and what is wrong with it; of several all facts, as
    the rows of a table."""
    if len(saes) > 1:
        return {"rows": dict(saes)}
    (facts,) = saes.values()
    wrong = training_notes(facts)
    return {"fvu": facts["fvu"], "L0": facts["l0"], "dead": f"{100 * facts['dead']:.1f} %"} | ({"but": ", ".join(wrong)} if wrong else {})
