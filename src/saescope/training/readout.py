"""From what the unembedding reads to predictions, some positions at a time: logits of a whole batch never exist."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from saescope.errors import UnknownModel
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel

LOGITS_CPU, LOGITS_GPU = 2**22, 2**26
"""Most logits of one chunk: 16 MiB of float32 on a CPU, where larger blocks go back to the system each time; 256 MiB elsewhere."""


class Readout:
    """The last step of a model: `at`, whose output the unembedding reads, and `logits`, what the model makes of it.

    Whether the model does just that is tried on a few tokens. Where it does more (or does not say where its final norm is) `at` is
    None: then whole logits are what is read, and only their softmax is in chunks.
    """

    def __init__(self, lm: "LanguageModel"):
        self._lm = lm
        self._cap: float | None = getattr(getattr(lm.hf, "config", None), "final_logit_softcapping", None)
        self.at: HookPoint | None = None
        at = _final_norm(lm)
        if at is not None and self._exact(at):
            self.at = at

    def logits(self, h: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d_vocab"]:
        """Of rows of `at`; logits themselves pass through where `at` is None."""
        return self._unembedded(h) if self.at is not None else h

    def chunk(self, d_vocab: int) -> int:
        """Positions whose logits are made at a time."""
        return max(1, (LOGITS_CPU if self._lm.device.type == "cpu" else LOGITS_GPU) // d_vocab)

    def _unembedded(self, h: Tensor) -> Tensor:
        logits = self._lm.unembedding(h)
        return logits if self._cap is None else (logits / self._cap).tanh() * self._cap  # Gemma 2

    @torch.no_grad()
    def _exact(self, at: "HookPoint") -> bool:
        run = self._lm.run(torch.arange(4).clamp_max(self._lm.d_vocab - 1)[None], read=[at])
        assert run.logits is not None, "a pass without stop_at has logits"
        return torch.equal(self._unembedded(run.acts[at]), run.logits)


def mean_kl(h_clean: Float[Tensor, "n d"], h: Float[Tensor, "n d"], logits: Callable[[Tensor], Tensor], chunk: int) -> Float[Tensor, ""]:
    """KL(p_clean || p) = sum_v p_clean (log p_clean - log p), in nats, mean over n rows; p = softmax(logits(h)).

    The gradient for h is found chunk by chunk along with the value, so that a few times chunk * d_vocab numbers exist at a time.
    """
    return _MeanKL.apply(h, h_clean, logits, chunk)


class _MeanKL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, h_clean: Tensor, logits: Callable[[Tensor], Tensor], chunk: int) -> Tensor:
        total, gradients = h.new_zeros((), dtype=torch.float32), []
        for part, part_clean in zip(h.split(chunk), h_clean.split(chunk), strict=True):
            log_p = logits(part_clean).float().log_softmax(-1)
            with torch.enable_grad():
                part = part.detach().requires_grad_(ctx.needs_input_grad[0])
                log_q = logits(part).float().log_softmax(-1)
                kl = (log_p.exp() * (log_p - log_q)).sum()
            if ctx.needs_input_grad[0]:
                gradients.append(torch.autograd.grad(kl, part)[0])
            total += kl.detach()
        ctx.save_for_backward(torch.cat(gradients) / len(h) if gradients else None)
        return total / len(h)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return upstream.to(gradient.dtype) * gradient, None, None, None


def _final_norm(lm: "LanguageModel") -> "HookPoint | None":
    """The hook point of the final norm's output, by its module path; None where the model says too little."""
    norm = lm.final_norm
    try:
        _ = lm.unembedding
    except UnknownModel:
        return None
    path = next((name for name, module in lm.hf.named_modules() if module is norm), None) if norm is not None else None
    return lm.resolve(path) if path else None
