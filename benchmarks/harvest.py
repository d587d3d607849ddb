"""Harvest against a bare forward pass through the same layers, in one process: medians of interleaved runs.

    python benchmarks/harvest.py MODEL TEXT [--at blocks.3.mlp_post] [--batches 40] [--rounds 9]

"bare" is a loop over the model's own modules up to the hook point: embeddings, rotary tables, layers; it reads nothing.
Prints JSON and writes it to benchmarks/results/harvest.json.
"""

import argparse
import contextlib
import json
import statistics
import time
from pathlib import Path

import torch

from saescope import Corpus, LanguageModel, StreamSource
from saescope.data import PackConfig


class _Stop(Exception): ...


def bare_forward(lm: LanguageModel, module: torch.nn.Module, batches) -> None:
    """The model's own forward, left by an exception at the module behind the hook point."""

    def stop(*_):
        raise _Stop

    handle = module.register_forward_pre_hook(stop)
    try:
        for batch in batches:
            with contextlib.suppress(_Stop):
                lm.hf(batch.tokens, use_cache=False)
    finally:
        handle.remove()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--at", default="blocks.3.mlp_post")
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()

    lm = LanguageModel.load(args.model)
    pack = PackConfig(context=min(512, lm.context_length), packing="documents", bos=True, batch_sequences=8)
    source = StreamSource(lm, args.at, Corpus.open(args.text), pack)
    stream = source.token_batches(seed=0)
    batches = [next(stream) for _ in range(args.batches)]
    n_tokens = sum(int(batch.counted.sum()) for batch in batches)
    module = lm.site(args.at).module

    seconds: dict[str, list[float]] = {"harvest": [], "bare": []}
    for _ in range(args.rounds):
        for name, work in (("harvest", lambda: [source.harvest(b) for b in batches]), ("bare", lambda: bare_forward(lm, module, batches))):
            start = time.perf_counter()
            with torch.inference_mode():
                work()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    result = {
        "model": lm.name,
        "at": args.at,
        "tokens": n_tokens,
        "threads": torch.get_num_threads(),
        "tokens_per_s": {name: n_tokens / value for name, value in medians.items()},
        "harvest_over_bare": medians["bare"] / medians["harvest"],
        "spread_s": {name: [min(times), max(times)] for name, times in seconds.items()},
    }
    print(json.dumps(result, indent=1))
    out = Path(__file__).parent / "results" / "harvest.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
