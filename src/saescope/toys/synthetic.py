"""Activations whose true directions are known: sparse, non-negative sums of them, drawn as a source of rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saescope.activations.source import Batch
from saescope.draws import draws
from saescope.errors import ConfigError, did_you_mean
from saescope.shapes import Float, Int, Tensor

BLOCK_TOKENS = 1024
"""Rows are drawn in blocks of so many: what a row is depends on its place in the stream, not on how the stream is cut."""
CHILDREN = 0.8
"""Largest share of a parent's tokens that its children take together: it must be seen alone, or its direction could not be told."""
LAWS = ("folded_normal", "uniform")


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """What the data are like; see `SyntheticTruth`."""

    n_directions: int = 64
    """G, the number of true directions."""
    d: int = 32
    """Width of the activations, of all hook points together."""
    l0: float = 2.0
    """Directions on per token, on average."""
    zipf: float = 0.5
    """P(direction g is on) falls as (g + 1)^-zipf; 0: all are equally frequent."""
    law: str = "folded_normal"
    """Of the magnitudes: folded_normal, |N(mean, spread^2)|; or uniform in mean -+ spread."""
    mean: tuple[float, float] = (1.0, 1.0)
    """Mean magnitude of the first direction and of the last; in between it changes linearly."""
    spread: float = 0.3
    """Of the magnitudes; 0: constant."""
    correlation: tuple[int, float] = (0, 0.0)
    """Rank and scale of the correlation between which directions are on; rank 0: independent."""
    tree: tuple[int, int, int] = (0, 4, 3)
    """Trees, children per direction, and levels below the root; 0 trees: no hierarchy."""
    noise: float = 0.0
    """Standard deviation of the noise per coordinate."""
    bias: float = 0.0
    """Norm of a constant vector that is added to every row."""

    def __post_init__(self):
        for name in ("n_directions", "d"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} was asked for. It must be at least 1.")
        if not 0 < self.l0 < self.n_directions:
            raise ConfigError(f"l0={self.l0} of {self.n_directions} directions were to be on per token. It must lie between the two.")
        for name in ("zipf", "spread", "noise", "bias"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ConfigError(f"{name}={getattr(self, name)} was asked for. It must be at least 0.")
        if self.law not in LAWS:
            raise ConfigError(f"{self.law!r} is no law of magnitudes. There are: {', '.join(LAWS)}.{did_you_mean(self.law, LAWS)}")
        lowest = min(self.mean) - (self.spread if self.law == "uniform" else 0)
        if not lowest >= 0:
            raise ConfigError(f"mean={self.mean}, spread={self.spread} give magnitudes of {lowest}. They must be at least 0.")
        if self.correlation[0] < 0 or not self.correlation[1] >= 0:
            raise ConfigError(f"correlation={self.correlation} was asked for. Rank and scale must be at least 0.")
        if min(self.tree) < 0 or sum(self.level_sizes()) > self.n_directions:
            needed = "not a number" if min(self.tree) < 0 else f"{sum(self.level_sizes()):,}"
            raise ConfigError(f"tree={self.tree} needs {needed} of {self.n_directions:,} directions. Lower trees, children or levels.")

    def level_sizes(self) -> list[int]:
        """Directions on each level of the trees, roots first; empty without trees."""
        trees, children, levels = self.tree
        return [trees * children**level for level in range(levels + 1)] if trees else []


PRESETS: Mapping[str, SyntheticConfig] = {
    "small_64": SyntheticConfig(),
    "flat_512": SyntheticConfig(n_directions=512, d=64, l0=5.0),
    "tree_2048": SyntheticConfig(n_directions=2048, d=256, l0=16.0, tree=(24, 4, 3)),
    "synth_16k": SyntheticConfig(n_directions=16_384, d=768, l0=34.0, tree=(128, 4, 3), correlation=(25, 0.1), mean=(5.0, 4.0), spread=0.5),
}
"""By name; `synth_16k` has the sizes of SynthSAEBench (arXiv 2602.14687)."""


class SyntheticTruth:
    """Source of activations that are sparse sums of known directions.

        x = sum_g z_g m_g u_g + b + noise,   ||u_g|| = 1,   P(z_g = 1) ~ (g + 1)^-zipf, sum_g P(z_g = 1) = l0

    m_g >= 0 are the magnitudes. With a correlation, z comes of a Gaussian copula with loadings N(0, scale^2) of the given rank.
    With trees (numbered level by level: all roots, all their children, ...; directions of no tree come last), a child is on
    only where its parent is and siblings exclude each other: a family's rates are lowered where they would need more than 0.8
    of the parent's tokens, before all rates are scaled to `l0`. Only roots and directions of no tree are correlated, so that
    P(z_g = 1) is exact.

    A row is a function of (`seed` of the directions, seed of the stream, place in the stream). With several `points` the
    coordinates are divided evenly among them: hook points that say the same in other directions, for crosscoders and
    transcoders.

    Raises: ConfigError for an unknown preset, an `l0` that no rates can give, or a `d` that `points` do not divide.
    Source: Sharkey et al. 2022, "Taking features out of superposition with sparse autoencoders"; trees after Bussmann et al. 2025.
    """

    directions: Float[Tensor, "g d"]
    rates: Float[Tensor, " g"]
    """P(direction is on)."""
    parents: Int[Tensor, " g"]
    """Number of each direction's parent; -1 for roots and directions of no tree."""
    bias: Float[Tensor, " d"]

    def __init__(self, config: SyntheticConfig | str = "small_64", *, seed: int = 0, points: Sequence[str] = ("x",)):
        self.cfg, self.seed = preset(config) if isinstance(config, str) else config, seed
        cfg = self.cfg
        if not points or cfg.d % len(points):
            raise ConfigError(f"d={cfg.d} cannot be divided among the hook points {tuple(points)}. Give a multiple of their number.")
        width = cfg.d // len(points)
        self.slices = {name: slice(i * width, (i + 1) * width) for i, name in enumerate(points)}
        self.provenance: Mapping[str, Any] = {
            **{"hook_points": list(points), "corpus": "synthetic"},
            **{"synthetic": {**asdict(cfg), "seed": seed}},
        }
        # Of a stream of their own: rows drawn as an SAE's first decoder rows are would be recovered before any training.
        rows = draws(seed, "synthetic", "directions").standard_normal((1 + cfg.n_directions, cfg.d), dtype=np.float32)
        unit = torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        self.bias, self.directions = cfg.bias * unit[0], unit[1:]
        parents = _parents(cfg)
        rates = _rates(cfg, parents)
        self._parents, self._rates = parents, rates
        self._means = np.linspace(*cfg.mean, cfg.n_directions, dtype=np.float32)
        self.parents, self.rates = torch.from_numpy(parents), torch.from_numpy(rates).float()
        self._roots = np.flatnonzero(parents < 0)
        self._thresholds = _normal_quantile(rates[self._roots])
        rank, scale = cfg.correlation
        loadings = scale * draws(seed, "synthetic", "loadings").standard_normal((len(self._roots), rank), dtype=np.float32)
        norms = np.linalg.norm(loadings, axis=1, keepdims=True)
        self._loadings = loadings * np.minimum(1, 0.95 / np.maximum(norms, 1e-9))  # some of each Gaussian stays its own

    def batches(self, n_tokens: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        for x, _ in self._rows(n_tokens, seed, start):
            yield Batch(x)

    def sample(self, n_tokens: int, *, seed: int, start: int = 0) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n g"]]:
        """Rows of the stream, and the true coefficients z m that made them."""
        xs, codes = zip(*self._rows(n_tokens, seed, start), strict=True)
        return torch.cat(xs), torch.cat(codes)

    def _rows(self, n_tokens: int, seed: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        end = start + n_tokens
        for block in range(start // BLOCK_TOKENS, -(-end // BLOCK_TOKENS)):
            x, codes = self._block(seed, block)
            inside = slice(max(0, start - block * BLOCK_TOKENS), end - block * BLOCK_TOKENS)
            yield x[inside], codes[inside]

    def _block(self, seed: int, block: int) -> tuple[Tensor, Tensor]:
        cfg, generator = self.cfg, draws(seed, "synthetic", self.seed, block)
        token, direction = self._on(generator).nonzero()
        if cfg.law == "uniform":
            deviation = 2 * generator.random(len(token), dtype=np.float32) - 1
        else:
            deviation = generator.standard_normal(len(token), dtype=np.float32)
        values = torch.from_numpy(np.abs(self._means[direction] + np.float32(cfg.spread) * deviation))
        codes = torch.zeros(BLOCK_TOKENS, cfg.n_directions)
        codes[torch.from_numpy(token), torch.from_numpy(direction)] = values
        offsets = torch.from_numpy(np.searchsorted(token, np.arange(BLOCK_TOKENS)))
        x = torch.nn.functional.embedding_bag(torch.from_numpy(direction), self.directions, offsets, mode="sum", per_sample_weights=values)
        x = x + self.bias
        if cfg.noise:
            x = x + cfg.noise * torch.from_numpy(generator.standard_normal(x.shape, dtype=np.float32))
        return x, codes

    def _on(self, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Which directions are on, [BLOCK_TOKENS, G]: first those without a parent, then the children, level by level."""
        cfg = self.cfg
        on = np.zeros((BLOCK_TOKENS, cfg.n_directions), dtype=bool)
        own = generator.standard_normal((BLOCK_TOKENS, len(self._roots)), dtype=np.float32)
        shared = generator.standard_normal((BLOCK_TOKENS, self._loadings.shape[1]), dtype=np.float32)
        weight = np.sqrt(1 - np.square(self._loadings).sum(1))
        on[:, self._roots] = weight * own + shared @ self._loadings.T < self._thresholds
        for parents, children in _families(cfg):
            share = (self._rates[children] / np.repeat(self._rates[parents], cfg.tree[1])).reshape(-1, cfg.tree[1])
            upper = share.cumsum(1)
            drawn = generator.random((BLOCK_TOKENS, len(share)), dtype=np.float32)[:, :, None]
            chosen = (drawn >= upper - share) & (drawn < upper) & on[:, parents, None]
            on[:, children] = chosen.reshape(BLOCK_TOKENS, -1)
        return on


def preset(name: str) -> SyntheticConfig:
    """Raises: ConfigError for a name there is not."""
    if name not in PRESETS:
        raise ConfigError(f"{name!r} is no preset of synthetic data. There are: {', '.join(PRESETS)}.{did_you_mean(name, PRESETS)}")
    return PRESETS[name]


def _families(cfg: SyntheticConfig) -> Iterator[tuple[slice, slice]]:
    """(parents, their children in the parents' order) of each level of the trees."""
    sizes = cfg.level_sizes()
    first = 0
    for n_parents, n_children in pairwise(sizes):
        yield slice(first, first + n_parents), slice(first + n_parents, first + n_parents + n_children)
        first += n_parents


def _parents(cfg: SyntheticConfig) -> NDArray[np.int64]:
    parents = np.full(cfg.n_directions, -1, dtype=np.int64)
    for above, below in _families(cfg):
        parents[below] = np.repeat(np.arange(above.start, above.stop), cfg.tree[1])
    return parents


def _rates(cfg: SyntheticConfig, parents: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(z_g = 1). Raises: ConfigError where one would have to be above 0.95."""
    rates: NDArray[np.float64] = (np.arange(cfg.n_directions, dtype=np.float64) + 1) ** -cfg.zipf
    for above, below in _families(cfg):
        family = rates[below].reshape(-1, cfg.tree[1]).sum(1)
        rates[below] *= np.repeat(np.minimum(1, CHILDREN * rates[above] / family), cfg.tree[1])
    rates *= cfg.l0 / rates.sum()
    if rates.max() > 0.95:
        raise ConfigError(f"l0={cfg.l0} would need a direction that is on in {rates.max():.0%} of the tokens. Lower l0 or zipf.")
    return rates


def _normal_quantile(p: NDArray[np.float64]) -> NDArray[np.float32]:
    from scipy.special import ndtri

    return np.asarray(ndtri(p), dtype=np.float32)
