"""The model that comes with the package: an ordinary folder, small, and as good as its page says."""

from itertools import islice
from pathlib import Path

import pytest
import torch

import saescope.models.loading as loading
from saescope.data import Corpus, PackConfig, pack
from saescope.data.babel import document
from saescope.models.language_model import LanguageModel

FOLDER = Path(loading.__file__).parent / loading.BUNDLED


@pytest.fixture(scope="module")
def lm():
    return LanguageModel.load("bundled", device="cpu")


def nats(lm, batches) -> float:
    """Mean cross-entropy of the predictions that count."""
    total, n = 0.0, 0
    for batch in batches:
        losses = lm.run(batch.tokens, mask=batch.mask).logits[:, :-1].log_softmax(-1).gather(-1, batch.tokens[:, 1:, None]).squeeze(-1)
        counts = batch.predicts[:, :-1]
        total -= float(losses[counts].sum())
        n += int(counts.sum())
    return total / n


def test_it_is_an_ordinary_small_folder(lm):
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 4_000_000
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in FOLDER.iterdir()}
    assert lm.dtype == torch.float32
    assert (lm.name, lm.context_length, lm.d_vocab, lm.tokenizer.bos_id) == ("bundled", 256, 4096, 0)
    assert LanguageModel.load(FOLDER, device="cpu").fingerprint == lm.fingerprint


def test_its_neurons_are_where_they_are_said_to_be(lm):
    assert lm.width("blocks.0.mlp_post") == 512
    tokens = torch.tensor([lm.tokenizer.encode(document(0, 5).text)[:64]])
    neurons = lm.run(tokens, read=["blocks.0.mlp_post"])["blocks.0.mlp_post"]
    assert (neurons >= 0).all()
    assert 0.01 < (neurons > 0).float().mean() < 0.5


def test_it_has_learned_babel(lm):
    """Held out, all kinds in their shares; the tokenizer's own text comes back from its tokens."""
    documents = list(islice(Corpus.open("babel").documents("report"), 80))
    with torch.no_grad():
        assert nats(lm, pack(documents, lm.tokenizer, PackConfig(context=256, packing="stream", batch_sequences=8))) < 1.9
    assert all(lm.tokenizer.decode(lm.tokenizer.encode(document.text)) == document.text for document in documents)


@pytest.mark.parametrize(("kind", "bits"), [("dna", 2), ("hex", 4), ("base64_random", 6)])
def test_noise_costs_its_entropy(lm, kind, bits):
    text = document(0, 95, kind=kind).text
    ids = lm.tokenizer.encode(text)[:200]
    n_characters = sum(len(lm.tokenizer.token_bytes(i)) for i in ids[20:])
    with torch.no_grad():
        logits = lm.run(torch.tensor([[lm.tokenizer.bos_id, *ids]])).logits[0]
    loss = -logits[:-1].log_softmax(-1).gather(-1, torch.tensor(ids)[:, None]).squeeze(-1)[20:].sum()
    assert float(loss) / n_characters / 0.6931 == pytest.approx(bits, rel=0.05)


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundled").mkdir()
    with pytest.raises(loading.errors.UnknownModel, match=r"config\.json"):
        LanguageModel.load("bundled", device="cpu")
