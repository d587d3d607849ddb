"""The operations by Triton on a GPU: rows gathered and summed where they lie, by offsets, without atomics, so always in one order.

row_products       a program per block of pairs:     out[p] = <a[token[p]], b[latent[p]]>
row_sums           a program per segment and block of columns: out[s] = sum over its pairs of weights[p] rows[index[p]]
project_rows_      a program per row:                 g -= <g, w> w, and ||g||^2
normalise_rows_    a program per row:                 w /= ||w||
"""

import torch
import triton
import triton.language as tl

from saescope.saes.kernels.stock import Stock
from saescope.shapes import Float, Int, Tensor

PAIRS, COLUMNS = 32, 128
"""Pairs and columns that a program holds at a time."""
WIDE = 1024
"""Most columns of a row that a program of row_sums or of a row holds at a time."""


class Triton(Stock):
    """The operations on CUDA; the choice of pairs is PyTorch's."""

    name = "triton"

    def row_products(
        self, a: Float[Tensor, "n d"], b: Float[Tensor, "d_sae d"], token: Int[Tensor, " m"], latent: Int[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        a, b, m = a.contiguous(), b.contiguous(), len(token)
        out = a.new_empty(m)
        if m:
            _products[(triton.cdiv(m, PAIRS),)](a, b, token, latent, out, m, a.shape[1], PAIRS, COLUMNS)
        return out

    def row_sums(
        self, index: Int[Tensor, " m"], weights: Float[Tensor, " m"], rows: Float[Tensor, "n d"], starts: Int[Tensor, " segments"]
    ) -> Float[Tensor, "segments d"]:
        rows, d = rows.contiguous(), rows.shape[1]
        out = rows.new_zeros(len(starts), d)
        if len(index) and len(starts):
            block = min(WIDE, triton.next_power_of_2(d))
            _sums[(len(starts), triton.cdiv(d, block))](index, weights, rows, starts, out, len(index), len(starts), d, block)
        return out

    def project_rows_(self, g: Float[Tensor, "n d"], w: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        assert g.stride() == w.stride() == (w.shape[1], 1), "rows of a decoder lie one after the other"
        squares = g.new_empty(len(g))
        _project[(len(g),)](g, w, squares, g.shape[1], min(WIDE, triton.next_power_of_2(g.shape[1])))
        return squares

    def normalise_rows_(self, w: Float[Tensor, "n d"]) -> None:
        assert w.is_contiguous(), "rows of a decoder lie one after the other"
        _normalise[(len(w),)](w, w.shape[1], torch.finfo(w.dtype).tiny, min(WIDE, triton.next_power_of_2(w.shape[1])))


@triton.jit
def _products(a, b, token, latent, out, m, d, PAIRS: tl.constexpr, COLUMNS: tl.constexpr):
    pair = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    inside = pair < m
    row_a = tl.load(token + pair, mask=inside, other=0).to(tl.int64) * d
    row_b = tl.load(latent + pair, mask=inside, other=0).to(tl.int64) * d
    total = tl.zeros((PAIRS,), dtype=out.dtype.element_ty)
    for first in range(0, d, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        mask = inside[:, None] & (column < d)[None, :]
        u = tl.load(a + row_a[:, None] + column[None, :], mask=mask, other=0.0)
        v = tl.load(b + row_b[:, None] + column[None, :], mask=mask, other=0.0)
        total += tl.sum(u * v, axis=1)
    tl.store(out + pair, total, mask=inside)


@triton.jit
def _sums(index, weights, rows, starts, out, m, segments, d, BLOCK: tl.constexpr):
    segment = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = column < d
    first = tl.load(starts + segment)
    last = tl.load(starts + segment + 1, mask=segment + 1 < segments, other=m)
    total = tl.zeros((BLOCK,), dtype=out.dtype.element_ty)
    for pair in range(first, last):
        row = tl.load(index + pair).to(tl.int64) * d
        total += tl.load(weights + pair) * tl.load(rows + row + column, mask=mask, other=0.0)
    tl.store(out + segment * d + column, total, mask=mask)


@triton.jit
def _project(g, w, squares, d, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    along = tl.zeros((BLOCK,), dtype=g.dtype.element_ty)
    for first in range(0, d, BLOCK):
        column = first + tl.arange(0, BLOCK)
        u = tl.load(g + row * d + column, mask=column < d, other=0.0)
        along += u * tl.load(w + row * d + column, mask=column < d, other=0.0)
    part = tl.sum(along, axis=0)
    square = tl.zeros((BLOCK,), dtype=g.dtype.element_ty)
    for first in range(0, d, BLOCK):
        column = first + tl.arange(0, BLOCK)
        u = tl.load(g + row * d + column, mask=column < d, other=0.0)
        u -= part * tl.load(w + row * d + column, mask=column < d, other=0.0)
        tl.store(g + row * d + column, u, mask=column < d)
        square += u * u
    tl.store(squares + row, tl.sum(square, axis=0))


@triton.jit
def _normalise(w, d, tiny, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    square = tl.zeros((BLOCK,), dtype=w.dtype.element_ty)
    for first in range(0, d, BLOCK):
        column = first + tl.arange(0, BLOCK)
        u = tl.load(w + row * d + column, mask=column < d, other=0.0)
        square += u * u
    norm = tl.maximum(tl.sqrt(tl.sum(square, axis=0)), tiny)
    for first in range(0, d, BLOCK):
        column = first + tl.arange(0, BLOCK)
        u = tl.load(w + row * d + column, mask=column < d, other=0.0)
        tl.store(w + row * d + column, u / norm, mask=column < d)
