"""Passes over documents that gather the top texts of every latent and every neuron of one hook point."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from saescope.activations.encode import Dictionary, EncodeOnly, Reducer, encode_pass
from saescope.data.corpus import Corpus, Document
from saescope.data.labels import Labeller
from saescope.data.packing import PackConfig
from saescope.evals import tokens
from saescope.evals.top_texts import Reading, ReadTokens, Top, TopTexts
from saescope.evals.topic_convergence import Subjects
from saescope.models.route import Route

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel

Progress = Callable[[str, int, int], None]
"""Called with (part, counted tokens done, counted tokens in all); parts: "neuron", "feature", "texts"."""


class TextPasses:
    """A dictionary at what it reads, and a text with those of its families of labels that say what it is about."""

    def __init__(
        self,
        sae: Dictionary,
        lm: "LanguageModel",
        at: "HookPoint | Route",
        text: Corpus,
        pack: PackConfig,
        families: Sequence[str],
        progress: Progress,
    ):
        self.sae, self.lm, self.at, self.text, self.pack, self.progress = sae, lm, at, text, pack, progress
        self.families = [family for family in families if family in text.labelling.families]
        self.subjects = Subjects({family: text.labelling.families[family] for family in self.families}) if self.families else None

    def selection(self, n_tokens: int) -> tuple[list[Document], str | None]:
        """Documents of S with so many tokens, and a warning where others stand in."""
        stream, warning = tokens.selection_documents(self.text)
        return tokens.DocumentReader(stream, self.lm.tokenizer, self.pack).take(n_tokens)[0], warning

    def report(self, n_tokens: int) -> list[Document]:
        """Documents of R with so many tokens."""
        return tokens.DocumentReader(tokens.report_documents(self.text), self.lm.tokenizer, self.pack).take(n_tokens)[0]

    def encode(self, part: str, documents: Sequence[Document], n_tokens: int, reducers: Sequence[Reducer]) -> int:
        """One pass; returns the counted tokens read, about `n_tokens`."""
        labeller = Labeller(self.text.labelling, self.lm.tokenizer, self.families) if self.families else None
        batches = tokens.batches(labeller.watch(documents) if labeller else documents, self.lm.tokenizer, self.pack)
        sinks: dict[str, Any] = {"sae": (EncodeOnly(self.sae), reducers)}
        return encode_pass(
            self.lm, self.at, batches, sinks, labels=labeller, progress=lambda done: self.progress(part, done, max(done, n_tokens))
        )

    def top_texts(
        self, part: str, documents: Sequence[Document], n_tokens: int, k: int, read: ReadTokens, *more: Reducer
    ) -> tuple[Reading, Top]:
        """One pass that keeps the tokens and the k top texts of every unit: latents first, then neurons."""
        tops = TopTexts(self.sae.d_sae, self.sae.d_in, k)
        self.encode(part, documents, n_tokens, [read, tops, *more])
        return read.result(), tops.result()
