"""Trackers: TensorBoard, Weights & Biases and trackio follow a run while it trains. Off unless asked for.

metrics.jsonl is the record of a run; a tracker is shown the same numbers. It is an extra, imported when a run begins that asks
for it. What a resumed run repeats is not shown twice, and a tracker that joins late is shown what went before.

Keys are the services' business: they read them from their own login or environment. Nothing here reads, keeps or prints one.
"""

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from saescope._version import __version__
from saescope.disk import read_json, write_json
from saescope.errors import ConfigError, MissingExtra, did_you_mean
from saescope.pipeline.tracker_services import OPENERS, Tracker

STATE = "trackers.json"
_SECRET = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)

Record = Mapping[str, Any]


def tracker_names(log: str) -> tuple[str, ...]:
    """The trackers in a comma list, each once. Raises: ConfigError for one that does not exist."""
    names = tuple(dict.fromkeys(name for name in re.split(r"[,\s]+", log) if name))
    for name in names:
        if name not in OPENERS:
            raise ConfigError(
                f"--log {name} names no tracker.{did_you_mean(name, OPENERS)} They are: {', '.join(OPENERS)}. "
                "metrics.jsonl is always written."
            )
    return names


def require_trackers(log: str) -> None:
    """Raises: MissingExtra for a tracker that is not installed; ConfigError for one that does not exist."""
    for name in tracker_names(log):
        if not _installed(name):
            raise MissingExtra(f"--log {name} needs {name}, which is not installed: pip install 'saescope[{name}]'")


def _installed(name: str) -> bool:
    try:
        spec = find_spec(name)
    except ValueError:
        return False
    # A folder of that name in the working directory (wandb leaves one) is a package without a file.
    return spec is not None and spec.origin is not None


class Trackers:
    """The trackers of one run, as a context that closes them; called with each record.

    `folder` is the run's; `config` what it was asked to do, which the services are told without the paths of this machine. A
    tracker that cannot start is an error; one that fails later is dropped with a word to `say`, and training goes on.

    Raises: MissingExtra, ConfigError.
    """

    def __init__(self, log: str, folder: Path, config: Mapping[str, Any], say: Callable[[str], None]):
        require_trackers(log)
        self.names, self.folder, self.config, self.say = tracker_names(log), folder, config, say
        self._open: dict[str, Tracker] = {}
        self._last: dict[str, int] = {}
        self._id, self._had = _read_state(folder)

    def __enter__(self) -> "Trackers":
        if self.names:
            self._write(self._had)
        for name in self.names:
            try:
                self._open[name] = OPENERS[name](self.folder, self._id, outward(self.config))
            except Exception as error:  # whatever a service's own code raises: no login, no network, a full quota
                self._close(failed=True)
                raise ConfigError(f"--log {name}: {name} did not start ({_reason(error)}). Put that right, or leave it out.") from None
        return self

    def begin(self, earlier: Sequence[Record], first_step: int, had_step: int) -> None:
        """Before the first record, of `first_step`: `earlier` are those that stay, `had_step` the last of the processes before."""
        if not self.names and not self._had:
            return
        had = {name: had_step if last is None else last for name, last in self._had.items()}
        self._write(had | dict.fromkeys(self.names))
        for name, tracker in list(self._open.items()):
            last = had.get(name, 0)
            self._last[name] = min(last, first_step - 1) if tracker.rewinds else last
            with self._surviving(name):
                tracker.begin(self._last[name] + 1, resumed=name in had)
        for record in earlier:
            self(record)

    def __call__(self, record: Record) -> None:
        for name, tracker in list(self._open.items()):
            if record["step"] > self._last[name]:
                with self._surviving(name):
                    tracker.show(record["step"], numbers(record), {sae: numbers(facts) for sae, facts in record["saes"].items()})

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close(failed=kind is not None)

    def _close(self, *, failed: bool) -> None:
        for name, tracker in list(self._open.items()):
            with self._surviving(name):
                tracker.close(failed=failed)
        self._open.clear()

    def _write(self, had: Mapping[str, int | None]) -> None:
        write_json(self.folder / STATE, {"id": self._id, "had": dict(had)}, site="trackers")

    @contextlib.contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # see above; hours of training do not end because a service does
            self._open.pop(name, None)
            self.say(f"{name} no longer follows this run ({_reason(error)}). metrics.jsonl is complete.")


def numbers(facts: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among the facts of a record; those inside a list or a table get its name as prefix: fvu/0."""
    found: dict[str, float] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping) and name != "saes":
            found |= {f"{name}/{key}": number for key, number in numbers(value).items()}
        elif isinstance(value, list | tuple):
            found |= {f"{name}/{key}": number for key, number in numbers({str(i): item for i, item in enumerate(value)}).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and name != "step":
            found[name] = float(value)
    return found


def outward(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as a service may see it: paths on this machine are their names alone."""
    seen: dict[str, Any] = {"saescope": __version__}
    for name, value in config.items():
        if isinstance(value, Mapping):
            seen[name] = {key: item for key, item in outward(value).items() if key != "saescope"}
        elif isinstance(value, str) and value and (Path(value).expanduser().is_absolute() or Path(value).exists()):
            seen[name] = Path(value).name
        else:
            seen[name] = value
    return seen


def redacted(text: str) -> str:
    """The text without the values of environment variables that are named like secrets."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= 6:
            text = text.replace(value, "***")
    return text


def _reason(error: Exception) -> str:
    return redacted(f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": "))[:300]


def _read_state(folder: Path) -> tuple[str, dict[str, int | None]]:
    """The run's id with the services, and the last step that each has that followed it; None: all that its metrics.jsonl holds."""
    if not (folder / STATE).is_file():
        return uuid4().hex[:12], {}
    state = read_json(folder / STATE, missing="")
    return str(state["id"]), dict(state["had"])
