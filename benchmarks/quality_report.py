"""The table of benchmarks/quality.py: FVU and silent share at L0 16, 32 and 64, ours beside the others'."""

import json
import math
from pathlib import Path
from typing import Any

from quality_common import ARCHITECTURES, LIBRARIES, SETTINGS, read_results

WANTED = (16, 32, 64)
NEAREST, FARTHEST, ALONE = math.log(1.6), math.log(1.3), math.log(1.03)
"""How far the nearest measured L0 may be: between two of them, beyond the last, and where only one was measured."""
NAMES = {
    "relu": "ReLU", "relu_april": "ReLU, April 2024", "gated": "Gated", "topk": "TopK", "batch_topk": "BatchTopK",
    "jumprelu": "JumpReLU", "matryoshka": "Matryoshka", "batch_topk_untied": "BatchTopK, untied", "relu_untied": "ReLU, untied",
    "saescope": "saescope", "saelens": "SAELens", "dictionary_learning": "dictionary_learning",
}  # fmt: skip
SAME = {("saelens", "relu_april"): "relu"}
"""SAELens's ReLU has a free decoder, as that of April 2024."""
TIED = (("batch_topk", "batch_topk_untied"), ("relu", "relu_untied"))
COLUMNS = [(library, setting) for library in LIBRARIES for setting in SETTINGS[library]]


def read_off(points: list[tuple[float, float, float]], l0: float) -> tuple[float, float] | None:
    """FVU and silent share at an L0, from the (L0, FVU, silent) of one seed.

    log FVU and the silent share are taken as linear in log L0 between the two measured points around it, the nearer of which must
    lie within a factor of 1.6, or beyond the last two by a factor of at most 1.3; a point at that L0 is taken as it is.
    None where nothing was measured near. A single point within 3 % is taken as it is.
    """
    points = sorted(points)
    exact = [point for point in points if abs(math.log(point[0] / l0)) < 1e-3]
    if exact:
        return min(exact, key=lambda point: point[1])[1:]
    below, above = [p for p in points if p[0] < l0], [p for p in points if p[0] > l0]
    nearest = min((abs(math.log(point[0] / l0)) for point in points), default=math.inf)
    if len(points) == 1 and nearest < ALONE:
        return points[0][1:]
    if len(points) < 2 or nearest > (NEAREST if below and above else FARTHEST):
        return None
    a, b = (below[-1], above[0]) if below and above else (points[0], points[1]) if above else (points[-2], points[-1])
    if math.log(b[0] / a[0]) < 1e-3:
        return a[1:]
    share = math.log(l0 / a[0]) / math.log(b[0] / a[0])
    return math.exp((1 - share) * math.log(a[1]) + share * math.log(b[1])), min(1.0, max(0.0, (1 - share) * a[2] + share * b[2]))


def cells(results: list[dict[str, Any]]) -> dict[tuple[str, str, str, int], list[tuple[float, float]]]:
    """(FVU, silent) of every seed, by library, setting, architecture and L0."""
    seeds: dict[tuple[str, str, str, int], list[tuple[float, float, float]]] = {}
    for line in results:
        key = (line["library"], line["setting"], line["sae"], line["seed"])
        seeds.setdefault(key, []).append((max(line["measured_l0"], 1e-3), line["fvu"], line["silent"]))
    table: dict[tuple[str, str, str, int], list[tuple[float, float]]] = {}
    for (library, setting, sae, _), points in sorted(seeds.items()):
        for l0 in WANTED:
            if (value := read_off(points, l0)) is not None:
                table.setdefault((library, setting, sae, l0), []).append(value)
    return table


def verdict(ours: list[tuple[float, float]] | None, theirs: list[tuple[float, float]] | None) -> bool | None:
    """Whether our mean FVU is at most theirs plus the spread of their seeds (largest less smallest); None where one lacks."""
    if not ours or not theirs:
        return None
    fvus = [fvu for fvu, _ in theirs]
    return _mean(ours) <= sum(fvus) / len(fvus) + max(fvus) - min(fvus)


def report(results: Path) -> str:
    """Markdown; the numbers go to quality.json beside the results."""
    lines = read_results(results)
    table = cells(lines)
    rows, out = [], []
    for sae in (*ARCHITECTURES[:1], "relu_april", *ARCHITECTURES[1:]):
        for l0 in WANTED:
            values = {column: table.get((*column, SAME.get((column[0], sae), sae), l0)) for column in COLUMNS}
            ours = values["saescope", "default"]
            verdicts = {" ".join(column): verdict(ours, values[column]) for column in COLUMNS if column[0] != "saescope"}
            rows.append({"sae": sae, "l0": l0, **{" ".join(c): _json(v) for c, v in values.items()}, "no_worse_than": verdicts})
            worse = [name.replace("_", " ") for name, ok in verdicts.items() if ok is False]
            said = f"worse than {', '.join(worse)}" if worse else "yes" if any(verdicts.values()) else "–"
            out.append([NAMES[sae], str(l0), *(_shown(values[column]) for column in COLUMNS), said])
    tied = []
    for with_, without in TIED:
        for l0 in WANTED:
            pair = [table.get(("saescope", "default", sae, l0)) for sae in (with_, without)]
            if all(pair):
                tied.append([NAMES[with_], str(l0), *map(_shown, pair)])
    results.with_suffix(".json").write_text(json.dumps({"rows": rows, "tied": tied, "trainings": len(lines)}, indent=1) + "\n")
    head = ["SAE", "L0", *(f"{NAMES[library]}, {setting}" for library, setting in COLUMNS), "ours no worse"]
    return f"{_markdown(head, out)}\n\n{_markdown(['SAE', 'L0', 'b_dec tied', 'untied'], tied)}"


def _mean(values: list[tuple[float, float]]) -> float:
    return sum(fvu for fvu, _ in values) / len(values)


def _json(values: list[tuple[float, float]] | None) -> dict[str, Any] | None:
    return {"fvu": [round(fvu, 5) for fvu, _ in values], "silent": [round(silent, 5) for _, silent in values]} if values else None


def _shown(values: list[tuple[float, float]] | None) -> str:
    """Mean FVU, half the distance of the seeds, mean silent share."""
    if not values:
        return "–"
    fvus = [fvu for fvu, _ in values]
    spread = f" ± {(max(fvus) - min(fvus)) / 2:.4f}" if len(fvus) > 1 else ""
    return f"{_mean(values):.4f}{spread}, {100 * sum(silent for _, silent in values) / len(values):.1f} %"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
