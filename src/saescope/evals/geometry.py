"""What the weights alone say: do encoder and decoder agree, do decoder rows repeat one another, how many dimensions they span."""

import torch

from saescope.activations.encode import Dictionary
from saescope.evals.result import Metric
from saescope.saes.crosscoder import Crosscoder
from saescope.shapes import Float, Tensor

PAIR_BUDGET = 2**39
"""Most multiplications spent on cosines between decoder rows; wider dictionaries compare a part of their rows with all."""
BLOCK_BUDGET = 2**24
"""Cosines held at once (64 MiB)."""


@torch.no_grad()
def geometry(dictionary: Dictionary) -> tuple[dict[str, Metric], dict[str, Float[Tensor, " d_sae"]]]:
    """Metrics, and per-latent columns (NaN where not measured). Dictionaries without weight matrices are skipped.

    Of a crosscoder: with its hook points scaled alike, and a column `block_norm_l` for each (1 at the one where a latent's row is longest).
    """
    W_dec = getattr(dictionary, "W_dec", None)
    if W_dec is None:
        reason = "this row has no decoder matrix"
        keys = ("enc_dec_cos", "max_dec_cos", "effective_rank")
        return {f"geometry.{key}": Metric(None, status="skipped", reason=reason) for key in keys}, {}
    W_dec, W_enc = W_dec.detach().float(), getattr(dictionary, "W_enc", None)
    columns: dict[str, Tensor] = {}
    if isinstance(dictionary, Crosscoder):
        W_enc, W_dec = (weight.float() for weight in dictionary.comparable())
        columns = {f"block_norm_{i}": norms for i, norms in enumerate(dictionary.block_norms().unbind(1))}
    columns |= {"max_dec_cos": max_decoder_cosines(W_dec), "decoder_norm": W_dec.norm(dim=1)}
    rank = Metric(effective_rank(W_dec), n=len(W_dec), unit="dimensions", better="higher")
    metrics = {"geometry.max_dec_cos": _median(columns["max_dec_cos"], ""), "geometry.effective_rank": rank}
    if W_enc is None or W_enc.T.shape != W_dec.shape or getattr(dictionary, "transcodes", False):
        reason = "encoder and decoder have no comparable rows"
        return {"geometry.enc_dec_cos": Metric(None, status="skipped", reason=reason), **metrics}, columns
    columns["enc_dec_cos"] = torch.nn.functional.cosine_similarity(W_enc.detach().float().T, W_dec, dim=1)
    return {"geometry.enc_dec_cos": _median(columns["enc_dec_cos"], ""), **metrics}, columns


def max_decoder_cosines(W_dec: Float[Tensor, "d_sae d"]) -> Float[Tensor, " d_sae"]:
    """max over j != i of cos(D_i, D_j), block by block. NaN for rows beyond the budget and for a single latent."""
    rows_FD = torch.nn.functional.normalize(W_dec, dim=1)
    F, D = rows_FD.shape
    n_rows = min(F, max(1, PAIR_BUDGET // (F * D)))
    best = torch.full((F,), torch.nan, device=W_dec.device)
    if F < 2:
        return best
    # An even stride, not the first ones: latents may be ordered (Matryoshka prefixes).
    chosen = torch.arange(n_rows, device=W_dec.device) * F // n_rows
    for part in chosen.split(max(1, BLOCK_BUDGET // F)):
        cosines = rows_FD[part] @ rows_FD.T
        cosines[torch.arange(len(part), device=part.device), part] = -torch.inf
        best[part] = cosines.amax(1)
    return best


def effective_rank(W: Float[Tensor, "n d"]) -> float | None:
    """exp of the entropy of the singular values' shares: between 1 and min(n, d). None for all zeros.

    Source: Roy and Vetterli 2007, "The effective rank".
    """
    W = W.cpu().double() if len(W) >= W.shape[1] else W.cpu().double().T
    sigma = torch.linalg.eigvalsh(W.T @ W).clamp_min(0).sqrt()
    if sigma.sum() == 0:
        return None
    share = sigma / sigma.sum()
    return float(torch.special.entr(share).sum().exp())


def _median(values: Float[Tensor, " n"], unit: str) -> Metric:
    known = values[values.isfinite()]
    if len(known) == 0:
        return Metric(None, n=0, unit=unit, status="skipped", reason="fewer than two latents")
    return Metric(float(known.median()), n=len(known), unit=unit, reason="median over latents")
