"""How many latents speak, how often each, and which never do."""

import torch

from saescope.activations.encode import Chunk, Code
from saescope.evals.result import Metric
from saescope.evals.sums import DocumentSums, Intervals, mean, on_float64_device
from saescope.shapes import Float, Int, Tensor

QUARTER_DECADES = 0.25
"""Width of a bin of the log10 density histogram."""
DENSE, HALF_DENSE = 0.1, 0.01


class Sparsity:
    """Reducer: L0 (mean and percentiles over tokens) and L1, with the norm of the decoder row folded in."""

    def __init__(self, decoder_norms: Float[Tensor, " d_sae"], intervals: Intervals):
        self.norms_F, self.intervals = decoder_norms.cpu().double(), intervals
        self.counted, self.everywhere = DocumentSums(), DocumentSums()
        self.l0_histogram = torch.zeros(len(decoder_norms) + 1, dtype=torch.long)

    def add(self, chunk: Chunk) -> None:
        code = chunk.code
        token, latent, value, counted, doc_ids = on_float64_device(code.token, code.latent, code.value, chunk.counted, chunk.doc_ids)
        self.norms_F = self.norms_F.to(value.device)
        l0 = torch.bincount(token, minlength=code.n_tokens)
        l1 = torch.zeros(code.n_tokens, dtype=torch.float64, device=value.device)
        l1.index_add_(0, token, value.double().abs() * self.norms_F[latent])
        values = {"tokens": torch.ones_like(l1), "l0": l0, "l1": l1}
        self.everywhere.add(doc_ids, values)
        self.counted.add(doc_ids[counted], {name: value[counted] for name, value in values.items()})
        self.l0_histogram += torch.bincount(l0[counted], minlength=len(self.l0_histogram)).cpu()

    def merge(self, other: "Sparsity") -> None:
        self.counted.merge(other.counted)
        self.everywhere.merge(other.everywhere)
        self.l0_histogram += other.l0_histogram

    def result(self) -> dict[str, Metric]:
        metric, n, unit = self.intervals.metric, int(self.l0_histogram.sum()), "latents/token"
        percentiles = {
            f"sparsity.l0_p{p}": Metric(percentile(self.l0_histogram, p / 100), n=n, unit=unit, better="lower") for p in (10, 50, 90)
        }
        return {
            "sparsity.l0": metric(self.counted, mean, ("tokens", "l0"), unit=unit, better="lower"),
            **percentiles,
            "sparsity.l1": metric(self.counted, mean, ("tokens", "l1"), unit="sum of |f_i| ||D_i||", better="lower"),
            "sparsity.l0.with_bos": metric(self.everywhere, mean, ("tokens", "l0"), unit=unit, better="lower"),
        }


class Firing:
    """Reducer: per latent, on how many counted tokens and in how many documents it fires, and its largest value."""

    def __init__(self, d_sae: int):
        self.n_tokens = 0
        self.tokens_F = torch.zeros(d_sae, dtype=torch.long)
        self.documents_F = torch.zeros(d_sae, dtype=torch.long)
        self.max_F = torch.zeros(d_sae)
        self._open_doc, self._open_F = -1, torch.zeros(d_sae, dtype=torch.bool)

    def add(self, chunk: Chunk) -> None:
        code = chunk.counted_code
        self.n_tokens += int(chunk.counted.sum())
        self.tokens_F += torch.bincount(code.latent, minlength=code.d_sae).cpu()
        largest = torch.zeros(code.d_sae, device=code.value.device).scatter_reduce_(0, code.latent, code.value.abs().float(), "amax")
        self.max_F = torch.maximum(self.max_F, largest.cpu())
        self._count_documents(chunk.doc_ids[code.token].cpu(), code)

    def _count_documents(self, doc_ids: Int[Tensor, " nnz"], code: Code) -> None:
        """Documents in which a latent fires. The end of a chunk may cut a document, and only its last one: what fired there is
        kept, so that the next chunk does not count it again."""
        if len(doc_ids) == 0:
            return
        docs, row = doc_ids.unique_consecutive(return_inverse=True)
        fires = torch.zeros(len(docs), code.d_sae, dtype=torch.bool)
        fires[row, code.latent.cpu()] = True
        new = fires.clone()
        if int(docs[0]) == self._open_doc:
            new[0] &= ~self._open_F
            fires[0] |= self._open_F
        self.documents_F += new.sum(0)
        self._open_doc, self._open_F = int(docs[-1]), fires[-1].clone()

    def merge(self, other: "Firing") -> None:
        """Of parts that share no document."""
        self.n_tokens += other.n_tokens
        self.tokens_F += other.tokens_F
        self.documents_F += other.documents_F
        self.max_F = torch.maximum(self.max_F, other.max_F)

    @property
    def density_F(self) -> Float[Tensor, " d_sae"]:
        return self.tokens_F.double() / max(1, self.n_tokens)

    def result(self) -> dict[str, Metric]:
        if self.n_tokens == 0:
            return {}
        n, density = self.n_tokens, self.density_F
        alive = density[density > 0]
        dead, (below, how) = len(density) - len(alive), ultralow_bound(alive)
        bound = f"never active in {n:,} tokens; such a latent has density < {3 / n:.1g} (95 %)"
        return {
            "sparsity.n_latents": Metric(len(density), n=n, unit="latents"),
            "sparsity.dead": Metric(dead, n=n, unit="latents", better="lower", reason=bound),
            "sparsity.ultralow": Metric(int((alive < below).sum()), n=n, unit="latents", better="lower", reason=how),
            "sparsity.n_dense": Metric(int((density > DENSE).sum()), n=n, unit="latents", better="lower", reason="density > 10 %"),
            "sparsity.n_dense_1pct": Metric(int((density > HALF_DENSE).sum()), n=n, unit="latents", reason="density > 1 %"),
        }


def percentile(histogram: Int[Tensor, " m"], share: float) -> float | None:
    """The least value that `share` of the counted tokens do not exceed; None of an empty histogram."""
    total = int(histogram.sum())
    if total == 0:
        return None
    return float((histogram.cumsum(0) >= share * total).int().argmax())


def density_histogram(density: Float[Tensor, " n"]) -> tuple[Int[Tensor, " bins"], Float[Tensor, " edges"]]:
    """Counts of log10 density of the latents that fire, in quarter decades from 1e-8 to 1."""
    n_bins = round(8 / QUARTER_DECADES)
    bins = ((density[density > 0].log10() + 8) / QUARTER_DECADES).floor().clamp(0, n_bins - 1).long()
    return torch.bincount(bins, minlength=n_bins), torch.linspace(-8, 0, n_bins + 1)


def ultralow_bound(alive_density: Float[Tensor, " n"]) -> tuple[float, str]:
    """Density below which a latent is called ultralow, and how it was found.

    The valley between the two highest peaks of the smoothed log10 density histogram, where it is at most half as high as the
    lower peak and that peak stands for at least 1 % of the latents; else 1e-6.
    """
    counts, edges = density_histogram(alive_density)
    padded = torch.nn.functional.pad(counts.double(), (1, 1))
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    heights = torch.nn.functional.pad(smooth, (1, 1), value=-1)
    peaks = ((heights[1:-1] > heights[:-2]) & (heights[1:-1] >= heights[2:]) & (smooth >= 0.01 * counts.sum())).nonzero().flatten()
    if len(peaks) >= 2:
        low, high = sorted(peaks[smooth[peaks].argsort(descending=True)[:2]].tolist())
        valley = low + int(smooth[low : high + 1].argmin())
        if smooth[valley] <= 0.5 * min(smooth[low], smooth[high]):
            bound = float(10 ** edges[valley + 1])
            return bound, f"density below {bound:.2g}, the valley of its histogram"
    return 1e-6, "density below 1e-6 (its histogram has no valley)"
