"""A whole training against another library's, to the same FVU on held-out rows: how many times sooner ours is there.

    python benchmarks/quality.py --prepare
    python benchmarks/equal_quality.py --peers peers/bin/python

The rows, the measure and the trainers are those of benchmarks/quality.py (stories3M, blocks.3.resid_post, 3,072 latents). The other library
trains on 1M rows as documented: sparsify for TopK, the fastest there is; dictionary_learning for ReLU. Then ours trains with its defaults,
its schedule laid over 1/8 of the rows, 2/8, ... until FVU is at most theirs (ReLU: at the L0 that they ended with, within 5 %).
Seconds are of the training alone, dense steps and start included. Writes benchmarks/results/equal_quality.json.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from contest import machine
from quality import train_ours, write_ours
from quality_common import TOKENS, Job, Rows, measure, read_results

HERE = Path(__file__).parent
PEERS = {"topk": ("sparsify", 32), "relu": ("dictionary_learning", 32)}


def theirs(python: str, library: str, sae: str, l0: int, cache: Path, threads: int) -> dict[str, Any]:
    """The line of results of one training by a peer."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.jsonl"
        words = ["--library", library, "--setting", "documented", "--sae", sae, "--l0", str(l0), "--seed", "0", "--cache", str(cache)]
        command = [python, str(HERE / "quality_peers.py"), *words, "--results", str(out), "--threads", str(threads), "--minutes", "0.1"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return read_results(out)[0]


def ours(sae: str, l0: float, rows: Rows, wanted: float) -> list[dict[str, Any]]:
    """Trainings of ours, each an eighth of the rows longer than the one before, until one is as good."""
    found = []
    for eighths in range(1, 9):
        tokens = TOKENS * eighths // 8
        job, begun = Job("saescope", "default", sae, l0, 0), time.perf_counter()  # type: ignore[arg-type]
        trained = train_ours(job, rows, [], steps=tokens // 1024)
        seconds = time.perf_counter() - begun
        scores = measure(trained, rows.held_out)
        found.append({"tokens": tokens, "seconds": round(seconds, 1), "fvu": round(scores["fvu"], 4), "l0": round(scores["l0"], 1)})
        print(sae, found[-1], flush=True)
        if scores["fvu"] <= wanted and scores["l0"] <= 1.05 * l0:
            break
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="the interpreter that has the other libraries")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/saescope-quality"), help="folder of benchmarks/quality.py --prepare")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    write_ours(args.cache)
    rows, lines = Rows(args.cache), []
    for sae, (library, l0) in PEERS.items():
        peer = theirs(args.peers, library, sae, l0, args.cache, args.threads)
        print(sae, library, {name: peer[name] for name in ("seconds", "fvu", "measured_l0", "silent")}, flush=True)
        runs = ours(sae, l0 if sae == "topk" else peer["measured_l0"], rows, peer["fvu"])
        best = runs[-1]
        sooner = round(peer["seconds"] / best["seconds"], 1) if best["fvu"] <= peer["fvu"] else None
        lines.append({
            "sae": sae, "peer": library, "peer_seconds": peer["seconds"], "peer_fvu": peer["fvu"], "peer_l0": peer["measured_l0"],
            "ours": runs, "times_sooner": sooner,
        })  # fmt: skip
        print(json.dumps(lines[-1]), flush=True)
    result = {"machine": machine(args.threads), "rows": lines}
    (HERE / "results" / "equal_quality.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
