"""BatchTopK SAE: k latents per token on average, shared out over the batch as tokens need them."""

from dataclasses import dataclass

import torch

from saescope.saes.activation_functions import batch_topk, threshold
from saescope.saes.base import SAE, TrainState, check_k
from saescope.saes.code import Code, DenseCode, SparseCode, observed
from saescope.saes.losses import auxk, mse
from saescope.saes.options import check_number, check_whole
from saescope.saes.select import Bar
from saescope.shapes import Float, Tensor

CROWDED = 4
"""Times k: what no token is expected to keep of a batch."""


@dataclass(frozen=True, kw_only=True)
class BatchTopKConfig:
    k: int = 32
    """Latents kept per token, on average."""
    alpha: float = 1 / 32
    """Weight of the term that revives dead latents; 0 switches it off."""

    def __post_init__(self):
        check_whole("k", self.k)
        check_number("alpha", self.alpha)


class BatchTopKSAE(SAE):
    """SAE that keeps the k * n largest pre-activations of a batch of n tokens; at inference, those above a threshold.

        training:   latents = relu(z) where z is among the k * n largest of the batch,  z = (x - b_dec) @ W_enc + b_enc
        inference:  latents = z H(z - tau)
        x_hat = latents @ W_dec + b_dec,   loss = mse + alpha auxk

    A fresh SAE has tau = 0 (a ReLU); training keeps a running mean of the least kept value there, and
    `training.threshold.calibrate_threshold` sets the final tau at which L0 = k.
    Source: Bussmann et al. 2024, "BatchTopK sparse autoencoders". We differ: mse is a sum over d, tau is calibrated afterwards.
    """

    architecture = "batch_topk"
    unit_decoder = True
    thresholds = ("tau",)
    cfg: BatchTopKConfig
    tau: Float[Tensor, ""]

    def __init__(self, d_in: int, d_sae: int, cfg: BatchTopKConfig | None = None, *, d_out: int | None = None, seed: int | None = 0):
        super().__init__(d_in, d_sae, cfg or BatchTopKConfig(), d_out=d_out, seed=seed)
        check_k(self.cfg.k, d_sae)
        self.register_buffer("tau", torch.zeros(()))

    def activate(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        return threshold(pre_acts, self.tau)

    def scores(self, pre_acts: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_sae"]:
        """What the k * n largest are taken of, and what tau cuts."""
        return pre_acts

    def training_latents(self, pre_acts: Float[Tensor, "n d_sae"]) -> Float[Tensor, "n d_sae"]:
        return batch_topk(pre_acts, self.cfg.k)

    def share(self, x: Float[Tensor, "n d_in"]) -> float:
        return self.cfg.k / self.d_sae

    def code(self, x: Float[Tensor, "n d_in"], state: TrainState) -> Code:
        """The latents of `training_latents`.

        A floor somewhat below tau, the running mean of the least value kept, spares the sort of the whole batch; before there is
        one, at most some of each token are looked at. Where that leaves too few pairs, or cuts a token short, it is widened: the
        result does not depend on it.
        """
        if not state.sparse:
            return DenseCode(self.training_latents(self.pre_acts(x)))
        wanted, floor, per_token = self.cfg.k * len(x), 0.9 * self.tau.item(), None if self.tau > 0 else CROWDED * self.cfg.k
        while True:
            latents = SparseCode.of(x, self.encoder, Bar(floor, per_token, in_all=wanted), state.precision)
            if per_token is not None and int(latents.pairs.per_token.max()) >= per_token:
                per_token = 2 * per_token if 2 * per_token < self.d_sae else None
            elif len(latents.values) >= wanted or floor <= 0:
                return latents
            else:
                floor = 0.7 * floor if floor > 0.1 * self.tau else 0.0

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        self.check_rows(x, target)
        latents = self.code(x, state)
        error_ND = target - (latents.decode(self.W_dec) + self.b_dec)
        state.observed.update(observed(latents))
        return {"mse": mse(error_ND), "auxk": self.cfg.alpha * auxk(self, x, error_ND, target, state.dead)}
