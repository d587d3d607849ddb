"""ReLU + L1 SAE of Towards Monosemanticity."""

from dataclasses import dataclass

from saescope.errors import ConfigError
from saescope.saes.base import SAE, TrainState
from saescope.saes.losses import l1, mse
from saescope.saes.sparse_ops import DenseCode
from saescope.shapes import Float, Tensor


@dataclass(frozen=True, kw_only=True)
class ReLUConfig:
    l1: float = 5.0
    """Sparsity coefficient lambda, for mse summed over d and inputs of unit mean square per coordinate. 0: a plain autoencoder."""

    def __post_init__(self):
        if not self.l1 >= 0:
            raise ConfigError(f"l1={self.l1} weighs the sparsity term. It must be at least 0: set --l1.")


class ReLUSAE(SAE):
    """SAE whose sparsity is penalised.

        latents = relu((x - b_dec) @ W_enc + b_enc)
        x_hat   = latents @ W_dec + b_dec,   ||W_dec[i]|| = 1
        loss    = mse + lambda mean_n sum_i latents_i

    b_dec is tied: it is subtracted before the encoder and added after the decoder.
    Source: Bricken et al. 2023, "Towards Monosemanticity". We differ: mse is a sum over d, theirs a mean.
    """

    architecture = "relu"
    unit_decoder = True
    cfg: ReLUConfig

    def __init__(self, d_in: int, d_sae: int, cfg: ReLUConfig | None = None, *, seed: int | None = 0):
        super().__init__(d_in, d_sae, cfg or ReLUConfig(), seed=seed)

    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        return pre_acts.relu()

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        latents_NF = self.activate(self.pre_acts(x))
        error_ND = target - self.decode(latents_NF)
        state.observed.update(DenseCode(latents_NF).observed())
        return {"mse": mse(error_ND), "sparsity": state.sparsity_scale * self.cfg.l1 * l1(latents_NF)}
