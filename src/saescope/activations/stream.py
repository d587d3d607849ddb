"""Harvest on the fly: text -> model -> rows, stopping the forward pass at the last hook point that is needed."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

import torch

from saescope import bf16
from saescope.activations.source import STORED, Batch, NonFiniteGuard
from saescope.errors import NoTokens
from saescope.models.route import Route

if TYPE_CHECKING:
    from saescope.data.corpus import Corpus
    from saescope.data.packing import PackConfig, TokenBatch
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel

MOST_CONTEXT = 512
"""Default length of a sequence, where the model allows more."""
AUTOCAST_WIDTH = 512
"""Of a model that is wide enough for bf16 to pay: below it most of the time goes elsewhere."""


class StreamSource:
    """The counted tokens' activations of a part of a corpus, pass after pass in one order of documents.

    Without `pack`: one document per sequence, BOS first, cut at the model's context or 512 tokens.
    Special tokens and position 0 are left out. Rows are stored in bfloat16, as the cache stores them: both give equal bits.
    `autocast`: whether a float32 model multiplies in bf16 here; None: where that is faster, from a width of 512 on.
    """

    def __init__(
        self,
        lm: "LanguageModel",
        at: "HookPoint | str | Route | Sequence[HookPoint | str]",
        corpus: "Corpus",
        pack: "PackConfig | None" = None,
        *,
        part: Literal["train", "select"] = "train",
        autocast: bool | None = None,
    ):
        from saescope.data.packing import PackConfig

        pack = pack or PackConfig(context=min(lm.context_length, MOST_CONTEXT))
        self.lm, self.corpus, self.pack, self.part = lm, corpus, pack, part
        named = at.points if isinstance(at, Route) else [at] if isinstance(at, str) or not isinstance(at, Sequence) else at
        self.points = tuple(lm.resolve(point) for point in named)
        self.autocast = autocast if autocast is not None else lm.d_model >= AUTOCAST_WIDTH and bf16.is_fast(lm.device)
        self.autocast &= lm.dtype == torch.float32
        self.slices, width = {}, 0
        for point in self.points:
            self.slices[point] = slice(width, width + lm.width(point))
            width += lm.width(point)
        self.provenance: dict[str, Any] = {
            **lm.fingerprint,
            "hook_points": [str(point) for point in self.points],
            "corpus": corpus.name,
            "corpus_sha256": corpus.sha256,
            "part": part,
            "context_length": pack.context,
            "packing": pack.packing,
            "bos": "first" if pack.bos else "none",
            "dtype": str(lm.dtype).removeprefix("torch."),
            **({"harvest": "bf16 autocast"} if self.autocast else {}),
        }

    def batches(self, n_tokens: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        guard = NonFiniteGuard(" + ".join(map(str, self.points)))
        left = n_tokens
        for tokens in self.token_batches(seed=seed):
            n = int(tokens.counted.sum())
            if start >= n:  # before the cursor: counted, but not run
                start -= n
                continue
            rows = guard(self.harvest(tokens))[start:][:left]
            start, left = 0, left - len(rows)
            yield Batch(rows)
            if left <= 0:
                return

    def token_batches(self, *, seed: int, passes: int | None = None) -> "Iterator[TokenBatch]":
        """Packed text, pass after pass (None: without end). Raises: NoTokens if a pass has none that counts."""
        from saescope.data.packing import pack

        for _ in count() if passes is None else range(passes):
            empty = True
            # The order is drawn once: each pass is the same stream, so that a cache of one pass serves them all.
            for batch in pack(self.corpus.documents(self.part, epoch=0, seed=seed), self.lm.tokenizer, self.pack):
                empty = False
                yield batch
            if empty:
                raise NoTokens(f"the {self.part} part of {self.corpus.name} has no tokens to harvest. Give more text with --text.")

    def count_rows(self, *, seed: int) -> int:
        """Rows of one pass; tokenises, runs no model."""
        return sum(int(batch.counted.sum()) for batch in self.token_batches(seed=seed, passes=1))

    @torch.inference_mode()
    def harvest(self, batch: "TokenBatch") -> torch.Tensor:
        """Rows [n, d_row] of a batch's counted tokens, on the CPU, in the stored type."""
        with torch.autocast(self.lm.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            run = self.lm.run(batch.tokens, mask=batch.mask, read=self.points, stop_at=self.lm.stop_after(self.points))
        counted = batch.counted.to(self.lm.device)
        return torch.cat([run.acts[point][counted] for point in self.points], dim=1).to(STORED).cpu()
