import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from saescope import errors
from saescope.run_folder import FINISHED, RunFolder

CONFIG = {"d_sae": 64, "texts": ("a", "b"), "train": {"lr": 0.1}}


def finish(path: Path) -> None:
    for name in FINISHED:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("{}")


def content(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def open_and_close(out, config=CONFIG, **options) -> str:
    with RunFolder.open_or_create(out, config, **options) as run:
        return run.state


def lock_of(pid: int, host: str | None = None, started: str | None = "1") -> str:
    return json.dumps({"pid": pid, "host": host or socket.gethostname(), "started": started})


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_new_continue_done(tmp_path):
    out = tmp_path / "runs" / "démo 1"
    with RunFolder.open_or_create(out, CONFIG) as run:
        assert run.state == "new"
        assert run.lock_file.is_file()
        assert json.loads(run.config_file.read_text())["d_sae"] == 64
    assert not run.lock_file.exists()
    assert open_and_close(out) == "continue"
    finish(out)
    before = content(out)
    assert open_and_close(out) == "done"
    assert content(out) == before


def test_an_empty_folder_is_new(tmp_path):
    assert open_and_close(tmp_path) == "new"


def test_finished_is_what_the_caller_says(tmp_path):
    open_and_close(tmp_path)
    (tmp_path / "sae").mkdir()
    (tmp_path / "sae" / "manifest.json").write_text("{}")
    assert open_and_close(tmp_path) == "continue"
    assert open_and_close(tmp_path, finished=["sae/manifest.json"]) == "done"


def test_another_config_is_refused_with_the_fields(tmp_path):
    open_and_close(tmp_path)
    before = content(tmp_path)
    with pytest.raises(errors.ProvenanceMismatch, match=r"d_sae: 64 -> 32; train\.lr: 0\.1 -> 0\.2.*--replace"):
        RunFolder.open_or_create(tmp_path, {**CONFIG, "d_sae": 32, "train": {"lr": 0.2}})
    finish(tmp_path)
    with pytest.raises(errors.ProvenanceMismatch):
        RunFolder.open_or_create(tmp_path, {**CONFIG, "d_sae": 32}, resume=True)
    assert {name: content(tmp_path)[name] for name in before} == before


def test_resume_needs_something(tmp_path):
    for out in (tmp_path, tmp_path / "absent"):
        with pytest.raises(errors.NotAnArtifact, match=r"nothing to resume.*--resume"):
            RunFolder.open_or_create(out, CONFIG, resume=True)
    assert content(tmp_path) == {}
    assert not (tmp_path / "absent").exists()
    open_and_close(tmp_path)
    assert open_and_close(tmp_path, resume=True) == "continue"
    finish(tmp_path)
    assert open_and_close(tmp_path, resume=True) == "done"


def test_resume_and_replace_exclude_each_other(tmp_path):
    with pytest.raises(errors.ConfigError, match="exclude each other"):
        RunFolder.open_or_create(tmp_path, CONFIG, replace=True, resume=True)


@pytest.mark.parametrize(
    "foreign",
    [
        {"thesis.tex": "x"},
        {"config.json": '{"model_type": "gpt2"}'},
        {"config.json": '["a"]'},
        {"sae/manifest.json": "{}"},
        {"user.sqlite": ""},
    ],
    ids=["a file", "a model's config", "a list", "an artifact without a run", "notes"],
)
@pytest.mark.parametrize("replace", [False, True])
def test_a_folder_of_something_else_is_refused(tmp_path, foreign, replace):
    for name, text in foreign.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = content(tmp_path)
    with pytest.raises(errors.OutputOccupied, match=r"not empty.*--out"):
        RunFolder.open_or_create(tmp_path, CONFIG, replace=replace)
    assert content(tmp_path) == before


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "demo").write_text("x")
    for out in (tmp_path / "demo", tmp_path / "demo" / "below"):
        with pytest.raises(errors.OutputNotWritable, match="--out"):
            RunFolder.open_or_create(out, CONFIG)
    assert (tmp_path / "demo").read_text() == "x"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_folder_that_cannot_be_written():
    with pytest.raises((errors.OutputNotWritable, errors.OutputOccupied)):
        RunFolder.open_or_create("/proc/saescope/demo", CONFIG)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(errors.OutputNotWritable):
        RunFolder.open_or_create(tmp_path, CONFIG)


def test_permission_errors_are_typed(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(errors.OutputNotWritable, match=r"Permission denied.*--out"):
        RunFolder.open_or_create(tmp_path, CONFIG)


def test_broken_and_newer_configs(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(errors.CorruptArtifact):
        RunFolder.open_or_create(tmp_path, CONFIG)
    (tmp_path / "config.json").write_text('{"schema": "saescope.run/9"}')
    with pytest.raises(errors.NewerSchema, match=r"saescope\.run/9"):
        RunFolder.open_or_create(tmp_path, CONFIG, replace=True)


RUN_FILES = [
    *("metrics.jsonl", "index.html", "result.json", "sae/manifest.json", "sae/weights-0123456789ab.safetensors"),
    *("eval/latents-0123456789ab.parquet", "eval/controls/pca/manifest.json", "eval/controls/pca/weights-0123456789ab.safetensors"),
    *("features/manifest.json", "features/features-0-0123456789ab.parquet", "features/tokens_fired-0123456789ab.parquet"),
    *("features/parts/block-0/item-3.parquet", "features/derived/index.duckdb", "features/labels/a.parquet"),
    *("checkpoints/step-000003000/manifest.json", "checkpoints/step-000003000/rank-00-of-01-0123456789ab.safetensors"),
    *("cache/manifest.json", "cache/items/ab12.json", "cache/shards/ab12.safetensors"),
    *("saes/a/sae/manifest.json", "saes/a/index.html", "pareto.svg"),
]
USERS_FILES = [
    *("user.sqlite", "notes.txt", "sae/mine.txt", "features/weights.safetensors", "reports/steer-1/result.json", "saes/a/user.sqlite"),
    *("index.html.bak", "photos/index.html", "checkpoints/readme", "eval/controls/own.csv"),
]


def test_replace_deletes_the_run_and_nothing_else(tmp_path):
    open_and_close(tmp_path)
    for name in (*RUN_FILES, *USERS_FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    with RunFolder.open_or_create(tmp_path, {"d_sae": 1}, replace=True) as run:
        assert run.state == "new"
        assert sorted(content(tmp_path)) == sorted([*USERS_FILES, "config.json", "run.lock"])
        assert run.read_config() == {"d_sae": 1}
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "checkpoints" / "step-000003000").exists()
    assert {name: (tmp_path / name).read_text() for name in USERS_FILES} == {name: name for name in USERS_FILES}


def test_replace_does_not_follow_links(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "manifest.json").write_text("{}")
    open_and_close(tmp_path / "run")
    (tmp_path / "run" / "cache").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert open_and_close(tmp_path / "run", {"d_sae": 1}, replace=True) == "new"
    assert (tmp_path / "elsewhere" / "manifest.json").exists()


def test_replace_killed_halfway_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    open_and_close(tmp_path)
    for name in RUN_FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    unlink, count = Path.unlink, 0

    def stop_among_the_data(path, **options):
        nonlocal count
        count += 1
        if count == 12:
            raise KeyboardInterrupt
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", stop_among_the_data)
    with pytest.raises(KeyboardInterrupt):
        RunFolder.open_or_create(tmp_path, {"d_sae": 1}, replace=True)
    monkeypatch.undo()
    left = set(content(tmp_path))
    assert not {name for name in left if name.endswith(("manifest.json", "result.json", "index.html"))}
    assert "sae/weights-0123456789ab.safetensors" in left
    with pytest.raises(errors.ProvenanceMismatch):
        RunFolder.open_or_create(tmp_path, {"d_sae": 1})
    assert open_and_close(tmp_path, {"d_sae": 1}, replace=True) == "new"


def test_second_process_is_refused(tmp_path):
    with RunFolder.open_or_create(tmp_path, CONFIG):
        with pytest.raises(errors.RunLocked, match=rf"process {os.getpid()} on .*delete .*run\.lock"):
            RunFolder.open_or_create(tmp_path, CONFIG)
        with pytest.raises(errors.RunLocked):
            RunFolder.open_or_create(tmp_path, CONFIG, replace=True)
    assert open_and_close(tmp_path) == "continue"


def test_lock_of_a_dead_process_is_taken_over(tmp_path, dead_pid):
    open_and_close(tmp_path)
    (tmp_path / "run.lock").write_text(lock_of(dead_pid))
    assert open_and_close(tmp_path) == "continue"
    assert sorted(content(tmp_path)) == ["config.json"]


def test_lock_of_a_killed_process_is_taken_over(tmp_path):
    code = (
        "import os, sys\nfrom saescope.run_folder import RunFolder\n"
        "RunFolder.open_or_create(sys.argv[1], {'d': 1})\nos.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / "run.lock").exists()
    assert open_and_close(tmp_path, {"d": 1}) == "continue"


def test_a_pid_taken_by_another_program_is_no_owner(tmp_path):
    (tmp_path / "run.lock").write_text(lock_of(os.getpid(), started="0"))
    assert open_and_close(tmp_path) == "new"


def test_an_empty_lock_has_lost_its_maker(tmp_path):
    (tmp_path / "run.lock").write_text("")
    assert open_and_close(tmp_path) == "new"


@pytest.mark.parametrize("text", [lock_of(1, host="another-machine"), "garbage", '{"pid": "x"}'], ids=["another host", "garbage", "no pid"])
def test_a_lock_we_cannot_judge_holds(tmp_path, text):
    (tmp_path / "run.lock").write_text(text)
    with pytest.raises(errors.RunLocked):
        RunFolder.open_or_create(tmp_path, CONFIG)
    assert (tmp_path / "run.lock").read_text() == text


def test_one_of_many_racers_wins(tmp_path, dead_pid):
    open_and_close(tmp_path, {"d": 1})
    (tmp_path / "run.lock").write_text(lock_of(dead_pid))
    code = (
        "import sys, time\nfrom saescope import errors\nfrom saescope.run_folder import RunFolder\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n    run = RunFolder.open_or_create(sys.argv[1], {'d': 1})\nexcept errors.RunLocked:\n    print('locked', flush=True)\n"
        "else:\n    print('won', flush=True); sys.stdin.readline(); run.close()\n"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() for racer in racers]
    for racer in racers:
        racer.communicate("end\n", timeout=60)
    assert sorted(said) == ["locked", "locked", "locked", "won"]
    assert not (tmp_path / "run.lock").exists()


def test_close_leaves_a_lock_that_is_not_ours(tmp_path):
    run = RunFolder.open_or_create(tmp_path, CONFIG)
    run.lock_file.write_text(lock_of(1, host="another-machine"))
    run.close()
    assert run.lock_file.exists()


def test_the_lock_is_given_back_when_opening_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("saescope.run_folder.write_json", lambda *_: (_ for _ in ()).throw(errors.DiskFull("no space")))
    with pytest.raises(errors.DiskFull):
        RunFolder.open_or_create(tmp_path, CONFIG)
    assert content(tmp_path) == {}


def test_half_written_files_of_the_dead_are_swept(tmp_path, dead_pid):
    open_and_close(tmp_path)
    (tmp_path / "sae").mkdir()
    swept, kept = tmp_path / "sae" / f"tmp-{dead_pid}-weights.safetensors", tmp_path / f"tmp-{os.getpid()}-x"
    for path in (swept, kept):
        path.write_text("half")
    assert open_and_close(tmp_path) == "continue"
    assert not swept.exists()
    assert kept.exists()


def test_notes_survive_everything(tmp_path):
    open_and_close(tmp_path)
    with sqlite3.connect(tmp_path / "user.sqlite") as database:
        database.execute("create table notes (text)")
    database.close()
    before = (tmp_path / "user.sqlite").read_bytes()
    open_and_close(tmp_path, {"d": 2}, replace=True)
    assert (tmp_path / "user.sqlite").read_bytes() == before


# --- several SAEs ---


def one(run: RunFolder, name: str, config=CONFIG) -> RunFolder:
    return run.one_of_several(name, config, finished=["sae/manifest.json"])


def test_one_of_several_is_a_run_of_its_own(tmp_path):
    with RunFolder.open_or_create(tmp_path, {"grid": [1]}) as run, one(run, "a") as inner:
        assert (inner.path, inner.state) == (tmp_path / "saes" / "a", "continue")
        assert inner.lock_file.is_file()
        inner.sae.mkdir()
        (inner.sae / "manifest.json").write_text("{}")
    assert one(run, "a").state == "done"
    assert open_and_close(tmp_path / "saes" / "a", finished=["sae/manifest.json"]) == "done"
    with pytest.raises(errors.ProvenanceMismatch, match="d_sae: 64 -> 32"):
        one(run, "a", {**CONFIG, "d_sae": 32})


def test_what_a_visitor_left_there_is_no_obstacle(tmp_path):
    notes = tmp_path / "saes" / "a" / "reports" / "mine.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    with one(RunFolder(tmp_path), "a") as inner:
        assert inner.read_config() == json.loads(json.dumps(CONFIG))
    assert notes.read_text() == "mine"


def test_the_index_names_them(tmp_path):
    assert RunFolder(tmp_path).names_of_several() == ()
    (tmp_path / "saes").mkdir()
    (tmp_path / "saes" / "index.json").write_text(json.dumps({"schema": "x", "saes": {"b": {}, "a": {}}}))
    assert RunFolder(tmp_path).names_of_several() == ("b", "a")
    (tmp_path / "saes" / "index.json").write_text("{")
    with pytest.raises(errors.CorruptArtifact):
        RunFolder(tmp_path).names_of_several()


def test_replace_clears_them_and_their_configs_too(tmp_path):
    with RunFolder.open_or_create(tmp_path, CONFIG) as run, one(run, "a") as inner:
        (inner.path / "result.json").write_text("{}")
        (inner.path / "reports").mkdir()
        (inner.path / "reports" / "mine.txt").write_text("mine")
        (tmp_path / "saes" / "index.json").write_text("{}")
        (tmp_path / "pareto.svg").write_text("")
    open_and_close(tmp_path, {"d": 2}, replace=True)
    assert set(content(tmp_path)) == {"config.json", "saes/a/reports/mine.txt"}
