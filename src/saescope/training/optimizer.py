"""Adam with what SAEs need around it: the schedule, the projection of the decoder's gradient, clipping in fixed units."""

import torch

from saescope.saes.base import SAE
from saescope.saes.kernels import kernels
from saescope.shapes import Float, Tensor
from saescope.training.config import TrainConfig


def default_lr(sae: SAE) -> float:
    """The architecture's own (`SAE.lr`) up to 4,096 latents, falling as 1 / sqrt(d_sae) above.

    The TopK family's was found by a sweep on 6M tokens of stories3M (`benchmarks/results/defaults.jsonl`); that of the penalised ones
    by a few trials of 300,000 tokens between 1e-3 and 5e-3. The square root is Gao et al.'s scaling.
    """
    return sae.lr * min(1.0, (4096 / sae.d_sae) ** 0.5)


class Adam(torch.optim.Adam):
    """torch's fused Adam, shown every matrix in the order in which it lies in memory: it copies transposed ones, at ten times the cost."""

    grad_scale: Float[Tensor, ""] | None = None
    """What it divides gradients by, as it reads them."""

    def _init_group(self, group, params_with_grad, grads, exp_avgs, exp_avg_sqs, *others):
        found = super()._init_group(group, params_with_grad, grads, exp_avgs, exp_avg_sqs, *others)
        for tensors in (params_with_grad, grads, exp_avgs, exp_avg_sqs):
            tensors[:] = [t.T if t.ndim == 2 and not t.is_contiguous() else t for t in tensors]
        return found


def adam(sae: SAE, lr: float) -> Adam:
    """Over the parameters that train."""
    trained = [p for p in sae.parameters() if p.requires_grad]
    return Adam(trained, lr=lr, betas=sae.betas, eps=1e-8, fused=True)


def lr_factor(step: int, cfg: TrainConfig) -> float:
    """Share of the peak learning rate at a step: linear warm-up, plateau, linear decay to 0."""
    warmup_steps = min(1000, cfg.warmup * cfg.n_steps) if cfg.warmup < 1 else cfg.warmup
    decay_steps = cfg.decay * cfg.n_steps
    rise = (step + 1) / warmup_steps if step + 1 < warmup_steps else 1.0
    fall = (cfg.n_steps - step) / decay_steps if cfg.n_steps - step < decay_steps else 1.0
    return rise * fall


def sparsity_warmup(step: int, cfg: TrainConfig) -> float:
    """Share of its weight that the sparsity term has at a step."""
    warmup_steps = cfg.sparsity_warmup * cfg.n_steps
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


@torch.no_grad()
def descend_(sae: SAE, optimizer: Adam, largest: float) -> None:
    """What follows the gradients: projection of the decoder's, clipping of all together to the norm `largest`, Adam, constraints.

    Nothing is read back from a GPU, and clipping needs no pass of its own: Adam divides what it reads.
    """
    others = (p.grad for name, p in sae.named_parameters() if name != "W_dec" and p.grad is not None)
    squares = [project_decoder_gradient_(sae), *(g.norm().square() for g in others)]
    divisor = clip_divisor(torch.stack(squares), largest)
    optimizer.grad_scale = None if divisor.device.type == "cpu" and divisor == 1 else divisor
    optimizer.step()
    sae.constrain_()


def clip_divisor(squares: Float[Tensor, " n"], largest: float) -> Float[Tensor, ""]:
    """What gradients of these squared norms are divided by, so that their joint norm is at most `largest`."""
    return (squares.sum().sqrt() / largest).clamp_min(1.0)


@torch.no_grad()
def project_decoder_gradient_(sae: SAE) -> Float[Tensor, ""]:
    """Remove from each row's gradient its part along the row, which the norm constraint would undo: g_i -= <g_i, d_i> d_i.

    Returns the squared norm of what is left.
    """
    gradient = sae.W_dec.grad
    if gradient is None:
        return sae.b_dec.new_zeros(())
    if not sae.unit_decoder:
        return gradient.norm().square()
    return kernels(gradient.device, gradient.dtype).project_rows_(gradient, sae.W_dec).sum()
