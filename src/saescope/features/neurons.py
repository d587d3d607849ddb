"""Neurons beside features: which coordinates of the hook point a feature writes to, and how they fire together."""

import numpy as np
import torch

from saescope.activations.encode import Chunk
from saescope.features.exact import ExactSums
from saescope.features.part import sampled_rows
from saescope.features.reducer import Monoid
from saescope.shapes import Float, Tensor

N_NEURONS = 3


class NeuronCorrelation(Monoid):
    """Pearson correlation of each feature with its three neurons, over the counted tokens of a hash-chosen share of the rows.

        corr = (n sum(f x) - sum f sum x) / sqrt((n sum f^2 - (sum f)^2) (n sum x^2 - (sum x)^2))

    The neurons of feature i are those of largest abs(W_dec[i, n]). A reducer of the encode pass, because x is not kept.
    """

    def __init__(self, W_dec: Float[Tensor, "d_sae d_in"], seed: int, share: float):
        F, D = W_dec.shape
        weight = W_dec.abs().topk(min(N_NEURONS, D), dim=1)
        self.seed, self.share = seed, share
        self.ids = weight.indices.cpu().numpy()
        self.weights = W_dec.gather(1, weight.indices).float().cpu().numpy()
        self.n = np.zeros(1, np.int64)
        self.f, self.f2 = ExactSums(F), ExactSums(F)
        self.x, self.x2 = ExactSums(D), ExactSums(D)
        self.fx = ExactSums(F * self.ids.shape[1])

    def add(self, chunk: Chunk) -> None:
        counted = chunk.counted.cpu().numpy()
        chosen = sampled_rows(chunk.rows.cpu().numpy(), self.seed, self.share) & counted
        if not chosen.any():
            return
        x = chunk.x[torch.from_numpy(chosen).to(chunk.x.device)].cpu().double().numpy()
        self.n += len(x)
        self.x.add_columns(x)
        self.x2.add_columns(x * x)
        code = chunk.code.where(torch.from_numpy(chosen).to(chunk.x.device)).by_latent()
        latent, f = code.latent.cpu().numpy(), code.value.cpu().double().numpy()
        token = (np.cumsum(chosen) - 1)[code.token.cpu().numpy()]
        first = np.flatnonzero(np.diff(latent, prepend=-1))
        present, start = latent[first], np.append(first, len(latent))
        self.f.add(present, start, f)
        self.f2.add(present, start, f * f)
        for j in range(self.ids.shape[1]):
            self.fx.add(present + j * len(self.ids), start, f * x[token, self.ids[latent, j]])

    def merge(self, other: "NeuronCorrelation") -> None:
        self.n = self.n + other.n
        for name in ("f", "f2", "x", "x2", "fx"):
            getattr(self, name).merge(getattr(other, name))

    def result(self) -> dict[str, np.ndarray]:
        """Columns neuron_id, neuron_weight, neuron_corr, each [F, 3]; a correlation that does not exist is NaN."""
        n, ids = self.n[0], self.ids
        f, f2, x, x2 = (sums.result() for sums in (self.f, self.f2, self.x, self.x2))
        fx = self.fx.result().reshape(ids.shape[1], -1).T
        spread = (n * f2 - f**2)[:, None] * (n * x2 - x**2)[ids]
        corr = (n * fx - f[:, None] * x[ids]) / np.sqrt(np.where(spread > 0, spread, np.nan))
        return {"neuron_id": ids.astype(np.int32), "neuron_weight": self.weights, "neuron_corr": corr.astype(np.float32)}
