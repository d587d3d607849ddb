"""TopK SAE: sparsity chosen, not penalised."""

from dataclasses import dataclass

from saescope.saes.activation_functions import topk
from saescope.saes.base import SAE, TrainState, check_k
from saescope.saes.code import Code, DenseCode, observed
from saescope.saes.losses import auxk, mse
from saescope.saes.options import check_number, check_whole
from saescope.saes.select import Bar
from saescope.shapes import Float, Tensor


@dataclass(frozen=True, kw_only=True)
class TopKConfig:
    k: int = 32
    """Latents kept per token."""
    alpha: float = 1 / 32
    """Weight of the term that revives dead latents; 0 switches it off."""

    def __post_init__(self):
        check_whole("k", self.k)
        check_number("alpha", self.alpha)


class TopKSAE(SAE):
    """SAE that keeps each token's k largest pre-activations.

        latents = TopK(relu((x - b_dec) @ W_enc + b_enc), k)
        x_hat   = latents @ W_dec + b_dec
        loss    = mse + alpha auxk

    L0 is at most k, and less where fewer than k pre-activations are positive, because the relu comes first.
    Source: Gao et al. 2024, "Scaling and evaluating sparse autoencoders". We differ: mse is a sum over d, theirs is normalised.
    """

    architecture = "topk"
    unit_decoder = True
    cfg: TopKConfig

    def __init__(self, d_in: int, d_sae: int, cfg: TopKConfig | None = None, *, d_out: int | None = None, seed: int | None = 0):
        super().__init__(d_in, d_sae, cfg or TopKConfig(), d_out=d_out, seed=seed)
        check_k(self.cfg.k, d_sae)

    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        return topk(pre_acts, self.cfg.k)

    @property
    def bar(self) -> Bar:
        return Bar(per_token=self.cfg.k)

    def share(self, x: Float[Tensor, "n d_in"]) -> float:
        return self.cfg.k / self.d_sae

    def code(self, x: Float[Tensor, "n d_in"], state: TrainState) -> Code:
        """The latents themselves: pre-activations that are kept are positive."""
        return super().code(x, state) if state.sparse else DenseCode(self.training_latents(self.pre_acts(x)))

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        self.check_rows(x, target)
        latents = self.code(x, state)
        error_ND = target - (latents.decode(self.W_dec) + self.b_dec)
        state.observed.update(observed(latents))
        return {"mse": mse(error_ND), "auxk": self.cfg.alpha * auxk(self, x, error_ND, target, state.dead)}
