"""Steps of training per second, ours beside the fastest trainers there are, on one machine, by turns.

    python -m venv peers && peers/bin/pip install -r benchmarks/peers.txt
    python benchmarks/training.py --peers peers/bin/python                       # d_in 768, d_sae 12,288, batches of 4,096, k 32
    python benchmarks/training.py --peers peers/bin/python --shape 512 4096 8192 32
    python benchmarks/training.py --arch topk --rounds 3                         # ours alone, against the encoder's matrix product

Each contestant is a process with its library's own trainer (training_worker.py), all on the same data. In every round each does a few
steps while the others wait; the first of them is not counted. Medians over all rounds, and the least and the most. Writes
benchmarks/results/training.json and prints a table. Whole steps: loss, clipping, optimizer, norms, counters, a record of each step.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from contest import Contestant, by_turns, machine, milliseconds, start

HERE = Path(__file__).parent
ARCHITECTURES = ("topk", "batch_topk", "relu", "gated", "jumprelu", "matryoshka")
VARIANTS = {"compiled": ("auto", "auto"), "torch": ("torch", "auto"), "torch fp32": ("torch", "fp32")}
"""Ours: which kernels (SAESCOPE_KERNELS) and which precision."""
PEERS = {arch: (("saelens", arch, ""), ("dictionary_learning", arch, "")) for arch in ARCHITECTURES}
PEERS["topk"] += (("saelens", "topk", "bf16"), ("sparsify", "topk", ""), ("sparsify", "groupmax", ""))
NOT_THE_SAME = ("saelens bf16", "sparsify groupmax")
"""Extra rows: another precision, another activation."""


def contest(arch: str, shape: dict[str, int], args: argparse.Namespace) -> list[Contestant]:
    """Every contestant of one architecture, timed by turns."""

    def worker(name: str, python: str, library: str, other: str, kernels: str = "auto", precision: str = "") -> Contestant:
        arguments = [library, other, json.dumps(shape)]
        return start(name, python, "training_worker.py", arguments, threads=args.threads, SAESCOPE_KERNELS=kernels, PRECISION=precision)

    ours = [worker(f"saescope {name}", sys.executable, "saescope", arch, *VARIANTS[name]) for name in args.variants]
    peers = [
        worker(f"{library} {note or (other if other != arch else '')}".strip(), args.peers, library, other, precision=note)
        for library, other, note in (PEERS[arch] if args.peers else ())
    ]
    everyone = [worker("gemm", sys.executable, "gemm", arch), *ours, *peers]
    for contestant in everyone:
        contestant.run(args.warm_steps if contestant in ours else 2, counted=False)
    by_turns(everyone, args.rounds, args.steps)
    return everyone


def rows(arch: str, shape: dict[str, int], everyone: list[Contestant]) -> list[dict[str, Any]]:
    """What the results file says of an architecture: a row for each variant of ours."""
    rate = {c.name: shape["batch"] / c.median for c in everyone}
    gemm, *others = everyone
    peers = {c.name: round(rate[c.name]) for c in others if not c.name.startswith("saescope")}
    best = max((value for name, value in peers.items() if name not in NOT_THE_SAME), default=None)
    found = []
    for c in others:
        if not c.name.startswith("saescope"):
            continue
        precision = "fp32" if "fp32" in c.name else "bf16 selects, fp32 decides"
        found.append({
            "arch": arch, "kernels": c.name.split()[1], "tokens_per_s": round(rate[c.name]), "precision": precision, "peers": peers,
            "ratio_to_best_peer": round(rate[c.name] / best, 2) if best else None,
            "step_over_gemm": round(c.median / gemm.median, 3),
            "peak_mb": c.said["peak_mb"], "peers_peak_mb": {p.name: p.said["peak_mb"] for p in others if p.name in peers},
            "step_ms": milliseconds(c.seconds),
            **{name: c.said[name] for name in ("l0", "pairs", "window", "sparse") if name in c.said},
        })  # fmt: skip
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Markdown of the results file, a table for each shape."""
    out = []
    for shape in {json.dumps(row["shape"]): row["shape"] for row in found}.values():
        out += [
            f"d_in {shape['d_in']}, d_sae {shape['d_sae']:,}, batches of {shape['batch']:,}, k {shape['k']}:", "",
            "| SAE | kernels, precision | tokens/s | step / GEMM | best peer: tokens/s | times | peak MB (peers) | L0, pairs |",
            "|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for row in sorted((row for row in found if row["shape"] == shape), key=lambda row: ARCHITECTURES.index(row["arch"])):
            same = {name: rate for name, rate in row["peers"].items() if name not in NOT_THE_SAME}
            best = max(same, key=lambda name: same[name]) if same else None
            peaks = row["peers_peak_mb"].values()
            out.append(
                f"| {row['arch']} | {row['kernels']}, {row['precision']} | {row['tokens_per_s']:,} | {row['step_over_gemm']:.2f} | "
                f"{f'{best}: {same[best]:,}' if best else '–'} | {row['ratio_to_best_peer'] or '–'} | {row['peak_mb']:,} "
                f"({f'{min(peaks):,}–{max(peaks):,}' if peaks else '–'}) | {row.get('l0', 0):.0f}, {100 * row.get('pairs', 0):.1f} % |"
            )
        out.append("")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=ARCHITECTURES)
    parser.add_argument("--shape", nargs=4, type=int, default=[768, 12288, 4096, 32], metavar=("D_IN", "D_SAE", "BATCH", "K"))
    parser.add_argument("--peers", help="the interpreter that has the other libraries; without it: ours alone")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, help="of ours")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="counted steps of each round")
    parser.add_argument("--warm-steps", type=int, default=40, help="of ours before the first round, until a penalty has its L0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "training.json")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what the results file holds")
    args = parser.parse_args()
    if args.table:
        print(table(json.loads(args.out.read_text())["rows"]))
        return

    shape = dict(zip(("d_in", "d_sae", "batch", "k"), args.shape, strict=True))
    for arch in args.arch:
        found = [row | {"shape": shape} for row in rows(arch, shape, contest(arch, shape, args))]
        for row in found:
            print(json.dumps(row), flush=True)
        before = json.loads(args.out.read_text())["rows"] if args.out.is_file() else []
        kept = [row for row in before if row["shape"] != shape or row["arch"] != arch]
        args.out.write_text(json.dumps({"machine": machine(args.threads), "rows": kept + found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
