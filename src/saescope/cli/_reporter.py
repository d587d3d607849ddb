"""Stages of a job on stderr: a bar on a terminal, with a table of the SAEs where several train; plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from saescope.cli._common import console

if TYPE_CHECKING:
    from rich.console import RenderableType

Tick = Callable[..., None]
Rows = Mapping[str, Mapping[str, Any]]


class Terminal:
    """Reporter of the pipeline that writes to stderr, so that stdout stays the result."""

    def stage(self, title: str, total: int | None, done: int = 0) -> AbstractContextManager[Tick]:
        return progress(title, total=total, done=done)

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(title: str, *, total: int | None, done: int = 0, unit: str = "tokens", every_s: float = 10) -> Iterator[Tick]:
    """Progress on stderr: a bar on a terminal, a plain line about every ten seconds elsewhere.

        with progress("training", total=6_000_000) as tick:
            tick(done_tokens, loss=0.12)

    The rate counts from `done`, which is where a continued job begins. Facts appear as given; floats with four digits.
    `rows={name: facts}` are a table below the bar, or ranges in the line and the table at the end.
    """
    meter = Meter(title, total=total, done=done, unit=unit)
    with _bar(meter) if sys.stderr.isatty() else _lines(meter, every_s) as tick:
        yield tick


class Meter:
    """How far a job has come, how fast it goes and how long it will take, as text."""

    def __init__(self, title: str, *, total: int | None, done: int = 0, unit: str = "tokens", clock: Callable[[], float] = time.monotonic):
        self.title, self.total, self.unit, self.clock = title, total, unit, clock
        self.first = self.done = done
        self.start = clock()
        self.facts: dict[str, Any] = {}
        self.rows: Rows = {}

    def update(self, done: int, *, rows: Rows | None = None, **facts: Any) -> None:
        self.done, self.facts, self.rows = done, facts, rows or {}

    @property
    def rate(self) -> float:
        """Units per second since the start; 0 before anything is done."""
        elapsed = self.clock() - self.start
        return (self.done - self.first) / elapsed if elapsed > 0 else 0.0

    def speed(self) -> str:
        """Text like "27,812 tokens/s  2:51 left"; the time left only where the total is known."""
        if not self.rate:
            return ""
        left = f"  {_duration((self.total - self.done) / self.rate)} left" if self.total is not None and self.done < self.total else ""
        return f"{self.rate:,.0f} {self.unit}/s{left}"

    def notes(self) -> str:
        return "  ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in self.facts.items())

    def line(self) -> str:
        share = f" / {self.total:,} {self.unit}  {100 * self.done / self.total:.1f} %" if self.total else f" {self.unit}"
        return "  ".join(part for part in (self.title, f"{self.done:,}{share}", self.speed(), self.notes(), self.ranges()) if part)

    def ranges(self) -> str:
        """The rows in one line: how many, and from where to where."""
        from saescope.render.training_table import training_ranges

        return training_ranges(self.rows) if self.rows else ""


@contextlib.contextmanager
def _lines(meter: Meter, every_s: float) -> Iterator[Tick]:
    last, shown = meter.clock(), None

    def tick(done: int, **facts: Any) -> None:
        nonlocal last, shown
        meter.update(done, **facts)
        if meter.clock() - last >= every_s:
            last, shown = meter.clock(), meter.done
            print(meter.line(), file=sys.stderr, flush=True)

    yield tick
    if shown != meter.done:
        print(meter.line(), file=sys.stderr, flush=True)
    if meter.rows:
        from saescope.render.training_table import training_table

        console(stderr=True).print(training_table(meter.rows))


@contextlib.contextmanager
def _bar(meter: Meter) -> Iterator[Tick]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    from saescope.render.training_table import training_table

    class Bar(Progress):
        def get_renderables(self) -> "Iterable[RenderableType]":
            yield from super().get_renderables()
            if meter.rows:
                yield training_table(meter.rows)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[notes]}"),
    )
    with Bar(*columns, console=console(stderr=True), refresh_per_second=4) as bar:
        task = bar.add_task(meter.title, total=meter.total, completed=meter.done, speed="", notes="")

        def tick(done: int, **facts: Any) -> None:
            meter.update(done, **facts)
            bar.update(task, completed=done, speed=meter.speed(), notes=meter.notes())

        yield tick


def _duration(seconds: float) -> str:
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"
