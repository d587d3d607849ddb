"""Loss terms as functions. Every mean is over tokens, every squared error is summed over d."""

from typing import TYPE_CHECKING

from saescope.saes.activation_functions import topk
from saescope.shapes import Bool, Float, Tensor

if TYPE_CHECKING:
    from saescope.saes.base import SAE


def mse(error: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """mean_n sum_d error^2. Other libraries take the mean over d too: their coefficients differ by d."""
    return error.square().sum(-1).mean()


def l1(latents: Float[Tensor, "n d_sae"]) -> Float[Tensor, ""]:
    """mean_n sum_i |f_i|."""
    return latents.abs().sum(-1).mean()


def variance(y: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """mean_n ||y - mean_n y||^2."""
    return mse(y - y.mean(0))


def auxk(
    sae: "SAE", x: Float[Tensor, "n d_in"], error: Float[Tensor, "n d"], target: Float[Tensor, "n d"], dead: Bool[Tensor, " d_sae"]
) -> Float[Tensor, ""]:
    """What dead latents could still explain of the error, as a term that revives them.

        auxk  = sg(V_target / V_e) mean_n ||sg(e) - e_aux||^2
        e_aux = f_aux @ W_dec (no b_dec),   f_aux = relu of the k_aux largest pre_acts among dead latents

    k_aux = min(d / 2, number of dead). Zero when nothing is dead or nothing is left to explain. The gradient reaches dead
    latents only (e is detached), and only their columns are computed.
    Source: Gao et al. 2024, section A.2; theirs is normalised, ours is in units of mse: (MSE/var + alpha nMSE) times var.
    """
    rows = dead.nonzero().squeeze(1)
    error = error.detach()
    v_error = variance(error)
    if len(rows) == 0 or v_error == 0:
        return error.new_zeros(())
    pre_NU = x @ sae.W_enc[:, rows] + sae.encoder_bias()[rows]
    k_aux = min(max(1, error.shape[1] // 2), len(rows))
    e_aux_ND = topk(pre_NU, k_aux) @ sae.W_dec[rows]
    return (variance(target) / v_error).detach() * mse(error - e_aux_ND)
