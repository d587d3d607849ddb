"""Contestants of a benchmark: processes that work when they are told to, one after the other, on one machine.

A worker reads a number of steps from its standard input, does them, and answers with a line of JSON: the seconds of each, and facts
such as its peak memory. So every library runs in its own environment, and all see the same weather. Imports no saescope.
"""

import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).parent
Item = TypeVar("Item")


@dataclass
class Contestant:
    """A process that works when it is told to."""

    name: str
    process: subprocess.Popen[str]
    seconds: list[float] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def run(self, steps: int, *, counted: bool = True) -> None:
        """Some steps; the first, for which caches are cold, is not counted."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        self.said = self.answer()
        self.seconds += self.said.pop("seconds")[1:] if counted else []

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} stopped with exit code {self.process.wait()}: see above")
        return json.loads(line)

    def stop(self) -> None:
        self.process.communicate("\n")


def start(name: str, python: str | Path, worker: str, arguments: Sequence[str], *, threads: int, **settings: str) -> Contestant:
    """A worker that has made ready; `settings` are environment variables."""
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""} | settings
    process = subprocess.Popen(
        [str(python), str(HERE / worker), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=env,
    )  # fmt: skip
    contestant = Contestant(name, process)
    contestant.answer()
    return contestant


def by_turns(everyone: Sequence[Contestant], rounds: int, steps: int) -> None:
    """Each in its turn, forth and back, so that a slow spell of the machine hits all; then the end."""
    for turn in range(rounds):
        for contestant in everyone if turn % 2 == 0 else reversed(everyone):
            contestant.run(steps + 1)
    for contestant in everyone:
        contestant.stop()


def paced(items: Sequence[Item], facts: dict[str, Any]) -> Iterator[Item]:
    """A worker's items in turn, as many as it is asked for; then it answers and waits. A step lasts from one to the next."""
    seconds: list[float] = []
    left, step = 0, 0
    while True:
        while left == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps({"seconds": seconds, "peak_mb": round(peak), **facts}), file=ANSWERS, flush=True)
            seconds, asked = [], sys.stdin.readline()
            if not asked.strip():
                os._exit(0)  # the trainer would go on for all of its steps
            left = int(asked)
        begun = time.perf_counter()
        yield items[step % len(items)]
        seconds.append(time.perf_counter() - begun)
        left, step = left - 1, step + 1


def quietly(work: Callable[[], None]) -> None:
    """Work whose own words do not mix with the answers."""
    with contextlib.redirect_stdout(sys.stderr):
        work()


def machine(threads: int) -> dict[str, Any]:
    """What it was measured on."""
    return {"processor": _processor(), "threads": threads, "load": round(os.getloadavg()[0], 2), "python": platform.python_version()}


def milliseconds(seconds: Iterable[float]) -> list[float]:
    """Least, median, most."""
    seconds = list(seconds)
    return [round(1000 * f(seconds), 1) for f in (min, statistics.median, max)]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


ANSWERS = sys.stdout
