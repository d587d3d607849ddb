"""Who is told how far a job has come. The command line shows bars; from Python nothing is printed unless a reporter is given."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Protocol

Tick = Callable[..., None]


class Reporter(Protocol):
    def stage(self, title: str, total: int | None, done: int = 0) -> AbstractContextManager[Tick]:
        """Progress of one stage, in tokens: `with reporter.stage("training", 6_000_000) as tick: tick(done, fvu=0.12)`.

        `done` is where a continued stage begins: rates count from there. `tick(done, rows={name: facts})` has a table of several.
        """
        ...

    def say(self, sentence: str) -> None:
        """One line."""
        ...


class Silent:
    """Says nothing."""

    def stage(self, title: str, total: int | None, done: int = 0) -> AbstractContextManager[Tick]:
        def tick(done: int, **facts: Any) -> None: ...

        return nullcontext(tick)

    def say(self, sentence: str) -> None: ...


class Parts:
    """A job that reports (part, done, total), as one stage per part."""

    def __init__(self, reporter: Reporter, title: str):
        self.reporter, self.title = reporter, title
        self.part: str | None = None
        self._stage = ExitStack()
        self._tick: Tick = lambda done: None

    def __enter__(self) -> "Parts":
        return self

    def __call__(self, part: str, done: int, total: int) -> None:
        if part != self.part:
            self._stage.close()
            self.part, self._tick = part, self._stage.enter_context(self.reporter.stage(f"{self.title}: {part}", total))
        self._tick(done)

    def __exit__(self, *error: object) -> None:
        self._stage.close()
