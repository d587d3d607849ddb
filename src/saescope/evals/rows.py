"""What every row of a result table brings along: its reducers, and a check of its width."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from saescope import errors
from saescope.activations.encode import Dictionary, Reducer
from saescope.evals.per_point import Alike
from saescope.evals.reconstruction import Reconstruction
from saescope.evals.result import Metric
from saescope.evals.sparsity import Firing, Sparsity, density_histogram
from saescope.evals.sums import Intervals
from saescope.models.route import Route
from saescope.saes.base import SAE
from saescope.shapes import Tensor

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel


class RowReducers:
    """The reducers of one row. With `scales`, reconstruction is measured on scales * target: the hook points of a crosscoder alike."""

    def __init__(self, row: Dictionary, intervals: Intervals, scales: Tensor | None = None):
        W_dec = getattr(row, "W_dec", None)
        norms = torch.ones(row.d_sae) if W_dec is None else W_dec.norm(dim=1)
        norms = (row.decoder_norms() if isinstance(row, SAE) else norms).detach().float()
        self.reconstruction, self.sparsity, self.firing = Reconstruction(intervals), Sparsity(norms, intervals), Firing(row.d_sae)
        reconstruction = self.reconstruction if scales is None else Alike(self.reconstruction, scales)
        self.all: list[Reducer] = [reconstruction, self.sparsity, self.firing]

    def metrics(self) -> dict[str, Metric]:
        return self.reconstruction.result() | self.sparsity.result() | self.firing.result()

    def columns(self) -> dict[str, Tensor]:
        """One entry per latent: how often it fires, how strongly at most, and how many tokens in a document where it does."""
        firing, documents = self.firing, self.firing.documents_F.double()
        return {
            "feature": torch.arange(len(firing.tokens_F)),
            "n_active": firing.tokens_F,
            "density": firing.density_F,
            "max": firing.max_F,
            "consistency": torch.where(documents > 0, firing.tokens_F / documents, torch.nan),
        }

    def tables(self) -> dict[str, Tensor]:
        counts, edges = density_histogram(self.firing.density_F)
        return {
            "log10_density_counts": counts,
            "log10_density_edges": edges,
            "l0_counts": self.sparsity.l0_histogram,
            "fvu_per_dimension": self.reconstruction.fvu_per_dimension(),
        }


def check_rows(rows: Mapping[str, Dictionary], lm: "LanguageModel", at: "HookPoint | Route") -> None:
    """Raises: ConfigError without a row "sae"; WidthMismatch for a row that reads or writes another width than there is."""
    if "sae" not in rows:
        raise errors.ConfigError(f"evaluate got rows {list(rows)}, but one must be 'sae': the controls are matched to its L0.")
    route = Route.of(lm, at)
    for name, row in rows.items():
        check_widths(row, lm, route, what=f"row {name!r}")


def check_widths(dictionary: Dictionary, lm: "LanguageModel", route: Route, *, what: str) -> None:
    """Raises: WidthMismatch if a dictionary reads or writes another width than the hook points have, with those that would fit."""
    if dictionary.d_in != (width := route.d_in(lm)):
        fitting = [str(info.at) for info in lm.hook_points() if info.width == dictionary.d_in]
        raise errors.WidthMismatch(
            f"{what} reads d_in={dictionary.d_in}, but {','.join(map(str, route.reads))} of {lm.name} is {width} wide. "
            f"Hook points of width {dictionary.d_in}: {', '.join(fitting) or 'none'}. List all: saescope hooks {lm.name}"
        )
    d_out = getattr(dictionary, "d_out", dictionary.d_in)
    if d_out != (width := route.d_out(lm)):
        raise errors.WidthMismatch(
            f"{what} writes d_out={d_out}, but {','.join(map(str, route.writes))} of {lm.name} is {width} wide. "
            f"Give the hook point that it was trained to reconstruct (--target); list all: saescope hooks {lm.name}"
        )
