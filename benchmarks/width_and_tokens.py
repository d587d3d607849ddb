"""How many latents live, and how many deserve a label, by training tokens and by width: 512 x f on the bundled model.

    python benchmarks/width_and_tokens.py --tokens 5e5 2e6 8e6 --factors 1 2 4 8 16 32
    python benchmarks/width_and_tokens.py --tokens 1e5 --factors 1 2 --label-tokens 20000 --alive-tokens 20000     # a minute

A run of its own for each number of tokens, each with the whole schedule and its decay; all widths of one run share its stream
(`saescope.sweep`). Alive: fires in --alive-tokens held-out tokens. Label-worthy: alive, and its best label of babel (the one of the best
F1 on --label-tokens of selection documents) holds for at least 0.8 of its active tokens in as many of report documents.

Writes benchmarks/results/width_and_tokens.json and docs/images/width-and-tokens.svg, tokens-and-width.svg. Called again, it continues.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from saescope import ConceptConfig, GridConfig, SweepConfig, TrainConfig, concepts, load_sae, sweep
from saescope.activations.encode import EncodeOnly, encode_pass
from saescope.cli._reporter import Terminal
from saescope.evals import tokens
from saescope.evals.sparsity import Firing
from saescope.pipeline import ModelConfig, TextConfig
from saescope.pipeline.subject import Subject, open_subject
from saescope.render.numbers import short
from saescope.render.plot import Axis, Curve, Key, Panel, figure
from saescope.saes.base import SAE

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images"
D_IN = 512
LEAST_PRECISION = 0.8
STRUCTURE = ("line", "char_byte")
"""Families of labels that say how a text is set, not what it is about: counted, and counted apart."""


def alive(saes: dict[str, SAE], subject: Subject, n: int) -> dict[str, int]:
    """Latents of each SAE with at least one firing in the first n counted tokens of the report documents."""
    documents, _ = tokens.DocumentReader(tokens.report_documents(subject.corpus), subject.lm.tokenizer, subject.pack).take(n)
    firing = {name: Firing(sae.d_sae) for name, sae in saes.items()}
    sinks = {name: (EncodeOnly(sae), [firing[name]]) for name, sae in saes.items()}
    encode_pass(subject.lm, subject.at, tokens.batches(documents, subject.lm.tokenizer, subject.pack), sinks)
    return {name: int((reducer.tokens_F > 0).sum()) for name, reducer in firing.items()}


def worthy(sae: SAE, subject: Subject, n: int) -> dict[str, int]:
    """Latents whose best label, chosen on S, has precision 0.8 on R; those of no mere structure; different labels among them."""
    report = concepts(
        {"sae": sae}, subject.lm, subject.at, subject.corpus, ConceptConfig(select_tokens=n, report_tokens=n), pack=subject.pack
    )  # fmt: skip
    row = report.rows["sae"]
    good = (row.best >= 0) & (row.figures.active > 0) & (row.figures.precision >= LEAST_PRECISION)
    names = [report.classes.name(column) for column in row.best[good].tolist()]
    return {
        "worthy": len(names),
        "worthy_of_content": sum(family not in STRUCTURE for family, _ in names),
        "labels": len(set(names)),
    }


def measured(args: argparse.Namespace, budget: int) -> list[dict[str, Any]]:
    """A line for each width (and seed) trained on so many tokens."""
    grid = GridConfig(
        sae=(args.sae,), d_sae=tuple(D_IN * f for f in sorted(args.factors)), l0=(args.l0,) if args.l0 else (), seeds=tuple(args.seeds)
    )
    cfg = SweepConfig(
        model=ModelConfig(model="bundled"), text=TextConfig(text=args.text), grid=grid, label_tokens=0,
        train=TrainConfig(tokens=budget, batch_tokens=args.batch_tokens),
    )  # fmt: skip
    outcome = sweep(cfg, args.runs / f"width-{args.sae}-{budget}", until="sae", reporter=Terminal())
    runs = cfg.with_subject().runs(["blocks.0.mlp_post"])
    saes = {name: load_sae(folder.sae) for name, folder in outcome.runs.items()}
    subject = open_subject(next(iter(runs.values())))
    living = alive(saes, subject, int(args.alive_tokens))
    found = []
    for name, sae in saes.items():
        facts = worthy(sae.to(subject.lm.device), subject, int(args.label_tokens))
        line = {"tokens": budget, "sae": args.sae, "l0": args.l0, "d_sae": sae.d_sae, "seed": runs[name].sae.init_seed or 0}
        found.append(
            line | {"alive": living[name], "alive_tokens": int(args.alive_tokens)} | facts | {"label_tokens": int(args.label_tokens)}
        )
        print(json.dumps(found[-1]), flush=True)
    return found


def draw(found: list[dict[str, Any]], across: str, by: str, *, label: str, said: Callable[[int], str]) -> str:
    """Alive and label-worthy latents against one of tokens and width, a curve for each value of the other; means over seeds."""
    values = sorted({line[by] for line in found})
    panels = []
    for title, number in (("alive latents", "alive"), (f"label-worthy latents (precision {LEAST_PRECISION})", "worthy")):
        curves = []
        for style, value in enumerate(values):
            mine = [line for line in found if line[by] == value]
            groups = {x: [line[number] for line in mine if line[across] == x] for x in sorted({line[across] for line in mine})}
            curves.append(Curve(tuple((float(x), sum(ys) / len(ys)) for x, ys in groups.items()), style))
        panels.append(Panel(title, Axis(label, log=True), Axis("latents", log=True), tuple(curves)))
    keys = [Key(said(value), style) for style, value in enumerate(values)]
    return figure(panels, keys, title=f"Alive and label-worthy latents against {label}", alone=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=float, nargs="+", default=[5e5, 2e6, 8e6], help="a run for each")
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="width / 512")
    parser.add_argument("--sae", default="batch_topk")
    parser.add_argument("--l0", type=float, default=16, help="0: the architecture's own")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--text", default="babel")
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--alive-tokens", type=float, default=5e5)
    parser.add_argument("--label-tokens", type=float, default=2e5)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args()

    path = HERE / "results" / "width_and_tokens.json"
    path.parent.mkdir(exist_ok=True)
    found = json.loads(path.read_text()) if path.exists() else []
    for budget in sorted(int(n) for n in args.tokens):
        new = measured(args, budget)
        keys = ("tokens", "sae", "l0", "d_sae", "seed")
        fresh = {tuple(line[key] for key in keys) for line in new}
        found = sorted(
            [line for line in found if tuple(line[key] for key in keys) not in fresh] + new, key=lambda line: [line[k] for k in keys]
        )
        path.write_text("[\n" + ",\n".join(" " + json.dumps(line) for line in found) + "\n]\n")
    IMAGES.mkdir(exist_ok=True)
    shown = [line for line in found if (line["sae"], line["l0"]) == (args.sae, args.l0)]
    by_tokens = draw(shown, "d_sae", "tokens", label="latents of the SAE", said=lambda n: f"{short(n)} tokens")
    (IMAGES / "width-and-tokens.svg").write_text(by_tokens + "\n")
    by_width = draw(shown, "tokens", "d_sae", label="training tokens", said=lambda n: f"{n:,} latents")
    (IMAGES / "tokens-and-width.svg").write_text(by_width + "\n")


if __name__ == "__main__":
    main()
