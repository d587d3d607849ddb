"""Sampling, and what is said of the samples."""

import numpy as np
import pytest
import torch

from saescope.data.babel.document import document
from saescope.recipes import samples
from saescope.recipes.bpe import train_tokenizer
from saescope.recipes.lm_model import build_model


@pytest.fixture(scope="module")
def model():
    model = build_model(40, 32, seed=2)
    model.lm_head.weight.data *= 20
    return model


def test_samples_are_drawn_from_the_model(model):
    drawn = samples.sample(model, [[0]] * 3000, stop_id=39, n_tokens=2, seed=0)
    with torch.no_grad():
        p = model(torch.tensor([[0]])).logits[0, -1].double().softmax(-1).numpy()
    counts = np.bincount([ids[0] if ids else 39 for ids in drawn], minlength=40)
    assert np.abs(counts / 3000 - p).max() < 5 * np.sqrt(p.max() / 3000)


def test_the_cache_changes_nothing_and_neighbours_neither(model):
    both = samples.sample(model, [[0, 5], [0, 6]], stop_id=39, n_tokens=20, seed=1)
    assert samples.sample(model, [[0, 5]], stop_id=39, n_tokens=20, seed=1) == both[:1]
    ids, greedy = [0, 5], []
    from saescope.draws import draws

    for position in range(2, 20):
        with torch.no_grad():
            sums = model(torch.tensor([ids])).logits[0, -1].double().softmax(-1).cumsum(-1)
        ids.append(int(torch.searchsorted(sums, draws(1, "generate", position).random(1)[0] * sums[-1], right=True)))
    greedy = ids[1:]
    assert both[0] == (greedy[: greedy.index(39)] if 39 in greedy else greedy)


def test_sentences_and_those_that_are_known():
    text = 'The cat sat on the mat. "Oh no!" Tom said to the small dog! And then'
    assert samples.sentences(text) == ["The cat sat on the mat.", '" Tom said to the small dog!']
    known = samples.known_sentences([text])
    assert samples.verbatim([text, "The cat sat on a mat."], known) == (2, 3)


def test_a_stream_of_ids_gives_its_documents_back():
    tokenizer = train_tokenizer(["the cat and the hat "] * 5, 260)
    texts = ["the cat", "한 and ü"]
    tokens = np.array([i for text in texts for i in (0, *tokenizer(text)["input_ids"])], np.uint16)
    from saescope.models.tokenizer import Tokenizer

    own = Tokenizer(tokenizer)
    assert list(samples.stream_texts(tokens, tokenizer, [own.token_bytes(i) for i in range(260)])) == texts


def test_samples_are_judged_by_kind(monkeypatch):
    tokenizer = train_tokenizer([document(0, i).text for i in range(40)], 300)
    story, dna = document(0, 1, kind="story").text, document(0, 2, kind="dna").text
    written = [story, "?? !!", dna, dna]
    monkeypatch.setattr(samples, "_texts", lambda rows, tokenizer: written)
    prompts = [("story", story), ("dna", dna), ("story", story), ("dna", dna), ("dna", dna)]
    model = build_model(300, 32, seed=0)
    report, stories = samples.check_samples(model, tokenizer, prompts, n_tokens=15, seed=0, n=4)
    assert stories == [story]
    assert report["free"] == {
        "dna": {"samples": 2, "accepted": 2},
        "story": {"samples": 1, "accepted": 1},
        "unknown": {"samples": 1, "accepted": 0},
    }
    assert report["prompted"] == {"dna": {"samples": 2, "accepted": 1}, "story": {"samples": 2, "accepted": 1}}
    assert (report["free_accepted"], report["prompted_accepted"]) == (0.75, 0.5)
