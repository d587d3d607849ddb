"""Matryoshka SAE: nested dictionaries in one, the smaller of which must do without the rest."""

from dataclasses import dataclass, replace

import torch

from saescope.errors import ConfigError
from saescope.saes.base import TrainState
from saescope.saes.batch_topk import BatchTopKConfig, BatchTopKSAE
from saescope.saes.code import observed
from saescope.saes.losses import auxk, mse, variance
from saescope.saes.options import check_whole, flag
from saescope.shapes import Bool, Float, Tensor


@dataclass(frozen=True, kw_only=True)
class MatryoshkaConfig(BatchTopKConfig):
    widths: tuple[int, ...] | None = None
    """Latents of each nested dictionary, increasing, the last all of them. None: a 16th, an 8th, a quarter, half, all."""

    def __post_init__(self):
        super().__post_init__()
        if self.widths is None:
            return
        for width in self.widths:
            check_whole("widths", width)
        if not self.widths or any(a >= b for a, b in zip(self.widths, self.widths[1:], strict=False)):
            raise ConfigError(f"widths={list(self.widths)} was asked for. They must increase up to d_sae: set {flag('widths')}.")


class MatryoshkaSAE(BatchTopKSAE):
    """BatchTopK SAE whose first widths[m] latents reconstruct x by themselves, for every m.

        x_hat_m = latents[:widths[m]] @ W_dec[:widths[m]] + b_dec
        loss    = mean_m mse_m + alpha auxk,     mse_m = mean_n ||target - x_hat_m||^2

    latents are those of BatchTopKSAE, chosen once over all of d_sae; auxk is that of the whole dictionary. So early latents
    stay general, and are not absorbed by later, special ones. With one width it is BatchTopKSAE.
    Source: Bussmann et al. 2025, "Learning multi-level features with Matryoshka sparse autoencoders". We differ: mean over widths,
    not sum; mse is a sum over d.
    """

    architecture = "matryoshka"
    cfg: MatryoshkaConfig

    def __init__(self, d_in: int, d_sae: int, cfg: MatryoshkaConfig | None = None, *, d_out: int | None = None, seed: int | None = 0):
        cfg = cfg or MatryoshkaConfig()
        widths = tuple(cfg.widths or sorted({d_sae // 2**m for m in range(5)} - {0}))
        super().__init__(d_in, d_sae, replace(cfg, widths=widths), d_out=d_out, seed=seed)
        if widths[-1] != d_sae:
            raise ConfigError(f"widths={list(widths)} end at {widths[-1]}, but d_sae={d_sae}. The last must be d_sae: {flag('widths')}.")
        self.widths = widths

    def loss(self, x: Float[Tensor, "n d_in"], target: Float[Tensor, "n d_out"], state: TrainState) -> dict[str, Float[Tensor, ""]]:
        self.check_rows(x, target)
        latents = self.code(x, state)
        x_hat_GND = latents.decode_blocks(self.W_dec, (0, *self.widths[:-1])).cumsum(0) + self.b_dec
        errors = [target - x_hat_ND for x_hat_ND in x_hat_GND]
        mse_G = torch.stack([mse(error_ND) for error_ND in errors])
        state.observed.update(observed(latents) | {"squared_error": mse_G[-1].detach()})
        v_target = variance(target)
        fvu_G = torch.where(v_target > 0, mse_G.detach() / v_target, 0)  # records hold no NaN
        state.observed.update(self._by_prefix(fvu_G, latents.counts / len(x), state.dead))
        return {"mse": mse_G.mean(), "auxk": self.cfg.alpha * auxk(self, x, errors[-1], target, state.dead)}

    def _by_prefix(
        self, fvu: Float[Tensor, " prefixes"], density: Float[Tensor, " d_sae"], dead: Bool[Tensor, " d_sae"]
    ) -> dict[str, Tensor]:
        """FVU, L0 and dead share of each nested dictionary but the last, whose own are recorded anyway."""
        l0_F, n_dead_F = density.cumsum(0), dead.cumsum(0)
        facts: dict[str, Tensor] = {}
        for m, width in enumerate(self.widths[:-1]):
            facts |= {f"fvu_{width}": fvu[m], f"l0_{width}": l0_F[width - 1], f"dead_{width}": n_dead_F[width - 1] / width}
        return facts
