"""Loss terms as functions. Every mean is over tokens, every squared error is summed over d."""

from typing import TYPE_CHECKING

from saescope.saes.activation_functions import topk
from saescope.shapes import Bool, Float, Int, Tensor

if TYPE_CHECKING:
    from saescope.saes.base import SAE
    from saescope.saes.code import Code


def mse(error: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """mean_n sum_d error^2. Other libraries take the mean over d too: their coefficients differ by d."""
    return error.square().sum(-1).mean()


def l1(latents: "Code", norms: Float[Tensor, " d_sae"] | None = None) -> Float[Tensor, " n"]:
    """sum_i f_i ||d_i|| of each token, for latents >= 0; without norms, rows of W_dec are unit.

    With norms, multiplying d_i and dividing f_i by the same number changes nothing.
    """
    return latents.per_token(norms)


def target_l0(l0: Float[Tensor, " n"], wanted: float, d: int) -> Float[Tensor, ""]:
    """d (L0 / wanted - 1)^2, L0 the mean over the batch. The factor d makes a coefficient mean the same at every width of x.

    Source: Rajamanoharan et al. 2024, appendix, as dictionary_learning trains it; theirs has no d, at E||x||^2 = 1.
    """
    return d * (l0.mean() / wanted - 1).square()


def target_l0_per_token(l0: Float[Tensor, " n"], wanted: float) -> Float[Tensor, ""]:
    """(2 / wanted) mean_n (L0_n - wanted)^2: every token is to have its share, not only the mean."""
    return 2 / wanted * (l0 - wanted).square().mean()


def density_quadratic(active: "Code") -> Float[Tensor, ""]:
    """sum_i phi_i (1 + phi_i / 0.01), phi_i = mean_n active_ni: L0, with dense latents paying more than their share."""
    density_F = active.per_latent() / active.n
    return (density_F * (1 + density_F / 0.01)).sum()


def pre_act(sae: "SAE", x: Float[Tensor, "n d_in"], theta: Float[Tensor, " d_sae"], dead: Bool[Tensor, " d_sae"]) -> Float[Tensor, ""]:
    """mean_n sum_{i dead} relu(theta_i - z_i) ||d_i||: pulls dead latents up to their thresholds.

    Source: Anthropic, Circuits Updates January 2025; over dead latents only, as SAELens has it.
    """
    rows = dead.nonzero().squeeze(1)
    return ((theta[rows] - pre_acts_of(sae, x, rows)).relu() @ sae.decoder_norms()[rows]).mean()


def pre_acts_of(sae: "SAE", x: Float[Tensor, "n d_in"], latents: Int[Tensor, " m"]) -> Float[Tensor, "n m"]:
    """The pre-activations of some latents; the others are not computed."""
    encoder = sae.encoder
    return (x if encoder.centre is None else x - encoder.centre) @ encoder.W_enc[:, latents] + encoder.bias[latents]


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
    rows, error = dead.nonzero().squeeze(1), error.detach()
    if len(rows) == 0 or (v_error := variance(error)) == 0:
        return error.new_zeros(())
    pre_NU = pre_acts_of(sae, x, rows)
    k_aux = min(max(1, error.shape[1] // 2), len(rows))
    e_aux_ND = topk(pre_NU, k_aux) @ sae.W_dec[rows]
    return (variance(target) / v_error).detach() * mse(error - e_aux_ND)
