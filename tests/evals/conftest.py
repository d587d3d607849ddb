"""A tiny text with held-out documents, dictionaries of known quality, and chunks made by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from saescope.activations.encode import Chunk, Code
from saescope.data import Corpus, Document, PackConfig

WORDS = ["the", "and", "a", "in", "on", "an", "there", "then", "hand", "other", "ant", "tin", "thin", "one", "near"]


class Fixed:
    """A dictionary with f = x and x_hat = f(x): what the metrics must say of it is known."""

    def __init__(self, d: int, f: Callable[[torch.Tensor], torch.Tensor] = lambda x: x):
        self.d_in = self.d_sae = d
        self.f = f

    def encode(self, x):
        return x

    def decode(self, latents):
        return self.f(latents)


class OneText:
    """A corpus whose every part is the same documents, so that "the mean over S" is the mean over R."""

    name, sha256 = "one", "0"

    def __init__(self, texts):
        self.texts = texts

    def documents(self, part, **_):
        return iter([Document(i, text) for i, text in enumerate(self.texts)])


@pytest.fixture(scope="session")
def texts() -> list[str]:
    rng = np.random.Generator(np.random.Philox(key=7))
    return [" ".join(rng.choice(WORDS, size=rng.integers(3, 14))) for _ in range(300)]


@pytest.fixture(scope="session")
def corpus(texts, tmp_path_factory) -> Corpus:
    folder = tmp_path_factory.mktemp("text")
    (folder / "train.txt").write_text("\n<|endoftext|>\n".join(texts[:260]), encoding="utf-8")
    (folder / "held.txt").write_text("\n<|endoftext|>\n".join(texts[260:]), encoding="utf-8")
    return Corpus.open(folder / "train.txt", holdout=str(folder / "held.txt"))


@pytest.fixture(scope="session")
def one_text(texts) -> OneText:
    return OneText(texts[:40])


@pytest.fixture(scope="session")
def lm(texts):
    """The tiny model after 60 steps on the text: it predicts it, so that ablations cost something."""
    import tiny

    lm = tiny.tiny_lm()
    ids = [torch.tensor([lm.tokenizer.bos_id, *lm.tokenizer.encode(text)][:32]) for text in texts]
    tokens = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=-100)
    optimizer = torch.optim.Adam(lm.hf.requires_grad_(True).parameters(), lr=0.01)
    for step in range(60):
        part = tokens[step % 9 * 32 :][:32]
        logits = lm.hf(part.clamp_min(0)).logits[:, :-1]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits.transpose(1, 2), part[:, 1:]).backward()
        optimizer.step()
    lm.hf.requires_grad_(False)
    return lm


@pytest.fixture(scope="session")
def pack() -> PackConfig:
    return PackConfig(context=32, packing="documents", bos=True, batch_sequences=8)


@pytest.fixture(scope="session")
def fixed():
    return Fixed


@pytest.fixture(scope="session")
def chunk():
    """Chunk of given vectors; every token counted, one document, latents = x where nothing else is said."""

    def make(x, x_hat=None, *, latents=None, counted=None, doc_ids=None) -> Chunk:
        n = len(x)
        numbers = torch.arange(n)
        return Chunk(
            tokens=numbers,
            doc_ids=torch.zeros(n, dtype=torch.long) if doc_ids is None else torch.as_tensor(doc_ids),
            rows=torch.zeros(n, dtype=torch.long),
            positions=numbers,
            counted=torch.ones(n, dtype=torch.bool) if counted is None else torch.as_tensor(counted),
            x=x,
            target=x,
            x_hat=x if x_hat is None else x_hat,
            code=Code.of(x if latents is None else latents),
        )

    return make


@pytest.fixture
def normal():
    """normal(n, d): the same standard normal numbers every time."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator)
