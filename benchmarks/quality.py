"""Quality at equal data: our trainings beside those of SAELens and dictionary_learning by their own trainers, on the same rows.

    python benchmarks/quality.py --prepare                                     # harvest the rows once: 1M to train on, 200,000 held out
    python benchmarks/quality.py --estimate --peers peers/bin/python           # 20 steps of each: how long the rest will take
    python benchmarks/quality.py --library saescope --sae topk --seed 0        # a slice; each training appends a line to
    python benchmarks/quality.py --peers peers/bin/python --minutes 10         #   results/quality.jsonl, and is not done again
    python benchmarks/quality.py --report                                      # results/quality.json and a table

Rows: stories3M, blocks.3.resid_post (192 wide), TinyStories; 3,072 latents; every training sees each of the 1M rows once, in an order
drawn from its seed. FVU, L0 and the share of latents that stay silent are measured by one function (`quality_common.measure`) on the
same 200,000 held-out rows with each library's own inference SAE. The threshold of BatchTopK and Matryoshka is set on 65,536 training
rows so that the mean L0 is k, for all alike. Ours are the defaults, with `l0` as the target of penalised architectures. The others
have no target: their coefficients are searched (`quality_common.coefficient_for`; two tries for each L0), beginning with the documented
one, and the report reads FVU off between their measured L0s (`quality_report.read_off`).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from quality_common import CALIBRATION, D_SAE, HELD_OUT, TOKENS, Job, Rows, Trained, estimate, parser, run_jobs
from quality_report import report

from saescope import Corpus, LanguageModel, StreamSource, TensorSource, TrainConfig, train
from saescope.saes.registry import build
from saescope.training.optimizer import default_lr
from saescope.training.threshold import calibrate_threshold

OURS: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "relu": ("relu", lambda l0: {"l0": l0}),
    "relu_april": ("relu", lambda l0: {"l0": l0, "decoder": "free"}),
    "gated": ("gated", lambda l0: {"l0": l0}),
    "topk": ("topk", lambda l0: {"k": l0}),
    "batch_topk": ("batch_topk", lambda l0: {"k": l0}),
    "jumprelu": ("jumprelu", lambda l0: {"l0": l0}),
    "matryoshka": ("matryoshka", lambda l0: {"k": l0}),
    "batch_topk_untied": ("batch_topk", lambda l0: {"k": l0}),
    "relu_untied": ("relu", lambda l0: {"l0": l0}),
}
"""Architecture and options by the name in the table; *_untied do not subtract b_dec before the encoder."""

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**35), "MALLOC_TOP_PAD_": str(2**28)}
"""For glibc: dense latents are tens of MB, which the others allocate anew at each step; mapping them costs a tenth of the time."""


def train_ours(job: Job, rows: Rows, results: list[dict[str, Any]], steps: int | None = None) -> Trained:
    """A training with the defaults."""
    architecture, options = OURS[job.sae]
    batch = TrainConfig().batch_tokens
    cfg = TrainConfig(tokens=steps * batch if steps else len(rows.train), seed=job.seed)
    sae = build(architecture, rows.train.shape[1], D_SAE, options(job.l0), seed=job.seed)
    sae.tied = sae.tied and not job.sae.endswith("_untied")
    source = TensorSource(rows.train if not steps else rows.train[: cfg.tokens])
    lr = default_lr(sae)
    result = train(sae, source, cfg)
    if "tau" in sae.thresholds:
        calibrate_threshold(sae, (batch.rows.float() for batch in source.batches(min(CALIBRATION, len(source.rows)), seed=job.seed)))
    rate = round(result.tokens / result.seconds)
    return Trained(sae.encode, sae.decode, {"lr": lr, "batch_tokens": batch, "coefficient": None, "tokens_per_s": rate})


def prepare(real: Path, cache: Path) -> None:
    """Harvest the rows, once."""
    from safetensors.torch import save_file

    if (cache / "rows.safetensors").is_file():
        return
    cache.mkdir(parents=True, exist_ok=True)
    lm, stories = LanguageModel.load(str(real / "models" / "stories3M")), real / "text" / "tinystories"
    held_out = stories / "test.txt"
    corpora = {
        "train": (Corpus.open([stories / "val.txt", stories / "train_sample.txt"], holdout=str(held_out)), TOKENS),
        "held_out": (Corpus.open(held_out), HELD_OUT),
    }
    rows = {}
    for name, (corpus, n) in corpora.items():
        source = StreamSource(lm, "blocks.3.resid_post", corpus)
        rows[name] = torch.cat([batch.rows for batch in source.batches(n, seed=0)])
        print(f"{name}: {tuple(rows[name].shape)} {rows[name].dtype} of {source.count_rows(seed=0):,} in the text", flush=True)
    save_file(rows, cache / "tmp-rows.safetensors")
    (cache / "tmp-rows.safetensors").rename(cache / "rows.safetensors")


def write_ours(cache: Path) -> None:
    """Our settings, for those of the others that are matched to them."""
    cfg = TrainConfig(tokens=TOKENS)
    lr = {name: default_lr(build(architecture, 192, D_SAE, options(32))) for name, (architecture, options) in OURS.items()}
    shares = {"warmup": cfg.warmup, "decay": cfg.decay, "sparsity_warmup": cfg.sparsity_warmup, "dead": cfg.dead_after / TOKENS}
    (cache / "ours.json").write_text(json.dumps({"lr": lr, "batch_tokens": cfg.batch_tokens, **shares}, indent=1) + "\n")


def main() -> None:
    p = parser(__doc__ or "")
    p.add_argument("--prepare", action="store_true", help="harvest the rows, if they are not there")
    p.add_argument("--real", type=Path, default=Path(os.environ.get("SAESCOPE_REAL", "../shared/real")), help="models and texts")
    p.add_argument("--peers", type=Path, help="interpreter of an environment with benchmarks/peers.txt")
    p.add_argument("--report", action="store_true", help="write results/quality.json and print the table")
    args, given = p.parse_args(), sys.argv[1:]
    if args.report:
        print(report(args.results))
        return
    prepare(args.real, args.cache)
    write_ours(args.cache)
    if args.prepare:
        return
    peers, asked = [library for library in args.library if library != "saescope"], args.sae
    if "saescope" in args.library:
        args.sae = [sae for sae in asked if sae in OURS]
        (estimate if args.estimate else run_jobs)(args, "saescope", train_ours)
    for library in peers if args.peers else []:
        own = _without(given, ("--library", "--peers", "--real"))
        command = [str(args.peers), str(Path(__file__).parent / "quality_peers.py"), *own, "--library", library]
        subprocess.run(command, check=True, env=os.environ | KEEP_MEMORY)


def _without(words: list[str], options: tuple[str, ...]) -> list[str]:
    """Command-line words without some options and their values."""
    kept, inside = [], False
    for word in words:
        inside = word.split("=")[0] in options or (inside and not word.startswith("--"))
        if not inside:
            kept.append(word)
    return kept


if __name__ == "__main__":
    main()
