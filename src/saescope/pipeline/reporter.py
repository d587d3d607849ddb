"""Who is told how far a job has come. The command line shows bars; from Python nothing is printed unless a reporter is given."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

Tick = Callable[..., None]


class Reporter(Protocol):
    def stage(self, title: str, total: int | None) -> AbstractContextManager[Tick]:
        """Progress of one stage, in tokens: `with reporter.stage("training", 6_000_000) as tick: tick(done, fvu=0.12)`."""
        ...

    def say(self, sentence: str) -> None:
        """One line."""
        ...


class Silent:
    """Says nothing."""

    def stage(self, title: str, total: int | None) -> AbstractContextManager[Tick]:
        def tick(done: int, **facts: Any) -> None: ...

        return nullcontext(tick)

    def say(self, sentence: str) -> None: ...
