"""Control rows: what a dictionary scores that learned nothing. A number of an SAE means something beside these only.

All are fitted on the selection documents, have latents >= 0 (a signed coordinate is two halves) and the SAE's L0.
Source: Korznikov et al. 2026 (arXiv 2602.14111): frozen random SAEs come close to trained ones on many published metrics.
"""

import math
from dataclasses import asdict

import torch
from torch import nn

from saescope.activations.encode import Chunk, Dictionary
from saescope.draws import draws
from saescope.errors import ConfigError, did_you_mean
from saescope.saes.base import SAE
from saescope.saes.crosscoder import Crosscoder
from saescope.saes.init import geometric_median
from saescope.saes.registry import build
from saescope.shapes import Float, Tensor
from saescope.stats import CoMoments

UNTRAINED = ("neurons", "neurons_topk", "pca", "untrained", "random_dictionary")
"""Rows that `evaluate` makes by itself."""
TRAINED = {
    "frozen_decoder": "missing: it needs training of its own, which this version does not do",
    "shuffled_model": "missing: it needs training of its own, which this version does not do",
}
"""Rows that need training, and what is printed while they are absent."""


class Moments:
    """Reducer over the selection documents: mean, covariance, sign and a sample of x, and the L0 of the SAE that reads it.

    Of a transcoder x is its target here: what is ablated.
    """

    def __init__(self, d_in: int, *, sample_rows: int = 4096):
        self.x = CoMoments(d_in, d_in)
        self.active_latents, self.minimum = 0, math.inf
        self.sample_rows, self.sample = sample_rows, torch.zeros(0, d_in)

    def add(self, chunk: Chunk) -> None:
        x = chunk.target[chunk.counted]
        if len(x) == 0:
            return
        self.x.add(x, x)
        self.minimum = min(self.minimum, float(x.min()))
        self.active_latents += len(chunk.counted_code.token)
        if (room := self.sample_rows - len(self.sample)) > 0:
            self.sample = torch.cat([self.sample.to(x.device), x[:room]])

    def merge(self, other: "Moments") -> None:
        self.x.merge(other.x)
        self.active_latents += other.active_latents
        self.minimum = min(self.minimum, other.minimum)
        self.sample = torch.cat([self.sample, other.sample.to(self.sample.device)])[: self.sample_rows]

    def result(self) -> "Moments":
        return self

    @property
    def n(self) -> int:
        return self.x.n

    @property
    def mean(self) -> Float[Tensor, " d_in"]:
        return self.x.mean_x.float().to(self.sample.device)

    @property
    def signed(self) -> bool:
        return self.minimum < 0

    @property
    def k(self) -> int:
        """round(L0): the latents per token that the controls may use."""
        return max(1, round(self.active_latents / self.n))

    def times(self, scales: Float[Tensor, " d_in"]) -> "Moments":
        """Those of scales * x."""
        scaled = Moments(len(scales), sample_rows=self.sample_rows)
        s = scales.detach().cpu().double()
        scaled.x.n, scaled.x.mean_x, scaled.x.c_xy = self.x.n, self.x.mean_x * s, self.x.c_xy * s[:, None] * s
        scaled.active_latents, scaled.minimum = self.active_latents, self.minimum
        scaled.sample = self.sample * scales.to(self.sample.device, self.sample.dtype)
        return scaled

    def principal_axes(self) -> Float[Tensor, "d_in d_in"]:
        """Eigenvectors of the covariance as columns, largest variance first."""
        return torch.linalg.eigh(self.x.c_xy / self.n).eigenvectors.flip(1).float().to(self.sample.device)


class Coordinates(nn.Module):
    """An orthonormal basis as a dictionary: two non-negative halves per coordinate where it is signed.

    y = (x - centre) @ axes,   latents = [relu(y), relu(-y)] (the k largest of them),   x_hat = y_kept @ axes^T + centre
    """

    centre: Float[Tensor, " d"]
    axes: Float[Tensor, "d d"] | None

    def __init__(self, centre: Float[Tensor, " d"], axes: Float[Tensor, "d d"] | None = None, *, k: int | None = None, signed: bool = True):
        super().__init__()
        self.d_in, self.d_sae = len(centre), len(centre) * (2 if signed else 1)
        self.k, self.signed = k and min(k, len(centre)), signed
        self.register_buffer("centre", centre)
        self.register_buffer("axes", axes)

    @property
    def exact(self) -> bool:
        """Whether x_hat is x, bit for bit."""
        return self.k is None and self.axes is None and not bool(self.centre.any())

    def encode(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d_sae"]:
        y = x - self.centre
        y = y if self.axes is None else y @ self.axes
        latents = torch.cat([y.relu(), (-y).relu()], -1) if self.signed else y.relu()
        return latents if self.k is None else k_largest(latents, self.k)

    def decode(self, latents: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d"]:
        y = latents[..., : self.d_in] - latents[..., self.d_in :] if self.signed else latents
        y = y if self.axes is None else y @ self.axes.T
        return y + self.centre


class KLargest(nn.Module):
    """A linear encoder and decoder that keep the k largest pre-activations of each token.

    latents = TopK(relu((x - b_dec) @ W_enc + b_enc), k),   x_hat = latents @ W_dec + b_dec
    """

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_in"]
    b_dec: Float[Tensor, " d_in"]

    def __init__(self, W_enc: Float[Tensor, "d_in d_sae"], b_enc: Tensor, W_dec: Float[Tensor, "d_sae d_in"], b_dec: Tensor, k: int):
        super().__init__()
        self.d_in, self.d_sae = W_enc.shape
        self.k = min(k, self.d_sae)
        for name, weight in {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec}.items():
            self.register_buffer(name, weight.detach().clone())

    def encode(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n d_sae"]:
        return k_largest(((x - self.b_dec) @ self.W_enc + self.b_enc).relu(), self.k)

    def decode(self, latents: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_in"]:
        return latents @ self.W_dec + self.b_dec

    @torch.no_grad()
    def scaled_to(self, x: Float[Tensor, "n d_in"]) -> "KLargest":
        """W_enc times the c that minimises the error on x: c = sum <x - b_dec, y> / sum ||y||^2, y = x_hat - b_dec."""
        y = self.decode(self.encode(x)) - self.b_dec
        c = float(((x - self.b_dec) * y).sum() / y.square().sum())
        if math.isfinite(c) and c > 0:
            self.W_enc.mul_(c)
        return self


class Rescaled(nn.Module):
    """A dictionary in units in which the coordinates of several hook points weigh alike: x_hat = dictionary(scales x) / scales."""

    scales: Float[Tensor, " d"]

    def __init__(self, dictionary: Dictionary, scales: Float[Tensor, " d"]):
        super().__init__()
        self.dictionary, self.d_in, self.d_sae = dictionary, dictionary.d_in, dictionary.d_sae
        self.register_buffer("scales", scales.detach().clone())

    def encode(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d_sae"]:
        return self.dictionary.encode(x * self.scales)

    def decode(self, latents: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d"]:
        return self.dictionary.decode(latents) / self.scales


def neurons(fit: Moments) -> Coordinates:
    """x itself: dense, exact."""
    return Coordinates(torch.zeros_like(fit.mean), signed=fit.signed)


def neurons_topk(fit: Moments, k: int) -> Coordinates:
    """The k coordinates farthest from their mean; the mean is added back."""
    return Coordinates(fit.mean, k=k)


def pca(fit: Moments, k: int) -> Coordinates:
    """The k largest principal components of each token; the mean is added back."""
    return Coordinates(fit.mean, fit.principal_axes(), k=k)


def untrained(sae: SAE, fit: Moments, k: int, *, seed: int = 0) -> KLargest:
    """The SAE as it was before its first step: same class and widths, b_dec at the geometric median, the k largest latents."""
    fresh = build(sae.architecture, sae.d_in, sae.d_sae, asdict(sae.cfg), seed=seed)
    fresh = fresh.to(fit.sample.device)
    return KLargest(fresh.W_enc, fresh.b_enc, fresh.W_dec, geometric_median(fit.sample), k).scaled_to(fit.sample)


def random_dictionary(fit: Moments, d_sae: int, k: int, *, seed: int = 0) -> KLargest:
    """d_sae random unit directions D, encoder D^T, no biases, the k largest latents."""
    sample = fit.sample
    d_in = sample.shape[1]
    rows = torch.from_numpy(draws(seed, "untrained", "random_dictionary").standard_normal((d_sae, d_in), dtype="float32"))
    rows = (rows / rows.norm(dim=1, keepdim=True)).to(sample.device)
    zeros = sample.new_zeros
    return KLargest(rows.T, zeros(d_sae), rows, zeros(d_in), k).scaled_to(sample)


def control(name: str, sae: Dictionary, fit: Moments, *, seed: int = 0) -> Dictionary:
    """A control row by its name. Raises: ConfigError for a name there is not."""
    if name == "neurons":
        return neurons(fit)
    if isinstance(sae, Crosscoder):
        return Rescaled(_fitted(name, sae, fit.times(sae.scales), seed=seed), sae.scales)
    return _fitted(name, sae, fit, seed=seed)


def _fitted(name: str, sae: Dictionary, fit: Moments, *, seed: int) -> Dictionary:
    if name == "neurons_topk":
        return neurons_topk(fit, fit.k)
    if name == "pca":
        return pca(fit, fit.k)
    if name == "untrained" and isinstance(sae, SAE):
        return untrained(sae, fit, fit.k, seed=seed)
    if name == "random_dictionary":
        return random_dictionary(fit, sae.d_sae, fit.k, seed=seed)
    raise ConfigError(f"{name!r} is not a control row. Rows: {', '.join(UNTRAINED)}.{did_you_mean(name, UNTRAINED)}")


def impossible(name: str, sae: Dictionary) -> str | None:
    """Why a control cannot be made for this dictionary, or None."""
    if name == "untrained" and not isinstance(sae, SAE):
        return f"{type(sae).__name__} is not an SAE class of saescope: its initialisation is unknown"
    if isinstance(sae, SAE) and sae.transcodes:
        if name in ("untrained", "random_dictionary"):
            return "random directions know nothing of a target elsewhere: as ablating it to its mean (recovered.mean = 0)"
        return "it rebuilds what it reads, and a transcoder's target is another hook point than it reads"
    return None


def k_largest(latents: Float[Tensor, "*n d_sae"], k: int) -> Float[Tensor, "*n d_sae"]:
    """Only the k largest entries of each row; the others 0."""
    if k >= latents.shape[-1]:
        return latents
    values, indices = latents.topk(k, dim=-1)
    return torch.zeros_like(latents).scatter_(-1, indices, values)
