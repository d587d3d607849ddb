"""Blind sheets for naming features: latents of a run mixed with raw neurons of the same hook point.

    python benchmarks/blind_naming.py RUN OUT [--n 20] [--seed 0] [--tokens 60000]

OUT/name.md shows ten top texts of each item. OUT/firing.md shows ten other texts on which it fires, drawn evenly from all its firing
tokens, most of them weak; OUT/strong.md ten others in which it is above a quarter of its largest activation (scale to a power of two).
A rater names each item from the first sheet and counts on the others in how many of ten texts the name fits. OUT/key.json tells
afterwards which item was what. Neurons go through the same build as latents: positive and negative halves of each coordinate.
"""

import argparse
import json
from pathlib import Path

import torch

from saescope import FeatureConfig, build_features
from saescope.draws import draws
from saescope.evals.controls import Coordinates
from saescope.features.store import FeatureStore
from saescope.pipeline.revisit import Revisit, revisit

SHOWN = 10
CONTEXT = 12
STRONG_STRATA = 8
"""Strata of the two octaves below the largest activation."""


def neuron_store(run: Path, folder: Path, n_tokens: int) -> FeatureStore:
    """The bundle of the raw neurons at the run's hook point."""
    seen = revisit(Revisit(sae=run), text_as="corpus")
    subject = seen.subject
    raw = Coordinates(torch.zeros(subject.lm.width(subject.at)), signed=True)
    cfg = FeatureConfig(n_tokens=n_tokens, coactive_tokens=1000)
    return build_features(raw, subject.lm, subject.at, subject.corpus, folder, cfg, pack=subject.pack)


def texts(store: FeatureStore, i: int) -> tuple[list[str], ...]:
    """Ten top texts; ten others drawn evenly; ten others above a quarter of the maximum. The peak token is in brackets."""
    top = store.windows(i, "top", CONTEXT)[:SHOWN]
    documents = {window.doc for window in top}
    strata = [window for window in store.windows(i, "stratum", CONTEXT) if window.stratum < STRONG_STRATA]
    groups = [top, *([w for w in windows if w.doc not in documents] for windows in (store.windows(i, "random", CONTEXT), strata))]
    return tuple([line(window.view()) for window in group[:SHOWN]] for group in groups)


def line(view) -> str:
    parts = [token if j != view.peak_at else b"[[" + token + b"]]" for j, token in enumerate(view.tokens)]
    return b"".join(parts).decode("utf-8", "replace").replace("\n", " / ")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=60_000)
    args = parser.parse_args()

    latents = FeatureStore.open(args.run / "features")
    raw = neuron_store(args.run, args.out / "neurons", args.tokens)
    items = [("latent", latents, i) for i in latents.sample(args.n, seed=args.seed)] + [
        ("neuron", raw, i) for i in raw.sample(args.n, seed=args.seed)
    ]
    items = [items[j] for j in draws(args.seed, "blind").permutation(len(items))]
    sheets = {"name": ["# Name each item"], "firing": ["# In how many texts does the name fit?"], "strong": ["# And in how many of these?"]}
    for number, (_, store, i) in enumerate(items, start=1):
        for sheet, lines in zip(sheets.values(), texts(store, i), strict=True):
            sheet += [f"\n## {number}", *(f"{j}. {text}" for j, text in enumerate(lines, start=1))]
    for name, lines in sheets.items():
        (args.out / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    key = [{"item": number, "kind": kind, "id": i} for number, (kind, _, i) in enumerate(items, start=1)]
    (args.out / "key.json").write_text(json.dumps(key, indent=1) + "\n")
    print(f"{args.out}: name.md, firing.md, strong.md; key.json is for afterwards")


if __name__ == "__main__":
    main()
