"""SIGTERM and Ctrl-C while training: finish the step, write a checkpoint, end."""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType


class StopRequest:
    """Within its `with` block, SIGTERM and SIGINT only set `requested`; `obey` then ends the program as the signal asks.

    A second Ctrl-C interrupts at once. Outside the main thread, where handlers cannot be set, nothing changes.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    @property
    def requested(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number

    def obey(self, checkpoint: Path | None) -> None:
        """Raises: KeyboardInterrupt after Ctrl-C, SystemExit(143) after SIGTERM, each saying how to go on."""
        where = f"A checkpoint was written to {checkpoint}: the same command continues from it." if checkpoint else "Nothing was saved."
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt(where)
        if self.signal == signal.SIGTERM:
            print(f"stopped by SIGTERM. {where}", file=sys.stderr, flush=True)
            raise SystemExit(143)
