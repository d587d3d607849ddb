"""Several TopK SAEs on one stream of activations, against as many runs by themselves: GPT-2 small's shape, layer 6.

    python benchmarks/sweep.py --tokenizer FOLDER [--saes 4] [--tokens 32768]

The model has random weights, the text is babel; nothing is cached, so that each run harvests for itself. Whole `train` calls, by turns;
medians. Writes benchmarks/results/sweep.json.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from contest import machine
from harvest import CONTEXT, SEQUENCES, gpt2_shape

from saescope import Corpus, StreamSource, TopKConfig, TopKSAE, TrainConfig, train
from saescope.data import PackConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="folder of GPT-2's tokenizer")
    parser.add_argument("--at", default="blocks.6.resid_post")
    parser.add_argument("--saes", type=int, default=4)
    parser.add_argument("--d-sae", type=int, default=12288)
    parser.add_argument("--tokens", type=int, default=2**15)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    pack = PackConfig(context=CONTEXT, packing="stream", bos=True, batch_sequences=2 * SEQUENCES)
    source = StreamSource(gpt2_shape(args.tokenizer), args.at, Corpus.open("babel"), pack)
    cfg = TrainConfig(tokens=args.tokens, batch_tokens=4096)
    width = source.lm.width(source.points[0])

    def seconds(seeds: list[int]) -> float:
        saes = {f"seed {seed}": TopKSAE(width, args.d_sae, TopKConfig(k=32), seed=seed) for seed in seeds}
        begun = time.perf_counter()
        train(saes, source, cfg)
        return time.perf_counter() - begun

    together, alone = [], []
    for _ in range(args.rounds):
        together.append(seconds(list(range(args.saes))))
        alone.append(seconds([0]))
    ratio = statistics.median(together) / (args.saes * statistics.median(alone))
    result = {
        "machine": machine(torch.get_num_threads()), "at": args.at, "saes": args.saes, "d_sae": args.d_sae, "tokens": args.tokens,
        "harvest": "bf16" if source.autocast else "fp32", "together_s": [round(s, 1) for s in together],
        "alone_s": [round(s, 1) for s in alone], "together_over_as_many_runs": round(ratio, 3),
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    (Path(__file__).parent / "results" / "sweep.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
