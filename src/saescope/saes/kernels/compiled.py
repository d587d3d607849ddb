"""The operations by loops in C: built on first use where there is a compiler, and kept in the user's cache folder."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import torch

from saescope.saes.kernels import Chosen, group_size
from saescope.saes.kernels.stock import Stock
from saescope.shapes import Float, Int, Tensor

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = (
    "-O3", "-march=native", "-mprefer-vector-width=512", "-fopenmp", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math",
    "-fno-signed-zeros", "-ffinite-math-only", "-fassociative-math",
)  # fmt: skip
SECONDS = 60
ROOM = 8
"""A row holds at most a part of this size of all latents: with more, steps are dense (training/path.py)."""


class Compiled(Stock):
    """The operations for float32 on the CPU."""

    name = "compiled"

    def __init__(self, library: ctypes.CDLL):
        self.library = library

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
        rows, d_sae = scores.shape
        k = min(per_token or 0, d_sae)
        room = min(d_sae, 8 * k if k else max(64, d_sae // ROOM))
        function = self.library.choose_fp32 if scores.dtype == torch.float32 else self.library.choose_bf16
        inputs = [tensor.contiguous() for tensor in (scores, x, W, bias, floor)]
        sizes = (rows, d_sae, x.shape[1], k, group_size(d_sae, k))
        uncertain, counts = torch.empty(rows, dtype=torch.int8), torch.empty(rows, dtype=torch.int64)
        while True:
            latents, values = torch.empty(rows, room, dtype=torch.int64), torch.empty(rows, room)
            outputs = (latents, values, counts, uncertain)
            function(*map(_at, inputs), _at(slack), *map(_long, sizes), _long(room), *map(_at, outputs))
            most = int(counts.max())
            if most <= room:
                break
            room = most
        ends = counts.cumsum(0)
        m = int(ends[-1]) if rows else 0
        row, latent, value = torch.empty(m, dtype=torch.int64), torch.empty(m, dtype=torch.int64), torch.empty(m)
        starts = ends - counts
        self.library.flatten(*map(_at, (latents, values, counts, starts)), _long(rows), _long(room), *map(_at, (row, latent, value)))
        return Chosen(row, latent, value, not uncertain.any())

    def row_products(
        self, a: Float[Tensor, "n d"], b: Float[Tensor, "d_sae d"], token: Int[Tensor, " m"], latent: Int[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        a, b, token, latent, out = a.contiguous(), b.contiguous(), token.contiguous(), latent.contiguous(), torch.empty(len(token))
        self.library.row_products(_at(a), _at(b), _at(token), _at(latent), _long(len(token)), _long(a.shape[1]), _at(out))
        return out

    def decode_gradients(
        self,
        g: Float[Tensor, "n d"],
        W_dec: Float[Tensor, "d_sae d"],
        values: Float[Tensor, " m"],
        token: Int[Tensor, " m"],
        latent: Int[Tensor, " m"],
        starts: Int[Tensor, " d_sae"],
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, "d_sae d"]]:
        (d_sae, d), m = W_dec.shape, len(values)
        inputs = [tensor.contiguous() for tensor in (g, W_dec, token, values, starts)]
        dvalues, dW = torch.empty(m), torch.empty(d_sae, d)
        self.library.decode_gradients(*map(_at, inputs), _long(d_sae), _long(m), _long(d), _at(dvalues), _at(dW))
        return dvalues, dW

    def project_rows_(self, g: Float[Tensor, "n d"], w: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        assert g.stride() == w.stride() == (w.shape[1], 1), "rows of a decoder lie one after the other"
        squares = torch.empty(len(g))
        self.library.project_rows(_at(g), _at(w), _long(len(g)), _long(g.shape[1]), _at(squares))
        return squares

    def normalise_rows_(self, w: Float[Tensor, "n d"]) -> None:
        assert w.is_contiguous(), "rows of a decoder lie one after the other"
        self.library.normalise_rows(_at(w), _long(len(w)), _long(w.shape[1]))


def load() -> Compiled | None:
    """The compiled operations; None without a compiler, or with a warning where it fails."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or platform.system() != "Linux":
        return None
    try:
        return Compiled(ctypes.CDLL(str(_built(compiler))))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        warnings.warn(f"the C kernels could not be built with {compiler}, steps use PyTorch's: {said.strip()[:300]}", stacklevel=2)
        return None


def _built(compiler: str) -> Path:
    """The library of this source for this processor, built if the cache has it not."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saescope"
    kind = hashlib.sha256(SOURCE.read_bytes() + " ".join((compiler, *FLAGS, _processor(), platform.libc_ver()[1])).encode())
    path = folder / f"kernels-{kind.hexdigest()[:16]}.so"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            made = Path(temporary) / path.name
            subprocess.run([compiler, *FLAGS, "-o", made, SOURCE], check=True, capture_output=True, text=True, timeout=SECONDS)
            made.replace(path)
    return path


def _processor() -> str:
    """What -march=native means here."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


def _at(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def _long(number: int) -> ctypes.c_long:
    return ctypes.c_long(number)
