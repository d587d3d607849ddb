"""The plot of the Gated paper: ReLU, Gated, TopK and JumpReLU on L0 against loss recovered, for any model.

    python benchmarks/pareto_figures.py bundled
    python benchmarks/pareto_figures.py path/to/stories3M --text path/to/TinyStories.txt --at blocks.3.resid_post --d-sae 3072
    python benchmarks/pareto_figures.py bundled --l0 8 16 --tokens 2e5 --seeds 0          # a minute

Every SAE is trained on one pass through the model (`saescope.sweep`), into runs/pareto-NAME, and measured on held-out text. Writes
benchmarks/results/pareto_NAME.json and docs/images/pareto-NAME.svg, and prints the table for the docs. Called again, it continues.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from saescope import GridConfig, SweepConfig, TrainConfig, sweep
from saescope.cli._reporter import Terminal
from saescope.evals.pareto import settings, to_json
from saescope.pipeline import ModelConfig, TextConfig
from saescope.render.numbers import number, percent

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images"


def config(args: argparse.Namespace) -> SweepConfig:
    grid = GridConfig(
        sae=tuple(args.sae), l0=tuple(args.l0), seeds=tuple(args.seeds), d_sae=(args.d_sae,) if args.d_sae else (), set=tuple(args.set),
        lr_of=tuple(args.lr_of),
    )  # fmt: skip
    return SweepConfig(
        model=ModelConfig(model=args.model), text=TextConfig(text=args.text, documents=args.documents), at=args.at, grid=grid,
        train=TrainConfig(tokens=int(args.tokens), batch_tokens=args.batch_tokens), silent_tokens=int(args.silent_tokens), label_tokens=0,
    )  # fmt: skip


def lines(points) -> list[str]:
    """The table for the docs: means over seeds, and the span of delta CE."""
    said = ["| SAE | L0 | loss recovered (zero) | delta CE | FVU | silent |", "|---|---|---|---|---|---|"]
    for setting in settings(points):
        spread = setting.spread("delta_ce")
        span = "" if spread is None or len(setting.points) == 1 else f" ({number(spread.low)} .. {number(spread.high)})"
        cells = [number(setting.mean(name)) for name in ("l0", "recovered_zero", "delta_ce", "fvu")]
        said.append(f"| {setting.name} | {cells[0]} | {cells[1]} | {cells[2]}{span} | {cells[3]} | {percent(setting.mean('silent'))} |")
    return said


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="bundled")
    parser.add_argument("--name", default="", help="of the files; default: the model's")
    parser.add_argument("--text", default="")
    parser.add_argument("--documents", type=int)
    parser.add_argument("--at", default="")
    parser.add_argument("--sae", nargs="+", default=["relu", "gated", "topk", "jumprelu"])
    parser.add_argument("--l0", type=float, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--d-sae", type=int)
    parser.add_argument("--set", nargs="*", default=[], help="ARCHITECTURE.NAME=VALUE")
    parser.add_argument("--lr-of", nargs="*", default=[], help="ARCHITECTURE=NUMBER")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--tokens", type=float, default=2e6)
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--silent-tokens", type=float, default=5e5)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args()

    cfg, name, start = config(args), args.name or Path(args.model).name, time.monotonic()
    outcome = sweep(cfg, args.runs / f"pareto-{name}", reporter=Terminal())
    said = to_json(outcome.points) | {"minutes": round((time.monotonic() - start) / 60, 1), "threads": torch.get_num_threads()}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"pareto_{name}.json").write_text(json.dumps(said, indent=1) + "\n")
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / f"pareto-{name}.svg").write_text((outcome.folder.path / "pareto.svg").read_text())
    print("\n".join(lines(outcome.points)))


if __name__ == "__main__":
    main()
