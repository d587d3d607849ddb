"""Where sparse steps stop paying: loss and gradients on the pairs and on the whole matrix, at several shares of pairs, by turns.

    python benchmarks/crossover.py [--arch relu jumprelu] [--shape 768 12288 2048]

The bias (JumpReLU: the threshold) is set so that the wanted share of pairs matters. Prints a table of sparse time / dense time with
each backend, and writes benchmarks/results/crossover.json; `training/path.py` holds what was read off.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from saescope.saes.base import SAE, TrainState
from saescope.saes.kernels import using
from saescope.saes.registry import build
from saescope.training.allocator import keep_freed_memory
from saescope.training.path import fastest_precision

SHARES = (0.003, 0.01, 0.03, 0.06, 0.09, 0.12, 0.16, 0.2, 0.3)


def opened(arch: str, d_in: int, d_sae: int, x: torch.Tensor, share: float) -> SAE:
    """A fresh SAE of which this share of pairs matters."""
    sae = build(arch, d_in, d_sae, {})
    z = sae.pre_acts(x[:256]).detach()
    sae.shut_(z.flatten().kthvalue(round((1 - share) * z.numel())).values.item())
    if arch == "jumprelu":
        sae.shut_(sae.theta[0].item() + sae.cfg.bandwidth / 2)
    return sae


def seconds(sae: SAE, x: torch.Tensor, sparse: bool) -> float:
    state = TrainState(0, 0, 1.0, torch.zeros(sae.d_sae, dtype=torch.bool), sparse, fastest_precision(x.device))
    sae.zero_grad()
    start = time.perf_counter()
    torch.stack(list(sae.loss(x, x, state).values())).sum().backward()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=["relu", "jumprelu", "gated"])
    parser.add_argument("--shape", nargs=3, type=int, default=[768, 12288, 2048], metavar=("D_IN", "D_SAE", "BATCH"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "crossover.json")
    args = parser.parse_args()
    d_in, d_sae, batch = args.shape
    x, rows = torch.randn(batch, d_in, generator=torch.Generator().manual_seed(0)), []
    with keep_freed_memory():
        for arch in args.arch:
            for share in SHARES:
                sae = opened(arch, d_in, d_sae, x, share)
                taken: dict[str, list[float]] = {"dense": [], "compiled": [], "torch": []}
                for _ in range(args.rounds + 1):
                    taken["dense"].append(seconds(sae, x, sparse=False))
                    for name in ("compiled", "torch"):
                        with using(name):
                            taken[name].append(seconds(sae, x, sparse=True))
                medians = {name: statistics.median(times[1:]) for name, times in taken.items()}
                row = {"arch": arch, "share": share, **{f"{name}_ms": round(1000 * value, 1) for name, value in medians.items()}}
                row |= {f"{name}_over_dense": round(medians[name] / medians["dense"], 2) for name in ("compiled", "torch")}
                rows.append(row)
                print(json.dumps(row), flush=True)
    result = {"shape": dict(zip(("d_in", "d_sae", "batch"), args.shape, strict=True)), "threads": torch.get_num_threads(), "rows": rows}
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
