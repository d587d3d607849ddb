"""Harvest against a bare forward pass through the same layers, and against SAELens: medians of interleaved runs.

    python benchmarks/harvest.py MODEL TEXT [--at blocks.3.mlp_post]                            # a model and a text of yours
    python benchmarks/harvest.py --tokenizer FOLDER --peers peers/bin/python                    # GPT-2 small's shape, random weights

"bare" is the model's own forward, left by an exception at the module behind the hook point; it reads nothing. With bf16 both run under
the same autocast. SAELens runs its `ActivationsStore.get_activations` on a HookedTransformer of the same shape (harvest_worker.py).
Prints JSON and writes it to benchmarks/results/harvest.json, or harvest_gpt2.json.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from contest import Contestant, machine, milliseconds, start

from saescope import Corpus, LanguageModel, StreamSource
from saescope.data import PackConfig

SEQUENCES, CONTEXT = 16, 128
HERE = Path(__file__).parent


class _Stop(Exception): ...


@contextlib.contextmanager
def left_at(module: torch.nn.Module) -> Iterator[None]:
    """While it lasts, the model's forward ends where this module would begin."""

    def stop(*_):
        raise _Stop

    handle = module.register_forward_pre_hook(stop)
    try:
        yield
    finally:
        handle.remove()


def gpt2_shape(tokenizer: str) -> LanguageModel:
    """GPT-2 small with random weights."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    with tempfile.TemporaryDirectory() as folder:
        GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
        AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
        return LanguageModel.load(folder)


def token_batches(lm: LanguageModel, args: argparse.Namespace) -> tuple[list, StreamSource]:
    """What is read, and the source that harvests it in float32."""
    if args.tokenizer:
        pack = PackConfig(context=CONTEXT, packing="stream", bos=True, batch_sequences=SEQUENCES)
    else:
        pack = PackConfig(context=min(512, lm.context_length), packing="documents", bos=True, batch_sequences=8)
    source = StreamSource(lm, args.at, Corpus.open(args.text or "babel"), pack, autocast=False)
    stream = source.token_batches(seed=0)
    return [next(stream) for _ in range(args.batches)], source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("text", nargs="?")
    parser.add_argument("--tokenizer", help="folder of GPT-2's tokenizer: the model has GPT-2 small's shape, the text is babel")
    parser.add_argument("--at", default="")
    parser.add_argument("--peers", help="the interpreter that has the other libraries")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if not args.tokenizer and not (args.model and args.text):
        parser.error("give a model and a text, or --tokenizer")
    args.at = args.at or ("blocks.6.mlp_post" if args.tokenizer else "blocks.3.mlp_post")

    lm = gpt2_shape(args.tokenizer) if args.tokenizer else LanguageModel.load(args.model)
    batches, source = token_batches(lm, args)
    n_tokens = sum(batch.tokens.numel() for batch in batches)
    module = lm.site(args.at).module
    seconds: dict[str, list[float]] = {}

    def ours(precision: str, kind: str) -> None:
        source.autocast = precision == "bf16"
        begun = time.perf_counter()
        with torch.inference_mode():
            if kind == "harvest":
                for batch in batches:
                    source.harvest(batch)
            else:
                with left_at(module), torch.autocast("cpu", dtype=torch.bfloat16, enabled=source.autocast):
                    for batch in batches:
                        with contextlib.suppress(_Stop):
                            lm.hf(batch.tokens, attention_mask=batch.mask, use_cache=False)
        seconds.setdefault(f"{kind} {precision}", []).append(time.perf_counter() - begun)

    peers: list[Contestant] = []
    if args.peers and args.tokenizer:
        for precision in ("fp32", "bf16"):
            settings = {"PRECISION": precision, "AT": args.at}
            peers.append(start(f"saelens {precision}", args.peers, "harvest_worker.py", [], threads=torch.get_num_threads(), **settings))
    for _ in range(args.rounds + 1):
        for precision in ("fp32", "bf16"):
            for kind in ("harvest", "bare"):
                ours(precision, kind)
        for peer in peers:
            peer.run(args.batches + 1)
    for peer in peers:
        peer.stop()

    rate = {name: n_tokens / sorted(times[1:])[len(times[1:]) // 2] for name, times in seconds.items()}
    rate |= {peer.name: SEQUENCES * CONTEXT / peer.median for peer in peers}
    result = {
        "machine": machine(torch.get_num_threads()),
        "model": "GPT-2 small's shape, random weights" if args.tokenizer else lm.name,
        "at": args.at,
        "tokens": n_tokens,
        "tokens_per_s": {name: round(value) for name, value in rate.items()},
        "harvest_over_bare": {p: round(rate[f"harvest {p}"] / rate[f"bare {p}"], 3) for p in ("fp32", "bf16")},
        "ms": {name: milliseconds(times[1:]) for name, times in seconds.items()},
    }
    if peers:
        result["over_saelens"] = {
            ours: round(rate[f"harvest {ours}"] / rate[f"saelens {theirs}"], 2) for ours, theirs in (("fp32", "fp32"), ("bf16", "bf16"))
        } | {"bf16 over its default, fp32": round(rate["harvest bf16"] / rate["saelens fp32"], 2)}
    print(json.dumps(result, indent=1))
    (HERE / "results" / f"harvest{'_gpt2' if args.tokenizer else ''}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
