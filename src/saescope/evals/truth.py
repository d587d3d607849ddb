"""How much of a known truth an SAE has found, beside what chance, PCA and knowledge of the truth find.

Directions are compared as lines (absolute cosine) where they are matched, and as directions in mmcs: a latent is never
negative, so a reversed row means the opposite, and only mmcs sees that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from saescope.activations.encode import LATENT_BUDGET, Dictionary
from saescope.draws import draws
from saescope.errors import ConfigError, NonFiniteActivations, WidthMismatch
from saescope.evals.controls import KLargest, Moments, pca
from saescope.evals.reconstruction import fvu, gamma, token_values
from saescope.saes.base import SAE
from saescope.shapes import Bool, Float, Int, Tensor

MATCH = 0.9
"""Cosine from which a latent's row counts as a true direction's."""


@dataclass(frozen=True)
class Scores:
    """One dictionary against the truth. None: not measured, or without a denominator."""

    recall: float
    """Share of true directions that some latent has (absolute cosine >= 0.9)."""
    precision: float | None
    """Share of alive latents that have some true direction."""
    mcc: float
    """Mean absolute cosine of the best one-to-one assignment of min(latents, directions) pairs."""
    mmcs: float
    """Mean over true directions of the largest cosine with a latent."""
    mmcs_latents: float | None
    """Mean over alive latents of the largest cosine with a true direction."""
    unique: float | None
    """True directions that some alive latent has, per alive latent: below `precision` where latents repeat one another."""
    splits: float | None
    """Alive latents per true direction that some have; 1: none is split."""
    f1: float | None = None
    """Mean over the directions seen on of the F1 of the latent that tells best whether the direction is on."""
    absorption: float | None = None
    """Mean over pairs (parent that is recovered, child) of P(the parent's latent is off | child on)."""
    l0: float | None = None
    ev: float | None = None
    gamma: float | None = None
    dead: float | None = None
    """Share of latents that never fired on the tokens measured; the others are alive. All are where no tokens are given."""
    n_tokens: int = 0


@dataclass(frozen=True)
class Recovery:
    """The SAE's scores beside what they are to be compared with."""

    sae: Scores
    random_dictionary: Scores
    """As many random unit directions, the SAE's L0: chance grows with the number of latents."""
    pca: Scores | None = None
    """Principal components, each as two halves, with the SAE's L0."""
    oracle: Scores | None = None
    """The true directions, with codes found by FISTA: what is possible."""


@torch.no_grad()
def recovery(
    sae: Dictionary,
    directions: Float[Tensor, "g d"],
    x: Float[Tensor, "n d_in"] | None = None,
    codes: Float[Tensor, "_ _"] | None = None,
    *,
    target: Float[Tensor, "n d"] | None = None,
    parents: Int[Tensor, " g"] | None = None,
    seed: int = 0,
) -> Recovery:
    """How much of the true `directions` the rows of W_dec are, and on rows x with true coefficients `codes`, how well latents tell.

    Recall, precision, mcc, mmcs, unique and splits need the weights alone; alive latents, L0, EV, gamma and PCA need x too,
    and F1, absorption (with `parents`: -1 for none) and the oracle need x and codes. `target` is what is reconstructed, where
    it is not x (a transcoder). Rows beside the SAE read the target, the oracle as codes @ directions plus a constant.
    Memory: latents x directions; the assignment of mcc takes the cube of the smaller number.

    Raises: WidthMismatch; ConfigError for codes without x or of another shape; NonFiniteActivations for weights with NaN.
    """
    W_dec = getattr(sae, "W_dec", None)
    if W_dec is None or W_dec.shape[1] != directions.shape[1]:
        width = "no decoder matrix" if W_dec is None else f"decoder rows of width {W_dec.shape[1]}"
        raise WidthMismatch(f"the dictionary has {width}, but the true directions are {directions.shape[1]} wide. They are compared.")
    if codes is not None and (x is None or codes.shape != (len(x), len(directions))):
        given = "no x" if x is None else f"{len(x):,} rows"
        raise ConfigError(
            f"codes of shape {tuple(codes.shape)} came with {given} and {len(directions)} directions: give [rows, directions]."
        )
    truth = _Truth(directions, codes, parents)
    y = x if target is None else target
    random_rows = _unit(torch.from_numpy(draws(seed, "untrained", "truth").standard_normal(tuple(W_dec.shape), dtype="float32")))
    if x is None or y is None:
        return Recovery(truth.scores(W_dec), truth.scores(random_rows))
    own = truth.scores(W_dec, _Seen(sae, x, y, codes))
    k = max(1, round(own.l0 or 0))
    zeros = random_rows.new_zeros
    random = KLargest(random_rows.T, zeros(len(random_rows)), random_rows, zeros(y.shape[1]), k).scaled_to(y)
    fit = Moments(y.shape[1])
    fit.x.add(y, y)
    fit.sample = y[:1]  # says only where the weights are to lie
    components = pca(fit, k)
    axes = fit.principal_axes().T
    return Recovery(
        own,
        truth.scores(random_rows, _Seen(random, y, y, codes)),
        truth.scores(torch.cat([axes, -axes]), _Seen(components, y, y, codes)),
        None if codes is None else truth.scores(directions, _Seen(TrueCodes(directions, y, codes), y, y, codes)),
    )


class _Seen:
    """What a dictionary did on some tokens: sums over them."""

    def __init__(self, dictionary: Dictionary, x: Tensor, target: Tensor, codes: Tensor | None):
        self.n = len(x)
        self.fired_F = torch.zeros(dictionary.d_sae)
        self.both_FG = None if codes is None else torch.zeros(dictionary.d_sae, codes.shape[1])
        sums: dict[str, Tensor] = {}
        for rows in torch.arange(len(x)).split(max(1, LATENT_BUDGET // dictionary.d_sae)):
            latents = dictionary.encode(x[rows])
            fired_NF = (latents > 0).float()
            self.fired_F += fired_NF.sum(0).cpu()
            if codes is not None and self.both_FG is not None:
                self.both_FG += fired_NF.T.cpu() @ (codes[rows] > 0).float().cpu()
            x_hat = dictionary.reconstruct(x[rows], latents) if isinstance(dictionary, SAE) else dictionary.decode(latents)
            for name, value in token_values(target[rows], x_hat).items():
                sums[name] = sums.get(name, 0) + value.sum(0)
        named = {name: value.cpu().numpy() for name, value in sums.items()}
        self.ev = _finite(1 - fvu(named["tokens"], named["sse"], named["square"], named["target"]))
        self.gamma = _finite(gamma(named["tokens"], named["square_hat"], named["inner"])) if named["inner"] else None

    @property
    def alive(self) -> Bool[Tensor, " f"]:
        return self.fired_F > 0


class _Truth:
    """The truth, and how a dictionary's rows and latents compare with it."""

    def __init__(self, directions: Tensor, codes: Tensor | None, parents: Tensor | None):
        self.directions = _unit(directions.detach().cpu().float())
        self.on_G = None if codes is None else (codes > 0).sum(0).float().cpu()
        self.parents = parents

    def scores(self, W_dec: Tensor, seen: _Seen | None = None) -> Scores:
        cosines_FG = _unit(W_dec.detach().cpu().float()) @ self.directions.T
        if not bool(cosines_FG.isfinite().all()):
            raise NonFiniteActivations("a decoder row or a true direction is NaN or Inf: there is nothing to compare. Train anew.")
        lines_FG = cosines_FG.abs()
        alive = torch.ones(len(lines_FG), dtype=torch.bool) if seen is None else seen.alive
        matches_FG = lines_FG[alive] >= MATCH
        found = int(matches_FG.any(0).sum())
        n_alive = int(alive.sum())
        scores = Scores(
            recall=(lines_FG.amax(0) >= MATCH).float().mean().item(),
            precision=matches_FG.any(1).float().mean().item() if n_alive else None,
            mcc=_assigned_mean(lines_FG),
            mmcs=cosines_FG.amax(0).mean().item(),
            mmcs_latents=cosines_FG[alive].amax(1).mean().item() if n_alive else None,
            unique=found / n_alive if n_alive else None,
            splits=matches_FG.sum().item() / found if found else None,
        )
        return scores if seen is None else self._with_latents(scores, lines_FG, seen)

    def _with_latents(self, scores: Scores, lines_FG: Tensor, seen: _Seen) -> Scores:
        """What can be said of the latents on the tokens seen."""
        l0, dead = seen.fired_F.sum().item() / seen.n, 1 - seen.alive.float().mean().item()
        scores = replace(scores, l0=l0, ev=seen.ev, gamma=seen.gamma, dead=dead, n_tokens=seen.n)
        if seen.both_FG is None or self.on_G is None:
            return scores
        on = self.on_G > 0
        f1_FG = 2 * seen.both_FG / (seen.fired_F[:, None] + self.on_G).clamp_min(1)
        f1 = f1_FG[:, on].amax(0).mean().item() if bool(on.any()) else None
        return replace(scores, f1=f1, absorption=self._absorption(lines_FG, seen.both_FG))

    def _absorption(self, lines_FG: Tensor, both_FG: Tensor) -> float | None:
        assert self.on_G is not None
        if self.parents is None:
            return None
        best = lines_FG.max(0)
        child = ((self.parents >= 0) & (self.on_G > 0)).nonzero().squeeze(1)
        child = child[best.values[self.parents[child]] >= MATCH]
        if len(child) == 0:
            return None
        on_with_child = both_FG[best.indices[self.parents[child]], child] / self.on_G[child]
        return (1 - on_with_child).mean().item()


class TrueCodes(nn.Module):
    """The true directions D as a dictionary, whose latents are found by search.

        latents = argmin_(f >= 0) 1/2 ||x - b - f @ D||^2 + penalty sum f,   x_hat = latents @ D + b

    by 200 rounds of FISTA; b is what rows with known coefficients have left over. The penalty is a tenth of the mean coefficient.
    Source: Beck and Teboulle 2009, "A fast iterative shrinkage-thresholding algorithm".
    """

    rounds = 200

    def __init__(self, directions: Float[Tensor, "g d"], x: Float[Tensor, "n d"], codes: Float[Tensor, "n g"]):
        super().__init__()
        self.W_dec = directions
        self.b_dec = (x - codes @ directions).mean(0)
        self.d_sae, self.d_in = directions.shape
        self.penalty = 0.1 * float(codes.sum() / (codes > 0).sum().clamp_min(1))
        self.steepest = float(torch.linalg.matrix_norm(directions, 2) ** 2)

    def encode(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n g"]:
        y = latents = x.new_zeros(len(x), self.d_sae)
        pull, gram = (x - self.b_dec) @ self.W_dec.T, self.W_dec @ self.W_dec.T
        for momentum in _momenta(self.rounds):
            new = (y - (y @ gram - pull + self.penalty) / self.steepest).relu()
            y, latents = new + momentum * (new - latents), new
        return latents

    def decode(self, latents: Float[Tensor, "n g"]) -> Float[Tensor, "n d"]:
        return latents @ self.W_dec + self.b_dec


def _momenta(rounds: int) -> Iterator[float]:
    t = 1.0
    for _ in range(rounds):
        after = (1 + (1 + 4 * t * t) ** 0.5) / 2
        yield (t - 1) / after
        t = after


def _assigned_mean(lines_FG: Float[Tensor, "f g"]) -> float:
    from scipy.optimize import linear_sum_assignment

    lines = lines_FG.numpy()
    return float(lines[linear_sum_assignment(lines, maximize=True)].mean())


def _unit(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)


def _finite(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]
    return number if number == number else None
