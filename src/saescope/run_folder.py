"""A run directory: the names inside it, who may work in it, and whether there is something to continue.

    runs/demo/
      config.json  run.lock  metrics.jsonl  index.html
      sae/  result.json  eval/  features/  user.sqlite  checkpoints/  cache/  reports/
      saes/{index.json, <name>/}  pareto.{json,svg}      of a run of several SAEs, each a run directory of its own

Only one process at a time works in a run: it holds `run.lock`.
"""

import json
import os
import re
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from saescope import errors
from saescope.config import config_difference
from saescope.disk import alive, make_folder, os_error, read_json, write_json
from saescope.files import MANIFEST

State = Literal["new", "continue", "done"]
SCHEMA = "saescope.run/1"
FINISHED = ("result.json", "features/manifest.json", "index.html")
SEVERAL = "saes/index.json"
"""Of a run of several SAEs: names them all, once all are trained."""
_COMMITS = ("index.html", "index.json", "result.json", MANIFEST)
_DATA = r"[a-z_]+(-\d+)?-[0-9a-f]{12}\.(safetensors|parquet)"
# Every file that a run writes, by its path; --replace deletes these and nothing else. user.sqlite and reports/ are the user's.
_OURS = re.compile(
    rf"""(saes/[^/]+/)?(
        metrics\.jsonl | trackers\.json | tensorboard/.+/events\.out\.tfevents\.[^/]+ | index\.html | result\.json | pareto\.(json|svg)
      | (sae|features|eval(/controls/[^/]+)?)/(manifest\.json|{_DATA})
      | features/concepts/(manifest\.json|result\.json|{_DATA})
      | eval/before-after/result\.json
      | features/(labels/[^/]+\.parquet | parts/.+\.(json|parquet|safetensors) | derived/(index\.duckdb|text\.sqlite))
      | checkpoints/step-\d+/(manifest\.json|rank-\d+-of-\d+(-[0-9a-f]{{12}})?\.safetensors)
      | cache/(manifest\.json | items/[^/]+\.(json|lease) | shards/[^/]+\.safetensors)
      | (.+/)?tmp-\d+-[^/]+
    ) | saes/(index\.json | [^/]+/config\.json)""",
    re.VERBOSE,
)


class RunFolder:
    """The paths of one run; a context manager that gives the lock back.

        with RunFolder.open_or_create(out, config) as run:
            if run.state == "done": ...

    `state` is "new", "continue" (unfinished, same config) or "done" (finished, same config: nothing is locked or written).
    """

    def __init__(self, path: Path | str, state: State = "continue"):
        self.path, self.state = Path(path), state
        self.config_file, self.lock_file = self.path / "config.json", self.path / "run.lock"
        self.metrics, self.index, self.result = self.path / "metrics.jsonl", self.path / "index.html", self.path / "result.json"
        self.sae, self.eval, self.features = self.path / "sae", self.path / "eval", self.path / "features"
        self.checkpoints, self.cache = self.path / "checkpoints", self.path / "cache"
        self.reports, self.saes, self.notes = self.path / "reports", self.path / "saes", self.path / "user.sqlite"
        self._lock: str | None = None

    @classmethod
    def open_or_create(
        cls,
        out: Path | str,
        config: Mapping[str, Any],
        *,
        replace: bool = False,
        resume: bool = False,
        finished: Sequence[str] = FINISHED,
        free: Collection[str] = (),
    ) -> "RunFolder":
        """The run in `out`, locked for this process and holding `config`; its `state` says how far it had come.

        `finished` are the files that stand in a run that is done; `free` the fields that may differ from those it was started with.

        Raises: OutputOccupied (not empty, and no run), ProvenanceMismatch (a run of another config; the message lists the fields),
            RunLocked, OutputNotWritable, NotAnArtifact (`resume` with nothing to resume), CorruptArtifact, ConfigError.
        """
        if replace and resume:
            raise errors.ConfigError("--replace starts anew and --resume continues: they exclude each other. Give one of them.")
        run = cls(out)
        had = run.read_config()
        if had is None and resume:
            raise errors.NotAnArtifact(
                f"{out} holds no run, so there is nothing to resume. Leave out --resume to start one, or correct --out."
            )
        if had is None:
            run.refuse_foreign()
        elif not replace:
            run._refuse_difference(had, config, free)
            if run.is_finished(finished):
                run.state = "done"
                return run
        run._acquire()
        try:
            run._sweep()
            if had is not None and replace:
                run._clear()
            run.state = "continue" if had is not None and not replace else "new"
            if run.state == "new":
                # Over the old one in a single swap: a folder with a run's files always has a config, also when killed in between.
                write_json(run.config_file, {"schema": SCHEMA, **config})
        except BaseException:
            run.close()
            raise
        return run

    def read_config(self) -> dict[str, Any] | None:
        """The config of the run in this folder, or None where there is no run. Raises: CorruptArtifact, NewerSchema."""
        if not self.config_file.is_file():
            return None
        data = read_json(self.config_file, missing=f"{self.path} holds no run.")
        schema = data.get("schema") if isinstance(data, dict) else None
        if not isinstance(schema, str) or not schema.startswith("saescope.run/"):
            return None  # some other program's config.json, a model's for example
        if schema != SCHEMA:
            raise errors.NewerSchema(f"{self.config_file} is a {schema}; this saescope reads {SCHEMA}. Install a newer saescope.")
        return {key: value for key, value in data.items() if key != "schema"}

    def one_of_several(self, name: str, config: Mapping[str, Any], *, finished: Sequence[str], free: Collection[str] = ()) -> "RunFolder":
        """The run of one SAE of several, in saes/<name>, as `open_or_create` gives it. Whoever asks holds this run's lock.

        What lies there without a config, notes or reports of a run that was replaced, is no reason to refuse it.
        Raises: ProvenanceMismatch, RunLocked, OutputNotWritable, DiskFull.
        """
        inner = RunFolder(self.saes / name)
        if inner.read_config() is None:
            make_folder(inner.path)
            write_json(inner.config_file, {"schema": SCHEMA, **config})
        return RunFolder.open_or_create(inner.path, config, finished=finished, free=free)

    def names_of_several(self) -> tuple[str, ...]:
        """The SAEs of a run of several, once all are trained; () of any other run. Raises: CorruptArtifact."""
        path = self.path / SEVERAL
        return tuple(read_json(path, missing="")["saes"]) if path.is_file() else ()

    def close(self) -> None:
        """Give the lock back, if this object holds it."""
        if self._lock is not None and _read(self.lock_file) == self._lock:
            self.lock_file.unlink(missing_ok=True)
        self._lock = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def is_finished(self, finished: Sequence[str] = FINISHED) -> bool:
        """Whether all files of a finished run stand."""
        return all((self.path / name).is_file() for name in finished)

    def refuse_foreign(self) -> None:
        """Raises: OutputOccupied if the folder holds something, but no run; OutputNotWritable."""
        if self.read_config() is not None:
            return
        if not self.path.is_dir():
            return
        try:
            found = sorted(name for name in os.listdir(self.path) if name != "run.lock" and not name.startswith("tmp-"))
        except OSError as error:
            raise os_error(error, self.path / "x") from error
        if found:
            some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise errors.OutputOccupied(
                f"{self.path} is not empty and holds no run of saescope, but {some}. Choose a new or empty folder with --out."
            )

    def _refuse_difference(self, had: Mapping[str, Any], config: Mapping[str, Any], free: Collection[str]) -> None:
        # Through JSON first: a tuple and the list it was written as are the same value.
        changed = config_difference(had, json.loads(json.dumps(config)))
        if difference := [line for line in changed if line.partition(":")[0].rpartition(".")[2] not in free]:
            raise errors.ProvenanceMismatch(
                f"{self.path} holds a run of another config ({'; '.join(difference)}). "
                "Give the same options to continue it, --replace to start anew there, or another folder with --out."
            )

    def _clear(self) -> None:
        """Delete the files of a run: what commits them first, so that nothing half deleted looks whole, and configs last, by which
        a run inside this one is known. Foreign files stay."""
        files = [Path(folder, name) for folder, _, names in os.walk(self.path) for name in names]
        ours = [file for file in files if _OURS.fullmatch(file.relative_to(self.path).as_posix())]
        for file in sorted(ours, key=lambda file: (file.name not in _COMMITS, file.name == "config.json")):
            file.unlink(missing_ok=True)
        for folder in sorted({parent for file in ours for parent in file.relative_to(self.path).parents}, key=lambda p: -len(p.parts)):
            if folder.parts and not any((self.path / folder).iterdir()):
                (self.path / folder).rmdir()

    def _sweep(self) -> None:
        """Delete what dead processes left half written. Only the owner of the lock writes here, so another live pid is none of ours."""
        for folder, _, names in os.walk(self.path):
            for name in names:
                if (match := re.match(r"tmp-(\d+)-", name)) and not alive(int(match[1])):
                    Path(folder, name).unlink(missing_ok=True)

    def _acquire(self) -> None:
        make_folder(self.path)
        mine = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid())})
        for _ in range(100):
            try:
                descriptor = os.open(self.lock_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                held = _settled(self.lock_file)
                if held is None:
                    continue
                if not _stale(held):
                    raise errors.RunLocked(self._locked_message(held)) from None
                self._remove_stale(held)
            except OSError as error:
                raise os_error(error, self.lock_file) from error
            else:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(mine)
                self._lock = mine
                return
        raise errors.RunLocked(
            f"{self.lock_file} comes and goes: other processes start in {self.path}. Wait for them, or choose another --out."
        )

    def _remove_stale(self, held: str) -> None:
        # Renamed before it is deleted: of two that find the same stale lock, the second must not delete the first one's new lock.
        aside = self.path / f"tmp-{os.getpid()}-run.lock"
        try:
            os.replace(self.lock_file, aside)
        except FileNotFoundError:
            return
        if _read(aside) == held or self.lock_file.exists():
            aside.unlink(missing_ok=True)
        else:
            os.replace(aside, self.lock_file)

    def _locked_message(self, held: str) -> str:
        owner = _parsed(held)
        who = f"process {owner['pid']} on {owner['host']}" if owner else "another process"
        return f"{who} works in {self.path}. Wait for it, stop it, or choose another --out. If it is gone, delete {self.lock_file}."


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _settled(lock: Path, wait_s: float = 1.0) -> str | None:
    """The text of a lock, None if it is gone. A lock is empty for an instant while it is made; one that stays empty has lost its maker."""
    end = time.monotonic() + wait_s
    while (held := _read(lock)) == "" and time.monotonic() < end:
        time.sleep(0.02)
    return held


def _parsed(held: str) -> dict[str, Any] | None:
    try:
        owner = json.loads(held)
    except ValueError:
        return None
    return owner if isinstance(owner, dict) and isinstance(owner.get("pid"), int) and "host" in owner else None


def _stale(held: str) -> bool:
    """True if the owner was on this host and is gone, or the lock stayed empty. A pid that another program has since does not count."""
    if held == "":
        return True
    owner = _parsed(held)
    if owner is None or owner["host"] != socket.gethostname():
        return False
    return not alive(owner["pid"]) or owner.get("started") != _started(owner["pid"])


def _started(pid: int) -> str | None:
    """When a process began, in ticks since the machine did; None where the system does not tell, "ended" if nobody has reaped it yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "ended" if fields[0] == "Z" else fields[19]
