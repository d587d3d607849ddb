"""A plain autoencoder, for comparison: as few latents as one likes, and nothing that makes them sparse."""

from dataclasses import dataclass

from saescope.saes.base import SAE, TrainState
from saescope.saes.code import observed
from saescope.saes.losses import mse
from saescope.shapes import Float, Tensor


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """No options."""


class Autoencoder(SAE):
    """Autoencoder without a sparsity term; undercomplete where d_sae <= d_in.

        latents = relu((x - b_dec) @ W_enc + b_enc)
        x_hat   = latents @ W_dec + b_dec,   ||W_dec[i]|| = 1
        loss    = mse

    For comparison: what as many numbers can hold that need not be sparse.
    """

    architecture = "autoencoder"
    cfg: AutoencoderConfig

    def __init__(self, d_in: int, d_sae: int, cfg: AutoencoderConfig | None = None, *, d_out: int | None = None, seed: int | None = 0):
        super().__init__(d_in, d_sae, cfg or AutoencoderConfig(), d_out=d_out, seed=seed)

    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        return pre_acts.relu()

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        self.check_rows(x, target)
        z = self.code(x, state)
        latents = z.holding(self.activate(z.values))
        state.observed.update(observed(latents))
        return {"mse": mse(target - (latents.decode(self.W_dec) + self.b_dec))}
