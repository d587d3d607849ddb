"""Text that the model writes, and whether it holds: is it of a kind that the corpus has, and is it more than what it has read."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from saescope.draws import draws

N_SAMPLES = 200
N_PROMPT = 12
"""Tokens of a held-out document that a prompted sample goes on from."""
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]")
_LEAST_WORDS = 4


@torch.no_grad()
def sample(model: Any, prompts: Sequence[Sequence[int]], *, stop_id: int, n_tokens: int, seed: int) -> list[list[int]]:
    """Continuations at temperature 1, until `stop_id` (left out) or `n_tokens` with the prompt. Prompts are of one length, BOS first.

    Sample i is a function of (seed, i) and its prompt: it takes the token where the distribution's sum passes the i-th uniform draw.
    """
    ids_BP = torch.tensor([list(prompt) for prompt in prompts])
    cache, new_BP, written = None, ids_BP, ids_BP
    for position in range(ids_BP.shape[1], n_tokens):
        out = model(new_BP, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        sums_BV = out.logits[:, -1].double().softmax(-1).cumsum(-1)
        drawn_B = torch.from_numpy(draws(seed, "generate", position).random(len(prompts)))[:, None]
        new_BP = torch.searchsorted(sums_BV, drawn_B * sums_BV[:, -1:], right=True).clamp_max(sums_BV.shape[-1] - 1)
        written = torch.cat([written, new_BP], 1)
    return [_until(ids[1:], stop_id) for ids in written.tolist()]


def _until(ids: list[int], stop_id: int) -> list[int]:
    return ids[: ids.index(stop_id)] if stop_id in ids else ids


def sentences(text: str) -> list[str]:
    """The whole sentences of at least four words."""
    found = (match.strip() for match in _SENTENCE.findall(text))
    return [sentence for sentence in found if len(sentence.split()) >= _LEAST_WORDS]


def known_sentences(texts: Iterable[str]) -> set[int]:
    """Hashes of every sentence of some texts."""
    return {hash(sentence) for text in texts for sentence in sentences(text)}


def stream_texts(tokens: np.ndarray, tokenizer: Any, pieces: Sequence[bytes]) -> Iterable[str]:
    """The documents of a stream of ids, as text."""
    table = list(pieces)
    ends = np.append(np.flatnonzero(tokens == tokenizer.bos_token_id), len(tokens))
    for start, stop in pairwise(ends.tolist()):
        yield b"".join([table[i] for i in tokens[start + 1 : stop].tolist()]).decode(errors="replace")


def verbatim(texts: Iterable[str], known: set[int]) -> tuple[int, int]:
    """(sentences that stand in `known`, all sentences) of some texts."""
    all_of_them = [sentence for text in texts for sentence in sentences(text)]
    return sum(hash(sentence) in known for sentence in all_of_them), len(all_of_them)


def tally(pairs: Iterable[tuple[str | None, bool]]) -> dict[str, dict[str, int]]:
    """By kind: how many samples, and how many of them were accepted."""
    out: dict[str, dict[str, int]] = {}
    for kind, good in pairs:
        row = out.setdefault(kind or "unknown", {"samples": 0, "accepted": 0})
        row["samples"] += 1
        row["accepted"] += good
    return dict(sorted(out.items()))


def check_samples(
    model: Any, tokenizer: Any, prompts: Iterable[tuple[str, str]], *, n_tokens: int, seed: int, n: int
) -> tuple[dict[str, Any], list[str]]:
    """Free samples and samples that go on from held-out documents, judged by babel's recognisers; and the free samples' texts."""
    from saescope.data.babel.recognise import accepts, kind_of

    bos = tokenizer.bos_token_id
    free = _texts(sample(model, [[bos]] * n, stop_id=bos, n_tokens=n_tokens, seed=seed), tokenizer)
    starts = _prompts(prompts, tokenizer, n)
    continued = _texts(sample(model, [ids for _, ids in starts], stop_id=bos, n_tokens=n_tokens, seed=seed + 1), tokenizer)
    kinds = [kind_of(text) for text in free]
    judge: Callable[[str | None, str], bool] = lambda kind, text: kind is not None and accepts(kind, text)  # noqa: E731
    tables = {
        "free": tally((kind, judge(kind, text)) for kind, text in zip(kinds, free, strict=True)),
        "prompted": tally((kind, judge(kind, text)) for (kind, _), text in zip(starts, continued, strict=True)),
    }
    shares = {f"{name}_accepted": sum(row["accepted"] for row in rows.values()) / n for name, rows in tables.items()}
    stories = [text for kind, text in zip(kinds, free, strict=True) if kind == "story"]
    return {"n": n, **shares, **tables}, stories


def _texts(rows: Sequence[Sequence[int]], tokenizer: Any) -> list[str]:
    return [tokenizer.decode(ids) for ids in rows]


def _prompts(documents: Iterable[tuple[str, str]], tokenizer: Any, n: int) -> list[tuple[str, list[int]]]:
    """Kind, and BOS with the first tokens, of the first n documents that are long enough."""
    out: list[tuple[str, list[int]]] = []
    for kind, text in documents:
        ids = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids[:N_PROMPT]
        if len(ids) == N_PROMPT:
            out.append((kind, [tokenizer.bos_token_id, *ids]))
        if len(out) == n:
            break
    return out
