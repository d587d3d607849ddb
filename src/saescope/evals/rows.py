"""What every row of a result table brings along: its reducers, and a check of its width."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from saescope import errors
from saescope.activations.encode import Dictionary, Reducer
from saescope.evals.reconstruction import Reconstruction
from saescope.evals.result import Metric
from saescope.evals.sparsity import Firing, Sparsity, density_histogram
from saescope.evals.sums import Intervals
from saescope.shapes import Tensor

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel


class RowReducers:
    """The reducers of one row."""

    def __init__(self, row: Dictionary, intervals: Intervals):
        W_dec = getattr(row, "W_dec", None)
        norms = torch.ones(row.d_sae) if W_dec is None else W_dec.detach().float().norm(dim=1)
        self.reconstruction, self.sparsity, self.firing = Reconstruction(intervals), Sparsity(norms, intervals), Firing(row.d_sae)
        self.all: list[Reducer] = [self.reconstruction, self.sparsity, self.firing]

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


def check_rows(rows: Mapping[str, Dictionary], lm: "LanguageModel", at: "HookPoint") -> None:
    if "sae" not in rows:
        raise errors.ConfigError(f"evaluate got rows {list(rows)}, but one must be 'sae': the controls are matched to its L0.")
    width = lm.width(at)
    for name, row in rows.items():
        if row.d_in != width:
            fitting = [str(info.at) for info in lm.hook_points() if info.width == row.d_in]
            raise errors.WidthMismatch(
                f"row {name!r} reads d_in={row.d_in}, but {at} of {lm.name} is {width} wide. "
                f"Hook points of width {row.d_in}: {', '.join(fitting) or 'none'}. List all: saescope hooks {lm.name}"
            )
