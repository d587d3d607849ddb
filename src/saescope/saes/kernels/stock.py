"""The operations by stock PyTorch, on any device."""

import warnings

import torch
from torch.nn.functional import embedding_bag

from saescope.saes.kernels import ROUNDING, Chosen, group_size
from saescope.shapes import Bool, Float, Int, Tensor

CHUNK = 2**16
"""Pairs multiplied at a time where torch lacks the operator."""


class Stock:
    """The operations by torch's own operators. Other backends override those that they have something faster for; each gives the
    same numbers up to the order of its sums."""

    name = "torch"

    def choose(
        self,
        scores: Float[Tensor, "rows d_sae"],
        x: Float[Tensor, "rows d_in"],
        W: Float[Tensor, "d_sae d_in"],
        bias: Float[Tensor, " d_sae"],
        floor: Float[Tensor, " d_sae"],
        per_token: int | None,
        slack: Float[Tensor, " rows"] | None,
    ) -> Chosen:
        """The pre-activations above their latent's floor and among their row's `per_token` largest.

        They are scores + bias; with a slack, scores are bf16 products that may be off by it and by rounding, which decide only
        what is looked at: <x, W[latent]> + bias is then computed anew for every pair that may belong.
        """
        scores = scores.add_(bias)
        row, latent = _above(scores, floor, slack) if per_token is None else _near_the_largest(scores, per_token, slack)
        value, certain = scores[row, latent].to(bias.dtype), True
        if slack is not None:
            rough, value = value, self.row_products(x, W, row, latent) + bias[latent]
            certain = not bool(((value - rough).abs() > _allowed(rough, slack[row])).any())
        kept = value > floor[latent]
        if per_token is not None:
            kept &= _largest_of_each(row, torch.where(kept, value, -torch.inf), per_token, len(x))
        index = kept.nonzero().squeeze(1)
        return Chosen(row[index], latent[index], value[index], certain)

    def row_products(
        self, a: Float[Tensor, "n d"], b: Float[Tensor, "d_sae d"], token: Int[Tensor, " m"], latent: Int[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        """<a[token], b[latent]> of every pair, for distinct pairs sorted by the first."""
        if a.device.type == "cpu":  # <a[n], b[i]> at the places of a sparse matrix
            starts = torch.searchsorted(token, torch.arange(len(a) + 1))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
                places = torch.sparse_csr_tensor(starts, latent, a.new_zeros(len(token)), (len(a), len(b)), check_invariants=False)
                return torch.sparse.sampled_addmm(places, a.contiguous(), b.T, beta=0.0).values()
        return torch.cat([(a[t] * b[i]).sum(1) for t, i in zip(token.split(CHUNK), latent.split(CHUNK), strict=True)])

    def row_sums(
        self, index: Int[Tensor, " m"], weights: Float[Tensor, " m"], rows: Float[Tensor, "n d"], starts: Int[Tensor, " segments"]
    ) -> Float[Tensor, "segments d"]:
        """The sum of weight * rows[index] over each segment of the pairs; segment s begins at starts[s], where s - 1 ends."""
        return embedding_bag(index, rows, starts, mode="sum", per_sample_weights=weights)

    def decode_gradients(
        self,
        g: Float[Tensor, "n d"],
        W_dec: Float[Tensor, "d_sae d"],
        values: Float[Tensor, " m"],
        token: Int[Tensor, " m"],
        latent: Int[Tensor, " m"],
        starts: Int[Tensor, " d_sae"],
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, "d_sae d"]]:
        """Of x_hat[n] = sum of value * W_dec[latent], whose gradient is g: that of the values and that of W_dec. Pairs are sorted by
        latent, those of latent i begin at starts[i]."""
        return self.row_products(W_dec, g, latent, token), self.row_sums(token, values, g, starts)

    def project_rows_(self, g: Float[Tensor, "n d"], w: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """g_i -= <g_i, w_i> w_i; returns ||g_i||^2 after it."""
        g.addcmul_(torch.linalg.vecdot(g, w)[:, None], w, value=-1)
        return g.norm(dim=1).square()

    def normalise_rows_(self, w: Float[Tensor, "n d"]) -> None:
        """w_i /= ||w_i||; a row of zeros stays."""
        w.div_(w.norm(dim=1, keepdim=True).clamp_min(torch.finfo(w.dtype).tiny))


STOCK = Stock()


def _allowed(rough: Tensor, slack: Tensor) -> Tensor:
    """What a score may be off by: its row's slack, and its own rounding."""
    return slack + ROUNDING * rough.abs()


def _above(
    scores: Float[Tensor, "rows d_sae"], floor: Float[Tensor, " d_sae"], slack: Float[Tensor, " rows"] | None
) -> tuple[Tensor, Tensor]:
    """Pairs that may be above the floor."""
    if slack is None:
        row, latent = (scores > floor).nonzero(as_tuple=True)
        return row, latent
    cut = _below(floor - ROUNDING * floor.abs() - slack.max(), scores.dtype)
    row, latent = (scores >= cut).nonzero(as_tuple=True)
    index = (scores[row, latent] >= floor[latent] - _allowed(floor[latent], slack[row])).nonzero().squeeze(1)
    return row[index], latent[index]


def _near_the_largest(scores: Float[Tensor, "rows d_sae"], k: int, slack: Float[Tensor, " rows"] | None) -> tuple[Tensor, Tensor]:
    """Pairs that may be among the k largest of their row: k maxima of groups reach a bound, which the k-th largest then does too."""
    rows, d_sae = scores.shape
    n_groups = d_sae // group_size(d_sae, k)
    groups = scores.view(rows, -1, n_groups).transpose(1, 2)  # member j of group g is latent g + j n_groups: quick maxima
    most = groups.amax(2)
    bound = most.topk(min(k, n_groups), dim=1, sorted=False).values.amin(1)
    if slack is not None:
        # k pre-activations are at least the bound less its error: a score below that by its own error is none of the k largest.
        wide = bound.to(slack.dtype)
        bound = _below(wide - 2 * _allowed(wide, slack), scores.dtype)
    row, group = (most >= bound[:, None]).nonzero(as_tuple=True)
    pick, member = (groups[row, group] >= bound[row][:, None]).nonzero(as_tuple=True)
    return row[pick], group[pick] + member * n_groups


def _largest_of_each(row: Int[Tensor, " m"], value: Float[Tensor, " m"], k: int, rows: int) -> Bool[Tensor, " m"]:
    """Whether a value is among the k largest of its row; of equal ones as many as fit."""
    counts = torch.bincount(row, minlength=rows)
    most = int(counts.max()) if len(row) else 0
    if most <= k:
        return torch.ones_like(row, dtype=torch.bool)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    table = value.new_full((rows, most), -torch.inf)
    table[row, place] = value
    return torch.zeros_like(table, dtype=torch.bool).scatter_(1, table.topk(k, dim=1, sorted=False).indices, True)[row, place]


def _below(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Rounded down to the type of the scores."""
    if values.dtype == dtype:
        return values
    return torch.nextafter(values.to(dtype), torch.full((), -torch.inf, dtype=dtype, device=values.device))
