"""The sweep behind the defaults of `TrainConfig`: held-out FVU over learning rate, batch and decay, on one cache of activations.

    python benchmarks/defaults.py CACHE HELD_OUT --lr 1.2e-3 2e-3 --batch-tokens 1024 2048 --decay 0.5 0.8

CACHE is a folder kept by `saescope run --cache CACHE`, HELD_OUT a .safetensors file of held-out rows. FVU is at the threshold at which
the mean L0 on training rows is k. Prints a line for each setting and appends it to benchmarks/results/defaults.jsonl.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import torch

from saescope import BatchTopKConfig, BatchTopKSAE, CachedSource, TensorSource, TrainConfig, train
from saescope.training.threshold import calibrate_threshold

CALIBRATION_ROWS = 100_000


def held_out_fvu(sae: BatchTopKSAE, rows: torch.Tensor) -> tuple[float, float]:
    """FVU and mean L0 over all rows."""
    mean, error, total, active = rows.mean(0), 0.0, 0.0, 0
    for x in rows.split(8192):
        latents = sae.encode(x)
        error += (x - sae.decode(latents)).square().sum().item()
        total += (x - mean).square().sum().item()
        active += int((latents > 0).sum())
    return error / total, active / len(rows)


def one(source: CachedSource, held_out: torch.Tensor, d_sae: int, k: int, cfg: TrainConfig) -> dict[str, object]:
    """Train with these settings and measure."""
    start = time.monotonic()
    sae = BatchTopKSAE(held_out.shape[1], d_sae, BatchTopKConfig(k=k), seed=cfg.seed)
    train(sae, source, cfg)
    calibrate_threshold(sae, (batch.rows.float() for batch in source.batches(CALIBRATION_ROWS, seed=cfg.seed)))
    fvu, l0 = held_out_fvu(sae, held_out)
    return {
        "at": [str(point) for point in source.slices], "d_sae": d_sae, "k": k, "lr": cfg.lr, "batch_tokens": cfg.batch_tokens,
        "decay": cfg.decay, "tokens": cfg.tokens, "seed": cfg.seed, "fvu": round(fvu, 5), "l0": round(l0, 2),
        "minutes": round((time.monotonic() - start) / 60, 2), "threads": torch.get_num_threads(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cache", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--d-sae", type=int, default=4096)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--tokens", type=float, default=6e6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, nargs="+", default=[1.2e-3, 2e-3])
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--decay", type=float, nargs="+", default=[0.5, 0.8])
    args = parser.parse_args()

    source, held_out = CachedSource(args.cache), TensorSource(args.held_out).rows.float()
    out = Path(__file__).parent / "results" / "defaults.jsonl"
    out.parent.mkdir(exist_ok=True)
    for lr, batch_tokens, decay in itertools.product(args.lr, args.batch_tokens, args.decay):
        cfg = TrainConfig(tokens=int(args.tokens), batch_tokens=batch_tokens, lr=lr, decay=decay, seed=args.seed)
        line = json.dumps(one(source, held_out, args.d_sae, args.k, cfg))
        print(line, flush=True)
        with out.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
