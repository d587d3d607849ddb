"""What can still be done for a finished SAE: a scale per latent that undoes feature suppression, and what fine-tuning needs.

Fine-tuning is the loop itself: `Job(sae, fresh=False)` for all of an SAE, with `only=decoder_parameters(sae)` for its decoder.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from saescope.activations.encode import LATENT_BUDGET
from saescope.activations.shuffle import PoolPlan
from saescope.activations.source import ActivationSource, StepBatch
from saescope.errors import ConfigError, NoTokens
from saescope.saes.base import SAE
from saescope.saes.batch_topk import BatchTopKSAE
from saescope.saes.crosscoder import CROSSCODERS
from saescope.saes.gated import GatedSAE
from saescope.saes.jumprelu import JumpReLUSAE
from saescope.saes.registry import ARCHITECTURES
from saescope.saes.topk import TopKSAE
from saescope.saes.transcoder import TRANSCODERS
from saescope.shapes import Float, Tensor
from saescope.training.columns import Columns
from saescope.training.objective import Given, Objective
from saescope.training.trainee import Job

LARGEST_EXACT = 2**14
"""Latents up to which the normal equations are solved: A is [F, F] in float64, 2 GiB at this size."""
LEAST_FIRINGS = 10
"""Tokens on which a latent must be active for its scale to be fitted; below, it stays 1."""
LEAST_SCALE = 1e-3
ADAM_STEPS, ADAM_LR, ADAM_ROWS = 600, 0.03, 4096
SPARSE_BELOW = 0.05
"""Density of latents below which their second moments are summed over pairs."""


def fit_scale(job: SAE | Job, source: ActivationSource, n_tokens: int = 2**17, *, seed: int = 0) -> SAE:
    """A copy of a finished SAE whose latents have the sizes that reconstruct best; which of them are active does not change.

        x_hat = (sigma * latents) @ W_dec + b_dec,    sigma_i > 0 minimises E||target - x_hat||^2, all else as it was

    A penalty on their size has made latents too small (gamma = E||x_hat||^2 / E<x, x_hat> below 1); this undoes it as far as one
    number per latent can. sigma is folded into the weights (`scaled`), so that the result is an ordinary SAE.
    Source: Wright and Sharkey 2024, "Addressing feature suppression in SAEs".

    Raises: ConfigError for a TopK SAE, which a scale would make choose other latents; NoTokens; WidthMismatch.
    """
    job = job if isinstance(job, Job) else Job(job)
    check_scalable(job.sae)
    return scaled(job.sae, best_scales(job, source, n_tokens, seed=seed))


@torch.no_grad()
def best_scales(job: SAE | Job, source: ActivationSource, n_tokens: int = 2**17, *, seed: int = 0) -> Float[Tensor, " d_sae"]:
    """The sigma of `fit_scale`, fitted to the first `n_tokens` rows of a source, in float32.

    Up to 16,384 latents by the normal equations; above, by Adam on log sigma over the rows, which are held in memory.
    """
    job = job if isinstance(job, Job) else Job(job)
    columns = Columns(job.sae, job.read, job.target, source.slices)
    exact = job.sae.d_sae <= LARGEST_EXACT
    rows = (batch.rows for batch in source.batches(n_tokens, seed=seed))
    sigma = _solved(job.sae, columns, rows) if exact else _descended(job.sae, columns, torch.cat(list(rows)))
    return sigma.to(job.sae.W_dec)


@torch.no_grad()
def scaled(sae: SAE, sigma: Float[Tensor, " d_sae"]) -> SAE:
    """The SAE whose latents are sigma * those of `sae`, the same ones active, with the decoder as it is.

        W_enc[:, i], b_enc_i, theta_i times sigma_i;   Gated: exp(r_mag_i), b_mag_i times sigma_i, the gate as it is

    One threshold tau for all latents cannot scale with each, so a BatchTopK or Matryoshka SAE becomes the JumpReLU SAE that is
    the same function (`as_jumprelu`). Raises: ConfigError for a TopK SAE, which chooses latents by size; for sigma <= 0.
    """
    check_scalable(sae)
    if not bool((sigma > 0).all()):
        raise ConfigError(f"a scale of {sigma.min().item():g} was given for a latent. Scales must be above 0.")
    new = as_jumprelu(sae) if isinstance(sae, BatchTopKSAE) else copy.deepcopy(sae)
    if isinstance(new, GatedSAE):
        new.r_mag.add_(sigma.log())
        new.b_mag.mul_(sigma)
        return new
    new.W_enc.mul_(sigma)
    new.b_enc.mul_(sigma)
    for name in new.thresholds:
        new.state_dict()[name].mul_(sigma)
    return new


@torch.no_grad()
def as_jumprelu(sae: BatchTopKSAE) -> SAE:
    """The JumpReLU SAE (transcoder, crosscoder) that is the same function: theta_i = tau, b_dec no longer tied."""
    kinds = TRANSCODERS if sae.transcodes else CROSSCODERS if sae.joins else ARCHITECTURES
    kind, config = kinds["jumprelu"]
    shared = {name: getattr(sae.cfg, name) for name in ("skip", "widths") if name in {f.name for f in fields(config)}}
    jump = kind(sae.d_in, sae.d_sae, config(l0=float(sae.cfg.k), **shared), d_out=sae.d_out, seed=None).to(sae.W_dec)
    assert isinstance(jump, JumpReLUSAE)
    own = sae.state_dict()
    for name, value in jump.state_dict().items():
        if name in own:
            value.copy_(own[name])
    jump.b_enc.copy_(sae.encoder.shift)
    jump.theta.copy_(sae.tau.clamp_min(0).expand(sae.d_sae))
    return jump


def decoder_parameters(sae: SAE) -> tuple[str, ...]:
    """The parameters that change x_hat but no latent, for `Job(only=...)`: a tied b_dec is read by the encoder too, so it stays.

    Raises: ConfigError for an SAE whose latents are chosen by the norms of their rows.
    """
    if sae.joins and sae.thresholds:
        raise ConfigError(
            f"{type(sae).__name__} chooses latents by the norms of their rows of W_dec, so its decoder does not train alone. "
            "Fine-tune all of it (--what all), or its scales (--what scale)."
        )
    skip = ("W_skip",) if "W_skip" in sae.state_dict() else ()
    return ("W_dec", *(() if sae.tied else ("b_dec",)), *skip)


@dataclass(frozen=True)
class ErrorsOnly:
    """An objective without the terms that ask for few or small latents, for a decoder whose latents stay as they are.

    A penalty that weighs latents by the norms of their rows would only shorten these.
    """

    of: Objective

    @property
    def stated(self) -> dict[str, Any]:
        return {"errors_only": dict(self.of.stated)}

    def batches(self, source: ActivationSource, plan: PoolPlan, first_step: int) -> Iterator[StepBatch]:
        return self.of.batches(source, plan, first_step)

    def __call__(self, given: Given) -> dict[str, Float[Tensor, ""]]:
        return {name: term for name, term in self.of(given).items() if name in ("mse", "end_to_end")}


def keep_reached_penalty_(sae: SAE, sparsity_scale: float) -> None:
    """Make the penalty's coefficient what it was in the end where a controller scaled it to reach an L0: it starts anew at 1."""
    if sae.l0_target is not None:
        name = "l1" if hasattr(sae.cfg, "l1") else "coefficient"
        sae.cfg = replace(sae.cfg, **{name: getattr(sae.cfg, name) * sparsity_scale})


def check_scalable(sae: SAE) -> None:
    """Raises: ConfigError for an SAE that a scale per latent would make choose other latents."""
    if isinstance(sae, TopKSAE):
        raise ConfigError(
            f"{type(sae).__name__} keeps the largest latents of each token, so a scale per latent would make it keep others. Nothing "
            "shrinks its latents, either: fine-tune its decoder instead (--what decoder)."
        )


def _parts(sae: SAE, columns: Columns, rows: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Latents [n, F], and what of the target is left for them: target - x_hat + latents @ W_dec."""
    for batch in rows:
        for part in batch.split(max(1, LATENT_BUDGET // sae.d_sae)):
            x = columns.x(part)
            latents_NF = sae.encode(x)
            yield latents_NF, columns.wanted(part, x) - sae.reconstruct(x, latents_NF) + latents_NF @ sae.W_dec


def _solved(sae: SAE, columns: Columns, rows: Iterator[Tensor]) -> Float[Tensor, " d_sae"]:
    """A sigma = r with A_ij = E[f_i f_j] <d_i, d_j>, r_i = E[f_i <d_i, left>], over the latents that fire; sigma >= LEAST_SCALE.

    What would have to be negative stands at the bound, and the others are solved for anew.
    """
    wide = torch.float32 if sae.W_dec.device.type == "mps" else torch.float64
    W_FD = sae.W_dec.to(wide)
    A_FF, r_F, firings_F = W_FD.new_zeros(sae.d_sae, sae.d_sae), W_FD.new_zeros(sae.d_sae), W_FD.new_zeros(sae.d_sae)
    n = 0
    for latents_NF, left_ND in _parts(sae, columns, rows):
        _add_second_moments_(A_FF, latents_NF)
        r_F += (latents_NF * (left_ND @ sae.W_dec.T)).sum(0, dtype=wide)
        firings_F += (latents_NF > 0).sum(0)
        n += len(latents_NF)
    if n == 0:
        raise NoTokens("the scales were to be fitted on no tokens. Give more text.")
    A_FF *= W_FD @ W_FD.T
    fitted = firings_F >= LEAST_FIRINGS
    sigma_F = torch.ones_like(r_F)
    while bool(fitted.any()):
        free = fitted.nonzero().squeeze(1)
        # A trace of the start, sigma = 1, so that latents which the data cannot tell apart have a solution.
        A, start = A_FF[free][:, free], 1e-9 * A_FF.diagonal()[free]
        r = r_F[free] - A_FF[free][:, ~fitted] @ sigma_F[~fitted] + start
        sigma_F[free] = torch.linalg.solve(A + start.diag(), r)
        below = fitted & (sigma_F < LEAST_SCALE)
        sigma_F[below] = LEAST_SCALE
        fitted &= ~below
        if not bool(below.any()):
            break
    return sigma_F


def _add_second_moments_(total_FF: Tensor, latents_NF: Tensor) -> None:
    """total += latents^T @ latents; over the pairs alone where latents are few."""
    if latents_NF.device.type != "cpu" or latents_NF.count_nonzero() > SPARSE_BELOW * latents_NF.numel():
        total_FF += latents_NF.T @ latents_NF
        return
    from scipy.sparse import csr_array

    pairs = csr_array(latents_NF.double().numpy())
    found = (pairs.T @ pairs).tocoo()
    row, column = (torch.from_numpy(index).long() for index in found.coords)
    total_FF.index_put_((row, column), torch.from_numpy(found.data).to(total_FF), accumulate=True)


def _descended(sae: SAE, columns: Columns, rows: Float[Tensor, "n d_row"]) -> Float[Tensor, " d_sae"]:
    """Adam on log sigma, minibatch by minibatch, its rate falling to 0."""
    log_sigma = sae.W_dec.new_zeros(sae.d_sae)
    optimizer = torch.optim.Adam([log_sigma], lr=ADAM_LR)
    per_step = min(ADAM_ROWS, len(rows))
    for step in range(ADAM_STEPS):
        start = step * per_step % (len(rows) - per_step + 1)
        gradient = torch.zeros_like(log_sigma)
        for latents_NF, left_ND in _parts(sae, columns, iter([rows[start : start + per_step]])):
            error_ND = (latents_NF * log_sigma.exp()) @ sae.W_dec - left_ND
            gradient += 2 / per_step * (latents_NF * (error_ND @ sae.W_dec.T)).sum(0)
        log_sigma.grad = gradient * log_sigma.exp()
        optimizer.param_groups[0]["lr"] = ADAM_LR * (1 - step / ADAM_STEPS)
        optimizer.step()
    return log_sigma.exp()
