"""SAEs of the bundled model over seeds and sparsities: the numbers of docs/results.md.

    python benchmarks/bundled.py --sae batch_topk --k 8 12 16 --seeds 0 1 2
    python benchmarks/bundled.py --sae relu --l1 2 4 8 --tokens 4e6 --model path/to/model --text path/to/text --piece 4096

Each setting is a run (kept in --runs, continued and not made twice); prints a line for it and appends it to results/bundled.jsonl.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import torch

from saescope.disk import read_json
from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig, run
from saescope.training.config import TrainConfig

METRICS = ("fidelity.delta_ce", "fidelity.recovered.zero", "fidelity.recovered.mean", "reconstruction.fvu", "sparsity.l0", "sparsity.dead")
LABELS = ("arabic", "hebrew", "hangul", "dna", "base64")


def settings(args: argparse.Namespace) -> list[RunConfig]:
    option = "k" if args.sae != "relu" else "l1"
    return [
        RunConfig(
            model=ModelConfig(model=args.model),
            text=TextConfig(text=args.text, piece=args.piece),
            at=args.at,
            sae=SAEConfig(sae=args.sae, d_sae=args.d_sae, **{option: value}),
            train=TrainConfig(tokens=int(args.tokens), seed=seed, lr=args.lr),
            label_tokens=args.label_tokens,
        )
        for value, seed in itertools.product(args.k if option == "k" else args.l1, args.seeds)
    ]


def measured(cfg: RunConfig, folder: Path) -> dict[str, object]:
    start = time.monotonic()
    outcome = run(cfg, folder)
    result = outcome.result
    assert result is not None
    line = {
        "run": folder.name, "tokens": cfg.train.tokens, "lr": cfg.train.lr, "seed": cfg.train.seed,
        **{key: result.value("sae", key) for key in METRICS}, "dead_tokens": result.metric("sae", "sparsity.dead").n,
        "minutes": round((time.monotonic() - start) / 60, 2), "threads": torch.get_num_threads(),
    }  # fmt: skip
    report = folder / "features" / "concepts" / "result.json"
    if report.exists():
        said = read_json(report, missing="")
        line["rows"] = {name: {key: row[key] for key in ("purity", "monosemantic", "n_measured")} for name, row in said["rows"].items()}
        line["labels"] = {label["label"]: label for label in said["labels"] if label["label"] in LABELS}
    return line


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--text", default="babel")
    parser.add_argument("--piece", type=int)
    parser.add_argument("--at", default="blocks.0.mlp_post")
    parser.add_argument("--sae", default="batch_topk")
    parser.add_argument("--d-sae", type=int, default=4096)
    parser.add_argument("--k", type=int, nargs="+", default=[16])
    parser.add_argument("--l1", type=float, nargs="+", default=[5.0])
    parser.add_argument("--lr", type=float)
    parser.add_argument("--tokens", type=float, default=2e6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--label-tokens", type=int, default=500_000)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args()
    out = Path(__file__).parent / "results" / "bundled.jsonl"
    for cfg in settings(args):
        value = cfg.sae.k if cfg.sae.k is not None else cfg.sae.l1
        name = f"{Path(args.model).name}-{args.sae}-{value:g}-{args.tokens:g}-{cfg.train.seed}"
        line = json.dumps(measured(cfg, args.runs / name))
        print(line, flush=True)
        with out.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
