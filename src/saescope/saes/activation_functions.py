"""What turns pre-activations into latents."""

import torch

from saescope.shapes import Bool, Float, Tensor


def topk(pre_acts: Float[Tensor, "*n d_sae"], k: int) -> Float[Tensor, "*n d_sae"]:
    """relu of the k largest entries of each row, zero elsewhere: L0 is at most k, less where fewer are positive."""
    if k >= pre_acts.shape[-1]:  # every entry is kept: AuxK over a few dead latents, at each step
        return pre_acts.relu()
    kept = pre_acts.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(pre_acts).scatter(-1, kept.indices, kept.values.relu())


def threshold(pre_acts: Float[Tensor, "*n d_sae"], tau: Float[Tensor, ""]) -> Float[Tensor, "*n d_sae"]:
    """relu of the entries above tau: z H(z - tau), with no negative latents for a negative tau."""
    return torch.where(pre_acts > tau, pre_acts, 0).relu()


def batch_topk(pre_acts: Float[Tensor, "n d_sae"], k: int) -> Float[Tensor, "n d_sae"]:
    """relu of the k * n largest entries of the whole batch (zeros never count), zero elsewhere; no limit per row."""
    return torch.where(pre_acts >= batch_topk_cut(pre_acts.detach(), k), pre_acts, 0).relu()


def batch_topk_cut(pre_acts: Float[Tensor, "n d_sae"], k: int) -> Float[Tensor, ""]:
    """The (k * n)-th largest entry of the batch, exactly, without sorting all of it.

    Each row offers its m largest. Their (k * n)-th largest is the answer unless some row is kept whole, whose next entry
    might then belong too: so that row must offer more, and m doubles. Starts at m = 4k.
    """
    n, d_sae = pre_acts.shape
    m = min(4 * k, d_sae)
    while True:
        offered_NM = pre_acts.topk(m, dim=1, sorted=False).values
        cut = _kth_largest(offered_NM, k * n)
        if m == d_sae or not (offered_NM.amin(1) >= cut).any():
            return cut
        m = min(2 * m, d_sae)


def _kth_largest(values: Tensor, k: int) -> Float[Tensor, ""]:
    return values.flatten().kthvalue(values.numel() - k + 1).values


def gated(h: Tensor, r_mag: Tensor, b_gate: Tensor, b_mag: Tensor) -> Tensor:
    """H(h + b_gate) relu(exp(r_mag) h + b_mag), where the vectors meet h; H passes no gradient."""
    return torch.where(h + b_gate > 0, (r_mag.exp() * h + b_mag).relu(), 0)


def jumprelu(
    pre_acts: Float[Tensor, "*n d_sae"], theta: Float[Tensor, " d_sae"], bandwidth: float, *, ste_to_input: bool = False
) -> Float[Tensor, "*n d_sae"]:
    """z H(z - theta_i), with a gradient for theta by a window of width `bandwidth` around it:

        d/dz = H(z - theta)        d/dtheta_i = -(theta_i / eps) sum_n rect((z - theta_i) / eps)

    rect(u) is 1 where |u| < 1/2. `ste_to_input` adds (theta / eps) rect to d/dz: then the jump counts as a ramp for z too.
    Source: Rajamanoharan et al. 2024, "Jumping ahead", eq. 11. We differ: theta itself is the parameter, not its logarithm.
    """
    return _Jump.apply(pre_acts, theta, bandwidth, ste_to_input, True)


def step(
    pre_acts: Float[Tensor, "*n d_sae"], theta: Float[Tensor, " d_sae"], bandwidth: float, *, ste_to_input: bool = False
) -> Float[Tensor, "*n d_sae"]:
    """H(z - theta_i), whose sum over i is L0, with a gradient for theta by the same window:

        d/dz = 0        d/dtheta_i = -(1 / eps) sum_n rect((z - theta_i) / eps)

    `ste_to_input` adds (1 / eps) rect to d/dz. Takes z, not latents: a z just below its theta is inside the window too.
    Source: Rajamanoharan et al. 2024, eq. 12.
    """
    return _Jump.apply(pre_acts, theta, bandwidth, ste_to_input, False)


def in_window(pre_acts: Float[Tensor, "*n d_sae"], theta: Float[Tensor, " d_sae"], bandwidth: float) -> Bool[Tensor, "*n d_sae"]:
    """Which pre-activations give their theta a gradient: |z - theta| < bandwidth / 2."""
    return (pre_acts - theta).abs() < bandwidth / 2


class _Jump(torch.autograd.Function):
    """z H(z - theta) if `keeps_value`, else H(z - theta): the height of the jump at z = theta is theta, else 1."""

    @staticmethod
    def forward(ctx, pre_acts, theta, bandwidth, ste_to_input, keeps_value):
        ctx.save_for_backward(pre_acts, theta)
        ctx.bandwidth, ctx.ste_to_input, ctx.keeps_value = bandwidth, ste_to_input, keeps_value
        above = pre_acts > theta
        return torch.where(above, pre_acts, 0) if keeps_value else above.to(pre_acts.dtype)

    @staticmethod
    def backward(ctx, *gradients):
        (g,) = gradients
        pre_acts, theta = ctx.saved_tensors
        height = theta if ctx.keeps_value else torch.ones_like(theta)
        through_jump = torch.where(in_window(pre_acts, theta, ctx.bandwidth), g * (height / ctx.bandwidth), 0)
        d_pre_acts = torch.where(pre_acts > theta, g, 0) if ctx.keeps_value else torch.zeros_like(g)
        if ctx.ste_to_input:
            d_pre_acts = d_pre_acts + through_jump
        return d_pre_acts, -through_jump.sum_to_size(theta.shape), None, None, None
