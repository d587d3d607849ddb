"""The examples of a bundle, read by small slices: ten for a feature's pointers and activations, two for each window of text."""

from pathlib import Path

import numpy as np

from saescope.features.examples import KINDS
from saescope.features.window import Window
from saescope.render.view_models import ExampleKind

PADDING = 2**32 - 1
_COLUMNS = ("at", "peak", "kind", "stratum", "n_act", "copies")


class ExampleFiles:
    """`examples-{k}.safetensors` and `tokens-{k}.safetensors`, open."""

    def __init__(self, examples: Path, tokens: Path, row_width: int):
        from safetensors import safe_open

        self.examples, self.tokens = safe_open(examples, "np"), safe_open(tokens, "np")
        self.row_width = row_width

    def of(self, i: int, kind: ExampleKind | None) -> dict[str, np.ndarray]:
        """One row per example of feature i; `act_at`: where its activations begin in `off` and `act`, which are here whole."""
        (ex0, ex1), (act0, act1) = (self.examples.get_slice(name)[i : i + 2] for name in ("ex_start", "act_start"))
        columns = {name: self.examples.get_slice(name)[ex0:ex1] for name in _COLUMNS}
        columns["act_at"] = np.cumsum(columns["n_act"], dtype=np.int64) - columns["n_act"]
        if kind is not None:
            chosen = columns["kind"] == KINDS.index(kind)
            columns = {name: column[chosen] for name, column in columns.items()}
        return columns | {name: self.examples.get_slice(name)[act0:act1] for name in ("off", "act")}

    def window(
        self, found: dict[str, np.ndarray], j: int, max_act: float, context: int, vocabulary: list[bytes], special: np.ndarray
    ) -> Window:
        """Example j of what `of` found, with `context` tokens each side."""
        row, position = divmod(int(found["at"][j]), self.row_width)
        left, right = max(0, position - context), min(self.row_width, position + context + 1)
        docs = self.tokens.get_slice("doc")[row, left:right]
        docs = docs[docs != PADDING]
        ids = self.tokens.get_slice("ids")[row, left : left + len(docs)]
        acts = np.zeros(len(docs))
        own = slice(int(found["act_at"][j]), int(found["act_at"][j]) + int(found["n_act"][j]))
        place = found["off"][own].astype(int) + position - left
        inside = (place >= 0) & (place < len(docs))
        acts[place[inside]] = found["act"][own].astype(np.float64)[inside] * max_act
        kind, peak = KINDS[found["kind"][j]], float(found["peak"][j])
        if kind != "near_miss":
            acts[position - left] = peak
        return Window(
            kind=kind,  # type: ignore[arg-type]
            stratum=int(found["stratum"][j]),
            ids=tuple(ids.tolist()),
            tokens=tuple(vocabulary[token] for token in ids),
            acts=tuple(acts.tolist()),
            docs=tuple(docs.tolist()),
            specials=tuple(np.flatnonzero(special[ids]).tolist()),
            peak_at=position - left,
            peak=peak,
            position=position,
            copies=int(found["copies"][j]),
        )
