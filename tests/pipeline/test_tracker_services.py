"""What each service is called with; and the services themselves, where they are installed, without a network."""

import sys
import warnings
from contextlib import contextmanager
from types import ModuleType

import pytest

from saescope.pipeline.metrics import Metrics
from saescope.pipeline.tracker_services import TensorBoard, Trackio, WandB
from saescope.pipeline.trackers import Trackers

COMMON = {"tokens": 100.0}
SAES = {"a": {"fvu": 0.5}, "b/c": {"fvu": 0.25}}
FLAT = {"tokens": 100.0, "a/fvu": 0.5, "b/c/fvu": 0.25}


class Calls(list):
    """Notes every method call as (name, positional arguments, keyword arguments)."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.append((name, args, kwargs))

    def of(self, name):
        return [(args, kwargs) for called, args, kwargs in self if called == name]


@pytest.fixture
def put(monkeypatch):
    def put(name, **members):
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)

    return put


# --- our calls ---


def test_wandb_is_resumed_by_id_and_told_nothing_it_could_leak(put, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    started, run = Calls(), Calls()
    put("wandb", init=lambda **kwargs: (started.append(kwargs), run)[1], Settings=lambda **kwargs: kwargs)
    service = WandB(tmp_path / "demo", "0123", {"seed": 3})
    service.show(7, COMMON, SAES)
    service.close(failed=True)
    (asked,) = started
    assert {key: asked[key] for key in ("project", "name", "id", "resume", "config")} == {
        "project": "saescope", "name": "demo", "id": "0123", "resume": "allow", "config": {"seed": 3},
    }  # fmt: skip
    assert asked["reinit"] == "create_new"  # a run that the user has open stays as it is
    assert asked["settings"] == {"console": "off", "disable_git": True, "disable_code": True}
    assert "key" not in str(asked).lower()
    assert run.of("define_metric") == [(("tokens",), {}), (("*",), {"step_metric": "tokens"})]
    assert run.of("log") == [((FLAT,), {"step": 7})]
    assert run.of("finish") == [((), {"exit_code": 1})]


def test_trackio_is_resumed_by_name_and_keeps_off_stdout(put, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACKIO_PROJECT", "mine")
    started, run = Calls(), Calls()

    def init(**kwargs):
        print("* Trackio project initialized")
        started.append(kwargs)
        return run

    put("trackio", init=init, finish=lambda: print("* Run finished") or run.finish())
    service = Trackio(tmp_path / "demo", "0123", {"seed": 3})
    service.show(7, COMMON, SAES)
    service.close(failed=False)
    assert started == [{"project": "mine", "name": "demo-0123", "config": {"seed": 3}, "resume": "allow", "embed": False}]
    assert run == [("log", (FLAT,), {"step": 7}), ("finish", (), {})]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "* Trackio project initialized\n* Run finished\n"


def test_tensorboard_has_a_folder_per_sae_and_purges_what_is_repeated(put, tmp_path):
    made = {}

    def writer(folder, *, purge_step):
        made[folder] = Calls([("made", (purge_step,), {})])
        return made[folder]

    put("torch.utils.tensorboard", SummaryWriter=writer)
    for first_step, resumed, purge in ((1, False, None), (50, True, 50)):
        made.clear()
        service = TensorBoard(tmp_path, "0123", {})
        service.begin(first_step, resumed=resumed)
        service.show(60, COMMON, SAES)
        service.close(failed=False)
        assert list(made) == [str(tmp_path / "tensorboard" / name) for name in ("a", "b_c")]
        assert made[str(tmp_path / "tensorboard" / "b_c")] == [
            ("made", (purge,), {}),
            ("add_scalar", ("tokens", 100.0, 60), {}),
            ("add_scalar", ("fvu", 0.25, 60), {}),
            ("flush", (), {}),
            ("close", (), {}),
        ]


def test_tensorboard_writes_nowhere_else(put, tmp_path):
    made = []
    put("torch.utils.tensorboard", SummaryWriter=lambda folder, purge_step: made.append(folder) or Calls())
    service = TensorBoard(tmp_path, "0123", {})
    service.show(1, {}, {"../../x": {"fvu": 1.0}})
    assert made == [str(tmp_path / "tensorboard" / ".._.._x")]


# --- the services themselves ---


def two_processes(folder, log):
    """Steps 10 to 60, left there; then 40 to 90."""
    for steps in (range(10, 61, 10), range(40, 91, 10)):
        with Metrics(folder / "metrics.jsonl", Trackers(log, folder, {"seed": 3}, pytest.fail)) as metrics:
            for step in steps:
                facts = {"fvu": 1 / step, "l0": 16.0, "dead": 0.0}
                metrics({"step": step, "tokens": 100 * step, "skipped_steps": 0, "saes": {"a": facts, "b": facts}})


ONCE = list(range(10, 91, 10))


@contextmanager
def of_others():
    """Warnings of another library's own code are not ours to answer for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_event_files_hold_each_step_once(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'saescope[tensorboard]'")
    with of_others():
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        two_processes(tmp_path, "tensorboard")
        read = EventAccumulator(str(tmp_path / "tensorboard" / "a"))
        read.Reload()
    assert [event.step for event in read.Scalars("fvu")] == ONCE
    assert [event.value for event in read.Scalars("tokens")] == [100 * step for step in ONCE]


def test_trackio_holds_each_step_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "home"))
    monkeypatch.delenv("TRACKIO_PROJECT", raising=False)
    pytest.importorskip("trackio", reason="trackio is not installed: pip install 'saescope[trackio]'")
    with of_others():
        two_processes(tmp_path, "trackio")
        from trackio.sqlite_storage import SQLiteStorage

        (name,) = SQLiteStorage.get_runs("saescope")
        logs = SQLiteStorage.get_logs("saescope", name)
    assert [log["step"] for log in logs] == ONCE
    assert logs[0]["b/fvu"] == 0.1


def test_wandb_offline_keeps_one_id_and_no_key(tmp_path, monkeypatch):
    key = "planted0123456789" * 2 + "abcdef"
    for name, value in (("WANDB_MODE", "offline"), ("WANDB_API_KEY", key), ("WANDB_SILENT", "true")):
        monkeypatch.setenv(name, value)
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'saescope[wandb]'")
    with of_others():
        two_processes(tmp_path, "wandb")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    stored = [path for path in files if path.suffix == ".wandb"]
    assert len(stored) == 2
    assert len({path.name for path in stored}) == 1  # run-<id>.wandb, one per process: `wandb sync` joins them
    assert [path for path in files if key.encode() in path.read_bytes()] == []
