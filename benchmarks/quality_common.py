"""What the three trainers of benchmarks/quality.py share: the grid, the rows, one measure for all, and the file of results.

Imports torch and safetensors only, so that it also runs where the other libraries are installed and this one is not.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

Tensor = torch.Tensor
RESULTS = Path(__file__).parent / "results" / "quality.jsonl"
D_SAE = 3072
TOKENS = 1_000_000
HELD_OUT = 200_000
CALIBRATION = 65_536
"""Training rows on which the threshold of BatchTopK and Matryoshka is set so that the mean L0 is k, for every library alike."""
L0S = (32, 16, 64)
"""The first of a penalised architecture finds the scale of its coefficient."""
ARCHITECTURES = ("relu", "gated", "topk", "batch_topk", "jumprelu", "matryoshka")
LIBRARIES = ("saescope", "saelens", "dictionary_learning")
SETTINGS = {
    "saescope": ("default",),
    "saelens": ("documented", "matched"),
    "dictionary_learning": ("documented", "matched"),
    "sparsify": ("documented",),
}
MEASURE_ROWS = 4096
ESTIMATE_STEPS = 12
UNTIMED_STEPS = 4
CLOSE_ENOUGH = math.log(1.25)
TRIES = 2


@dataclass(frozen=True)
class Job:
    """One training of the grid."""

    library: str
    setting: str
    sae: str
    l0: int
    seed: int

    @property
    def curve(self) -> tuple[str, str, str]:
        """What its coefficient may be learnt from: trainings of other L0s and seeds."""
        return self.library, self.setting, self.sae


@dataclass(frozen=True)
class Trained:
    """What a trainer hands over: the inference function on raw activations, and facts for the record."""

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    facts: dict[str, Any]


class Rows:
    """The cached activations, mapped from the file, and our own settings, which "matched" gives the others.

    `ours`: lr by architecture, batch_tokens, and as shares of the run: warmup, decay, sparsity_warmup, dead.
    """

    def __init__(self, cache: Path):
        self.ours: dict[str, Any] = json.loads((cache / "ours.json").read_text())
        with safe_open(cache / "rows.safetensors", "pt") as file:
            self.train, self.held_out = file.get_tensor("train"), file.get_tensor("held_out")


class Batches:
    """Training batches in an order drawn from the seed, without end, float32; notes when each was asked for."""

    def __init__(self, rows: Tensor, batch_tokens: int, seed: int):
        self.rows, self.batch_tokens, self.asked = rows, batch_tokens, [0.0][:0]
        self.order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))

    def __iter__(self) -> Iterator[Tensor]:
        first = 0
        while True:
            self.asked.append(time.perf_counter())
            index = torch.arange(first, first + self.batch_tokens) % len(self.rows)
            yield self.rows[self.order[index]].float()
            first += self.batch_tokens

    def tokens_per_s(self, steps: int) -> float:
        """Of all but the first of the last `steps` steps."""
        last = self.asked[-(steps - UNTIMED_STEPS) :]
        return (len(last) - 1) * self.batch_tokens / (last[-1] - last[0])


@torch.no_grad()
def measure(trained: Trained, rows: Tensor) -> dict[str, float]:
    """FVU, mean L0, and the share of latents that fire on none of the rows: for every library this one function."""
    mean, error, total, active = rows.double().mean(0).float(), 0.0, 0.0, 0
    fired: Tensor | bool = False
    for part in rows.split(MEASURE_ROWS):
        x = part.float()
        latents = trained.encode(x)
        error += (x - trained.decode(latents)).square().sum(dtype=torch.float64).item()
        total += (x - mean).square().sum(dtype=torch.float64).item()
        on = latents != 0
        active += int(on.sum())
        fired = on.any(0) | fired
    assert isinstance(fired, Tensor)
    return {"fvu": error / total, "l0": active / len(rows), "silent": 1 - fired.double().mean().item()}


@torch.no_grad()
def threshold_for(encode: Callable[[Tensor], Tensor], rows: Tensor, k: int) -> float:
    """The value that k latents per row exceed on average; `encode` gives all positive pre-activations."""
    kept = [torch.empty(0)]
    for part in rows[:CALIBRATION].split(MEASURE_ROWS):
        values = encode(part.float()).flatten()
        kept.append(values.topk(4 * k * len(part)).values)  # no chunk has four times its share
    values = torch.cat(kept)
    return values.topk(k * min(CALIBRATION, len(rows))).values[-1].item()


def pending(args: argparse.Namespace, library: str) -> Iterator[Job]:
    """The jobs of the grid that the file of results lacks, one after the other: what was appended meanwhile counts."""
    until = time.monotonic() + 60 * args.minutes
    for seed in args.seed:
        for setting in SETTINGS[library]:
            for sae in args.sae:
                for l0 in args.l0:
                    job = Job(library, setting, sae, l0, seed)
                    while setting in args.setting and not finished(job, read_results(args.results)):
                        if time.monotonic() > until:
                            return
                        yield job


def finished(job: Job, results: Sequence[dict[str, Any]]) -> bool:
    """Whether the job stands in the results; where a coefficient was searched: an L0 within 25 %, or two tries."""
    curve = [line for line in results if _curve(line) == job.curve and line["seed"] == job.seed]
    own = [line for line in curve if line["l0"] == job.l0]
    if not any(line["coefficient"] for line in curve):
        return bool(own)
    return len(own) >= TRIES or any(abs(math.log(max(line["measured_l0"], 1e-3) / job.l0)) < CLOSE_ENOUGH for line in curve)


def coefficient_for(job: Job, first: float, results: Sequence[dict[str, Any]]) -> float:
    """A penalty's coefficient for the wanted L0, from the trainings that stand: log L0 taken as linear in log coefficient."""
    known = [
        (math.log(line["coefficient"]), math.log(max(line["measured_l0"], 0.1)))
        for line in results
        if _curve(line) == job.curve and line["coefficient"]
    ]
    if not known:
        return first
    wanted = math.log(job.l0)
    known.sort(key=lambda point: abs(point[1] - wanted))
    (c, l0), slope = known[0], -1.0
    for c_other, l0_other in known[1:]:
        if abs(c_other - c) > 0.05:
            slope = min(-0.3, max(-3.0, (l0_other - l0) / (c_other - c)))
            break
    return math.exp(c + max(-2.5, min(2.5, (wanted - l0) / slope)))


def _curve(line: dict[str, Any]) -> tuple[str, str, str]:
    return line["library"], line["setting"], line["sae"]


def read_results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def run_jobs(args: argparse.Namespace, library: str, train: Callable[..., Trained]) -> None:
    """Train and measure what is pending, a line of results for each. `train(job, rows, results, steps=None)`."""
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # as our loop does: Adam moments of silent latents would slow the others down
    rows = Rows(args.cache)
    for job in pending(args, library):
        start = time.perf_counter()
        trained = train(job, rows, read_results(args.results))
        seconds = time.perf_counter() - start
        scores = measure(trained, rows.held_out)
        line = {
            **asdict(job), **trained.facts, "fvu": round(scores["fvu"], 5), "measured_l0": round(scores["l0"], 3),
            "silent": round(scores["silent"], 5), "silent_tokens": len(rows.held_out), "tokens": len(rows.train), "d_sae": D_SAE,
            "seconds": round(seconds, 1), "threads": args.threads,
        }  # fmt: skip
        print(json.dumps(line), flush=True)
        args.results.parent.mkdir(exist_ok=True)
        with args.results.open("a") as file:
            file.write(json.dumps(line) + "\n")


def estimate(args: argparse.Namespace, library: str, train: Callable[..., Trained]) -> None:
    """Time a few steps of each architecture and print how long the trainings that are missing will take."""
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # as our loop does: Adam moments of silent latents would slow the others down
    rows = Rows(args.cache)
    waiting: dict[tuple[str, str], int] = {}
    results = read_results(args.results)
    for setting in SETTINGS[library]:
        for sae in args.sae:
            jobs = [Job(library, setting, sae, l0, seed) for seed in args.seed for l0 in args.l0 if setting in args.setting]
            waiting[setting, sae] = sum(not finished(job, results) for job in jobs)
    total = 0.0
    for (setting, sae), n in waiting.items():
        if not n:
            continue
        trained = train(Job(library, setting, sae, args.l0[0], 0), rows, [], steps=ESTIMATE_STEPS)
        start = time.perf_counter()
        measure(trained, rows.held_out[: 4 * MEASURE_ROWS])
        measuring = (time.perf_counter() - start) * len(rows.held_out) / (4 * MEASURE_ROWS)
        seconds = TOKENS / trained.facts["tokens_per_s"] + measuring
        total += n * seconds
        rate = f"{trained.facts['tokens_per_s']:,.0f} tokens/s, {seconds:.0f} s with {measuring:.0f} s of measuring"
        print(f"{library} {setting} {sae}: {rate}, {n} trainings", flush=True)
    print(f"{library}: {total / 60:.0f} minutes for {sum(waiting.values())} trainings, searches of coefficients not counted", flush=True)


def parser(description: str) -> argparse.ArgumentParser:
    """The options of both scripts."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--library", nargs="+", choices=SETTINGS, default=list(LIBRARIES))
    p.add_argument("--setting", nargs="+", default=["default", "documented", "matched"])
    p.add_argument("--sae", nargs="+", default=list(ARCHITECTURES))
    p.add_argument("--l0", nargs="+", type=int, default=list(L0S))
    p.add_argument("--seed", nargs="+", type=int, default=[0, 1])
    p.add_argument("--cache", type=Path, default=Path("/tmp/saescope-quality"), help="folder of the cached activations")
    p.add_argument("--results", type=Path, default=RESULTS, help="file that gets a line per training")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--minutes", type=float, default=1e6, help="begin no training after so long")
    p.add_argument("--estimate", action="store_true", help="time a few steps of each, and print what the rest of the grid will take")
    return p
