"""Resampling of dead latents, as in Towards Monosemanticity: they are pointed at the inputs that the SAE explains worst."""

from collections.abc import Iterator

import torch

from saescope.activations.source import ActivationSource
from saescope.draws import draws
from saescope.saes.base import SAE, TrainState
from saescope.shapes import Bool, Float, Tensor
from saescope.training.columns import Columns
from saescope.training.config import TrainConfig

INTERVAL_TOKENS = 200_000_000
TIMES = 4
INPUTS = 819_200
ROWS = 4096
"""Inputs whose loss is computed at a time."""


def interval_steps(cfg: TrainConfig) -> int:
    """Steps between resamplings: 2e8 tokens, or an eighth of a shorter run."""
    return max(1, min(INTERVAL_TOKENS, cfg.tokens // 8) // cfg.batch_tokens)


def due(step: int, cfg: TrainConfig) -> int:
    """Which resampling, 1 to 4, follows the first `step` steps; 0: none."""
    count, rest = divmod(step, interval_steps(cfg))
    return count if rest == 0 and 1 <= count <= TIMES else 0


def fresh_rows(source: ActivationSource, cfg: TrainConfig, start: int) -> Float[Tensor, "n d_row"]:
    """Inputs to choose from, from row `start` of the stream on: 819,200, or 1/64 of a shorter run's tokens, at least 4 batches."""
    n = min(INPUTS, max(cfg.tokens // 64, 4 * cfg.batch_tokens))
    return torch.cat([batch.rows for batch in source.batches(n, seed=cfg.seed, start=start)])


@torch.no_grad()
def resample_(
    sae: SAE,
    dead: Bool[Tensor, " d_sae"],
    rows: Float[Tensor, "n d_row"],
    columns: Columns,
    state: TrainState,
    draw_of: tuple[int, int],
) -> int:
    """Give each dead latent a new direction; returns how many there were. `draw_of` is (seed, count).

    Each takes an input v, drawn with probability proportional to its squared loss (squared error and penalty together):
    W_dec[i] = v / ||v||, W_enc[:, i] = 0.2 v / ||v|| times the mean norm of the living columns, all its biases 0.
    v is x - b_dec, or x where `sae.resample` is "published". The optimizer's moments are the caller's to reset.
    Source: Bricken et al. 2023, appendix "Neuron resampling".
    """
    index = dead.nonzero().squeeze(1)
    if len(index) == 0:
        return 0
    losses_N = torch.cat(list(_losses(sae, rows, columns, state))).double().cpu()
    weights_N = losses_N.square().nan_to_num(0, 0, 0)
    if not weights_N.sum() > 0:
        return 0
    chosen = draws(draw_of[0], "resample", draw_of[1]).choice(len(rows), len(index), p=(weights_N / weights_N.sum()).numpy())
    x_UD = columns.x(rows[torch.from_numpy(chosen)])
    v_UD = x_UD if sae.resample == "published" else x_UD - sae.b_dec
    unit_UD = v_UD / v_UD.norm(dim=1, keepdim=True).clamp_min(torch.finfo(v_UD.dtype).tiny)
    alive_norms = sae.W_enc[:, ~dead].norm(dim=0)
    size = alive_norms.mean() if len(alive_norms) else torch.ones((), device=unit_UD.device)
    for name, p in sae.named_parameters():
        if name == "W_dec":
            p[index] = unit_UD
        elif name == "W_enc":
            p[:, index] = (0.2 * size * unit_UD).T
        elif p.shape == (sae.d_sae,):
            p[index] = 0
    return len(index)


@torch.no_grad()
def forget_moments_(optimizer: torch.optim.Optimizer, sae: SAE, latents: Bool[Tensor, " d_sae"]) -> None:
    """Zero Adam's moments at exactly the rows, columns and entries of these latents."""
    for name, p in sae.named_parameters():
        for kind in ("exp_avg", "exp_avg_sq"):
            moment = optimizer.state[p].get(kind) if p in optimizer.state else None
            if moment is None:
                continue
            if name == "W_dec":
                moment[latents] = 0
            elif name == "W_enc":
                moment[:, latents] = 0
            elif p.shape == (sae.d_sae,):
                moment[latents] = 0


def _losses(sae: SAE, rows: Float[Tensor, "n d_row"], columns: Columns, state: TrainState) -> Iterator[Float[Tensor, " rows"]]:
    for part in rows.split(ROWS):
        x = columns.x(part)
        pre_acts = sae.pre_acts(x)
        error = columns.wanted(part, x) - sae.reconstruct(x, sae.training_latents(pre_acts))
        yield error.square().sum(1) + state.sparsity_scale * sae.penalty(pre_acts)
