"""The services that can follow a run: TensorBoard, Weights & Biases, trackio. Each is imported when it is opened."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

PROJECT = "saescope"

Values = Mapping[str, float]


class Tracker(Protocol):
    """One service that follows a run."""

    rewinds: bool
    """Whether it can forget the steps from one on. What cannot is shown only steps beyond the last."""

    def begin(self, first_step: int, *, resumed: bool) -> None:
        """Steps from `first_step` on will come; of a run it has seen before, if `resumed`."""

    def show(self, step: int, common: Values, saes: Mapping[str, Values]) -> None:
        """The numbers of one record: those of the step, and those of each SAE by name."""

    def close(self, *, failed: bool) -> None:
        """The end of this process's part."""


class TensorBoard:
    """Event files in run/tensorboard/<SAE>/, one curve per SAE in each chart. Steps from the first new one on are purged."""

    rewinds = True

    def __init__(self, folder: Path, run_id: str, config: Mapping[str, Any]):
        self.folder = folder / "tensorboard"
        self.writer_class: Any = import_module("torch.utils.tensorboard").SummaryWriter
        self.writers: dict[str, Any] = {}
        self.purge_step: int | None = None

    def begin(self, first_step: int, *, resumed: bool) -> None:
        self.purge_step = first_step if resumed else None

    def show(self, step: int, common: Values, saes: Mapping[str, Values]) -> None:
        for name, values in saes.items():
            if name not in self.writers:
                place = str(self.folder / re.sub(r"[^\w.=-]", "_", name))
                self.writers[name] = self.writer_class(place, purge_step=self.purge_step)
            for tag, value in {**common, **values}.items():
                self.writers[name].add_scalar(tag, value, step)
            self.writers[name].flush()  # a killed run has here what metrics.jsonl has

    def close(self, *, failed: bool) -> None:
        for writer in self.writers.values():
            writer.close()


class WandB:
    """One run of Weights & Biases, found again by its id. $WANDB_MODE, $WANDB_PROJECT and the login are wandb's own."""

    rewinds = False

    def __init__(self, folder: Path, run_id: str, config: Mapping[str, Any]):
        wandb: Any = import_module("wandb")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=folder.absolute().name, id=run_id, resume="allow",
            dir=str(folder), config=dict(config), allow_val_change=True, reinit="create_new",
            settings=wandb.Settings(console="off", disable_git=True, disable_code=True),
        )  # fmt: skip
        self.run.define_metric("tokens")
        self.run.define_metric("*", step_metric="tokens")

    def begin(self, first_step: int, *, resumed: bool) -> None: ...

    def show(self, step: int, common: Values, saes: Mapping[str, Values]) -> None:
        self.run.log(_flat(common, saes), step=step)

    def close(self, *, failed: bool) -> None:
        self.run.finish(exit_code=int(failed))


class Trackio:
    """One run of trackio, found again by its name. $TRACKIO_DIR and $TRACKIO_SPACE_ID are trackio's own."""

    rewinds = False

    def __init__(self, folder: Path, run_id: str, config: Mapping[str, Any]):
        self.trackio: Any = import_module("trackio")
        with _quiet_stdout():
            self.run = self.trackio.init(
                project=os.environ.get("TRACKIO_PROJECT", PROJECT), name=f"{folder.absolute().name}-{run_id}", config=dict(config),
                resume="allow", embed=False,
            )  # fmt: skip

    def begin(self, first_step: int, *, resumed: bool) -> None: ...

    def show(self, step: int, common: Values, saes: Mapping[str, Values]) -> None:
        self.run.log(_flat(common, saes), step=step)

    def close(self, *, failed: bool) -> None:
        with _quiet_stdout():
            self.trackio.finish()  # not run.finish(): trackio would finish it once more at exit, and say so on stdout


def _flat(common: Values, saes: Mapping[str, Values]) -> dict[str, float]:
    return {**common, **{f"{name}/{key}": value for name, values in saes.items() for key, value in values.items()}}


def _quiet_stdout() -> contextlib.AbstractContextManager[Any]:
    """stdout is the result's: what a service prints goes to stderr."""
    return contextlib.redirect_stdout(sys.stderr)


OPENERS: dict[str, Callable[[Path, str, Mapping[str, Any]], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "trackio": Trackio,
}
"""By name: opens a tracker for a run's folder, its id with the services, and the config they are told."""
