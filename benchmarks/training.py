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
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ARCHITECTURES = ("topk", "batch_topk", "relu", "gated", "jumprelu", "matryoshka")
VARIANTS = {"compiled": ("auto", "auto"), "torch": ("torch", "auto"), "torch fp32": ("torch", "fp32")}
"""Ours: which kernels (SAESCOPE_KERNELS) and which precision."""
PEERS = {arch: (("saelens", arch, ""), ("dictionary_learning", arch, "")) for arch in ARCHITECTURES}
PEERS["topk"] += (("saelens", "topk", "bf16"), ("sparsify", "topk", ""), ("sparsify", "groupmax", ""))
NOT_THE_SAME = ("saelens bf16", "sparsify groupmax")
"""Extra rows: another precision, another activation."""


@dataclass
class Contestant:
    """A process that trains when it is told to."""

    name: str
    process: subprocess.Popen[str]
    seconds: list[float] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)

    def run(self, steps: int, *, counted: bool = True) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        self.said = self.answer()
        self.seconds += self.said.pop("seconds")[1:] if counted else []

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} stopped with exit code {self.process.wait()}: see above")
        return json.loads(line)

    def stop(self) -> None:
        self.process.communicate("\n")


def start(name: str, python: str, library: str, arch: str, shape: dict[str, int], threads: int, kernels: str, precision: str) -> Contestant:
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "SAESCOPE_KERNELS": kernels, "PRECISION": precision, "CUDA_VISIBLE_DEVICES": ""}
    command = [python, str(HERE / "training_worker.py"), library, arch, json.dumps(shape)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    contestant = Contestant(name, process)
    contestant.answer()  # it is ready
    return contestant


def contest(arch: str, shape: dict[str, int], args: argparse.Namespace) -> list[Contestant]:
    """Every contestant of one architecture, timed by turns."""
    ours = [
        start(f"saescope {name}", sys.executable, "saescope", arch, shape, args.threads, kernels, precision)
        for name, (kernels, precision) in VARIANTS.items()
        if name in args.variants
    ]
    named = [
        (f"{library} {note or (other if other != arch else '')}".strip(), library, other, note) for library, other, note in PEERS[arch]
    ]
    peers = (
        [start(name, args.peers, lib, other, shape, args.threads, "auto", note) for name, lib, other, note in named] if args.peers else []
    )
    everyone = [start("gemm", sys.executable, "gemm", arch, shape, args.threads, "auto", ""), *ours, *peers]
    for contestant in everyone:
        contestant.run(args.warm_steps if contestant in ours else 2, counted=False)
    for turn in range(args.rounds):
        for contestant in everyone if turn % 2 == 0 else reversed(everyone):
            contestant.run(args.steps + 1)
    for contestant in everyone:
        contestant.stop()
    return everyone


def rows(arch: str, shape: dict[str, int], everyone: list[Contestant]) -> list[dict[str, Any]]:
    """What the results file says of an architecture: a row for each variant of ours."""
    rate = {c.name: shape["batch"] / statistics.median(c.seconds) for c in everyone}
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
            "step_over_gemm": round(statistics.median(c.seconds) / statistics.median(gemm.seconds), 3),
            "peak_mb": c.said["peak_mb"], "peers_peak_mb": {p.name: p.said["peak_mb"] for p in others if p.name in peers},
            "step_ms": [round(1000 * f(c.seconds), 1) for f in (min, statistics.median, max)],
            **{name: c.said[name] for name in ("l0", "pairs", "window", "sparse") if name in c.said},
        })  # fmt: skip
    return found


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
    args = parser.parse_args()

    shape = dict(zip(("d_in", "d_sae", "batch", "k"), args.shape, strict=True))
    before = json.loads(args.out.read_text()) if args.out.is_file() else {"rows": []}
    found = []
    for arch in args.arch:
        found += [row | {"shape": shape} for row in rows(arch, shape, contest(arch, shape, args))]
        for row in found[-len(args.variants) :]:
            print(json.dumps(row), flush=True)
    kept = [row for row in before["rows"] if row["shape"] != shape or row["arch"] not in args.arch]
    machine = {"processor": _processor(), "threads": args.threads, "load": os.getloadavg()[0], "python": platform.python_version()}
    args.out.write_text(json.dumps({"machine": machine, "rows": kept + found}, indent=1) + "\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    )
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
