"""Which latents are dead: counters in tokens, never in steps or batches."""

import torch

from saescope.shapes import Bool, Int, Tensor


class DeadCounter:
    """Tokens since each latent last fired in training. A latent silent for `after` tokens is dead."""

    def __init__(self, d_sae: int, after: int, device: torch.device | str = "cpu"):
        self.after = after
        self.silent_tokens: Int[Tensor, " d_sae"] = torch.zeros(d_sae, dtype=torch.int64, device=device)

    def update(self, fired: Bool[Tensor, " d_sae"], n_tokens: int) -> None:
        self.silent_tokens += n_tokens
        self.silent_tokens.masked_fill_(fired, 0)

    @property
    def dead(self) -> Bool[Tensor, " d_sae"]:
        return self.silent_tokens >= self.after
