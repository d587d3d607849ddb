"""Silent tokens on which a feature came closest to firing."""

import numpy as np
import torch

from saescope.activations.encode import Chunk, Dictionary
from saescope.features.best import Best
from saescope.features.examples import N_NEAR_MISSES, of_kind
from saescope.features.part import sampled_rows
from saescope.features.reducer import Monoid


class NearMisses(Monoid):
    """The 5 silent tokens of largest pre-activation, one per document, among a hash-chosen share of the rows.

    A reducer of the encode pass, because pre-activations are dense and not kept. A dictionary without `pre_acts` has none.
    """

    def __init__(self, dictionary: Dictionary, seed: int, share: float):
        self.pre_acts = getattr(dictionary, "pre_acts", None)
        self.seed, self.share = seed, share
        self.best = Best(dictionary.d_sae, N_NEAR_MISSES, one_per_document=True)

    def add(self, chunk: Chunk) -> None:
        if self.pre_acts is None:
            return
        rows = chunk.rows.cpu().numpy()
        chosen = np.flatnonzero(sampled_rows(rows, self.seed, self.share) & chunk.counted.cpu().numpy())
        if len(chosen) == 0:
            return
        device = chunk.x.device
        chosen_n = torch.from_numpy(chosen).to(device)
        pre_nF = self.pre_acts(chunk.x[chosen_n]).float()
        index_N = torch.full((len(rows),), -1, device=device)
        index_N[chosen_n] = torch.arange(len(chosen), device=device)
        index = index_N[chunk.code.token]
        pre_nF[index[index >= 0], chunk.code.latent[index >= 0]] = torch.nan  # never above a bar
        bar_F = torch.from_numpy(self.best.bar).to(device, pre_nF.dtype)
        n, feature = (pre_nF >= bar_F).nonzero(as_tuple=True)
        value, feature, token = pre_nF[n, feature].cpu().numpy(), feature.cpu().numpy(), chosen[n.cpu().numpy()]
        place = rows[token].astype(np.int64) << 32 | chunk.positions.cpu().numpy()[token]
        self.best.add(feature, value.astype(np.float64), chunk.doc_ids.cpu().numpy()[token], place, value)

    def merge(self, other: "NearMisses") -> None:
        self.best.merge(other.best)

    def result(self) -> dict[str, np.ndarray]:
        return of_kind("near_miss", self.best.result())
