"""Stages of a job as progress bars on a terminal, as plain lines elsewhere."""

import sys
from contextlib import AbstractContextManager

from saescope.cli._common import Tick, progress


class Terminal:
    """Reporter of the pipeline that writes to stderr, so that stdout stays the result."""

    def stage(self, title: str, total: int | None, done: int = 0) -> AbstractContextManager[Tick]:
        return progress(title, total=total, done=done)

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)
