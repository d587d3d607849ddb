"""How good a language model is, kind by kind: its cross-entropy beside a bigram model of tokens, and beside the entropy of pure noise."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from saescope.recipes.ngram import Bigram
from saescope.shapes import Tensor

NOISE = {
    "base64_random": (6, re.compile(r"[A-Za-z0-9+/]+")),
    "hex": (4, re.compile(r"[0-9a-f]+")),
    "dna": (2, re.compile(r"[ACGT]+")),
}
"""Bits of a character, and what the run of them looks like."""
RUN_BEGINS = 16
"""Characters of a run after which a reader can know what kind of noise it is; the floor is measured from there on."""
LEAST_GAIN = 0.10
MOST_ABOVE_FLOOR = 0.05


@dataclass(frozen=True)
class KindRow:
    """Figures of one kind of text. Cross-entropies in nats per token, unless they say otherwise."""

    kind: str
    documents: int
    tokens: int
    ce: float
    ce_per_byte: float
    bigram: float
    run_ce: float | None = None
    """Of noise: within the run, after its first characters."""
    run_floor: float | None = None
    """Entropy of the same tokens."""

    @property
    def gain(self) -> float:
        """How far below the bigram model, as a share of it."""
        return 1 - self.ce / self.bigram

    @property
    def good(self) -> bool:
        """Noise: close to its entropy. Everything else: well below the bigram model."""
        if self.run_ce is not None and self.run_floor is not None:
            return self.run_ce - self.run_floor <= MOST_ABOVE_FLOOR
        return self.ce <= (1 - LEAST_GAIN) * self.bigram

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"gain": self.gain, "good": self.good}


@dataclass
class _Sums:
    documents: int = 0
    tokens: int = 0
    n_bytes: int = 0
    nats: float = 0.0
    bigram: float = 0.0
    run_tokens: int = 0
    run_nats: float = 0.0
    run_characters: int = 0


def measure(
    model: Any, tokenizer: Any, documents: Iterable[tuple[str, str]], bigram: Bigram, *, context: int, floors: bool
) -> list[KindRow]:
    """One row for each kind of (kind, text), in the order in which the kinds appear; `floors` says that babel's noise is among them.

    Each document is read from BOS on, in windows of `context` tokens; every token of it is a target once.
    """
    sums: dict[str, _Sums] = {}
    given = list(documents)
    encoded = tokenizer.backend_tokenizer.encode_batch([text for _, text in given], add_special_tokens=False)
    rows = [[tokenizer.bos_token_id, *encoding.ids] for encoding in encoded]
    for (kind, text), ids, encoding, nats in zip(given, rows, encoded, document_nats(model, rows, context), strict=True):
        own, array = sums.setdefault(kind, _Sums()), np.array(ids)
        own.documents += 1
        own.tokens += len(nats)
        own.n_bytes += len(text.encode())
        own.nats += float(nats.sum())
        own.bigram += float(bigram.nats(array[:-1], array[1:]).sum())
        if floors and kind in NOISE:
            inside, own_characters = _inside_run(kind, text, encoding.offsets)
            own.run_tokens += int(inside.sum())
            own.run_nats += float(nats[inside].sum())
            own.run_characters += own_characters
    return [_row(kind, own) for kind, own in sums.items()]


def document_nats(model: Any, rows: Sequence[Sequence[int]], context: int) -> list[np.ndarray]:
    """For each document (BOS first) -ln P of every token after BOS, in float64."""
    windows = [(i, at, ids[at : at + context + 1]) for i, ids in enumerate(rows) for at in range(0, len(ids) - 1, context)]
    out = [np.zeros(len(ids) - 1) for ids in rows]
    windows.sort(key=lambda window: -len(window[2]))
    for start in range(0, len(windows), 16):
        group = windows[start : start + 16]
        # Padding on the right changes nothing before it: attention looks back.
        ids_BP = torch.zeros(len(group), len(group[0][2]), dtype=torch.long)
        for b, (_, _, ids) in enumerate(group):
            ids_BP[b, : len(ids)] = torch.tensor(ids)
        for (i, at, ids), nats in zip(group, _nats(model, ids_BP), strict=True):
            out[i][at : at + len(ids) - 1] = nats[: len(ids) - 1].double().numpy()
    return out


@torch.no_grad()
def _nats(model: Any, ids_BP: Tensor) -> Tensor:
    logits_BPV = model(ids_BP[:, :-1], use_cache=False).logits.float()
    return logits_BPV.logsumexp(-1) - logits_BPV.gather(-1, ids_BP[:, 1:, None]).squeeze(-1)


def _inside_run(kind: str, text: str, offsets: Sequence[tuple[int, int]]) -> tuple[np.ndarray, int]:
    """Which tokens lie in the longest run of the kind's characters, its first ones left out; and how many characters they have."""
    longest = max(NOISE[kind][1].finditer(text), key=lambda match: match.end() - match.start(), default=None)
    start, stop = (longest.start() + RUN_BEGINS, longest.end()) if longest else (0, 0)
    inside = np.array([start <= a and b <= stop for a, b in offsets], bool)
    return inside, sum(b - a for (a, b), kept in zip(offsets, inside, strict=True) if kept)


def _row(kind: str, own: _Sums) -> KindRow:
    n = max(1, own.tokens)
    common = (kind, own.documents, own.tokens, own.nats / n, own.nats / max(1, own.n_bytes), own.bigram / n)
    if not own.run_tokens:
        return KindRow(*common)
    floor = NOISE[kind][0] * math.log(2) * own.run_characters / own.run_tokens
    return KindRow(*common, own.run_nats / own.run_tokens, floor)


def table(rows: Sequence[KindRow], *, verdicts: bool) -> str:
    """The rows as text; `verdicts` adds whether each kind is good enough."""
    head = f"{'kind':<18}{'tokens':>9}{'nats/token':>12}{'nats/byte':>11}{'bigram':>9}{'below it':>10}{'in run':>9}{'floor':>9}"
    lines = [head + ("  verdict" if verdicts else "")]
    for row in rows:
        line = f"{row.kind:<18}{row.tokens:>9,}{row.ce:>12.3f}{row.ce_per_byte:>11.3f}{row.bigram:>9.3f}{100 * row.gain:>9.1f}%"
        line += "".join(f"{value:>9.3f}" if value is not None else " " * 9 for value in (row.run_ce, row.run_floor))
        lines.append(line + (f"  {'ok' if row.good else 'MISSED'}" if verdicts else ""))
    return "\n".join(lines)
