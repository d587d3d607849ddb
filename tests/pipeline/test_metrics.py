"""metrics.jsonl across interruptions, what the terminal is told, and the trackers beside it."""

import contextlib
import json

from saescope.pipeline.metrics import Metrics, read_records, shown


def record(step, *names, fvu=0.5):
    facts = {"mse": 10.0, "fvu": fvu, "l0": 16.0, "dead": 0.125, "lr": 1e-3}
    return {"step": step, "tokens": 100 * step, "skipped_steps": 0, "saes": {name: dict(facts) for name in names or ("sae",)}}


class Notes:
    """Trackers that note what happens to them."""

    def __init__(self):
        self.calls = []

    def __enter__(self):
        self.calls.append("enter")
        return self

    def begin(self, earlier, first_step, had_step):
        self.calls.append(("begin", [entry["step"] for entry in earlier], first_step, had_step))

    def __call__(self, record):
        self.calls.append(record["step"])

    def __exit__(self, kind, *_):
        self.calls.append(("exit", kind))


def steps(path):
    return [entry["step"] for entry in read_records(path)]


def test_records_are_lines_that_are_there_at_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Metrics(path) as metrics:
        metrics(record(1))
        assert read_records(path) == [record(1)]
        metrics(record(2))
    assert [json.loads(line) for line in path.read_text().splitlines()] == [record(1), record(2)]


def test_a_resumed_run_takes_the_place_of_what_it_repeats(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Metrics(path) as metrics:
        for step in (10, 20, 30, 40):
            metrics(record(step))
    with path.open("a") as file:
        file.write('{"step": 50, "tok')  # a kill in the middle of a line
    assert steps(path) == [10, 20, 30, 40]
    kept = path.read_text().splitlines()[:2]
    with Metrics(path) as metrics:
        metrics(record(30, fvu=0.25))
        metrics(record(40))
    assert steps(path) == [10, 20, 30, 40]
    assert path.read_text().splitlines()[:2] == kept
    assert read_records(path)[2]["saes"]["sae"]["fvu"] == 0.25
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_process_that_records_nothing_leaves_the_file_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Metrics(path):
        pass
    assert read_records(path) == []
    assert not path.exists()


def test_trackers_are_told_what_stays_and_what_was_there(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Metrics(path, first := Notes()) as metrics:
        for step in (10, 20, 30):
            metrics(record(step))
    assert first.calls == ["enter", ("begin", [], 10, 0), 10, 20, 30, ("exit", None)]
    with contextlib.suppress(KeyboardInterrupt), Metrics(path, second := Notes()) as metrics:
        metrics(record(20))
        raise KeyboardInterrupt
    assert second.calls == ["enter", ("begin", [10], 20, 30), 20, ("exit", KeyboardInterrupt)]


def test_one_sae_is_shown_by_name_and_several_as_rows():
    assert shown(record(1)["saes"]) == {"fvu": 0.5, "L0": 16.0, "dead": "12.5 %"}
    starved = {"sae": record(1)["saes"]["sae"] | {"window": 1e-6}}
    assert shown(starved)["but"] == "window 1.0e−6: thresholds hardly learn"
    saes = record(1, "a", "b")["saes"]
    assert shown(saes) == {"rows": saes}
