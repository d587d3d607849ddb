"""What turns pre-activations into latents."""

import torch

from saescope.shapes import Float, Tensor


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
