"""TF-IDF cosines against their definition written out, and what a word is."""

import math
import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

import tiny
from saescope.draws import draws
from saescope.evals.text_similarity import LONGEST, TextSimilarity
from saescope.evals.top_texts import REACH, Reading
from saescope.models.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    """Tokens are bytes, and a few pieces of English words."""
    return Tokenizer(tiny.tiny_tokenizer())


def reading_of(texts, tokenizer, *, bos=True, pieces=None) -> Reading:
    """Documents, in sequences of `pieces` tokens each (None: whole), BOS before every document."""
    ids = [[*([tokenizer.bos_id] if bos else []), *tokenizer.encode(text)] for text in texts]
    docs = np.repeat(np.arange(len(ids)), [len(i) for i in ids])
    positions = np.concatenate([np.arange(len(i)) for i in ids])
    rows = docs * 1000 + (positions // pieces if pieces else 0)
    tokens = np.concatenate([np.array(i) for i in ids])
    return Reading(tokens, docs, rows, positions, positions > 0, np.zeros((len(docs), 2)))


@pytest.fixture(scope="module")
def texts():
    rng = draws(0, "test similarity")
    words = ["the", "and", "sea", "Ship", "über", "farm", "cow", "the", "sang,", "“and”", "x2", "12-30"]
    return [" ".join(rng.choice(words, int(rng.integers(3, 40)))) for _ in range(30)]


def words_at(texts, tokenizer):
    """(document, word, first token, last token), by a walk through the tokens' bytes."""
    for doc, text in enumerate(texts):
        edges = np.cumsum([0, *(len(tokenizer.token_bytes(i)) for i in tokenizer.encode(text))])
        for match in re.finditer(r"[^\W_]+", text):
            first, end = len(text[: match.start()].encode()), len(text[: match.end()].encode())
            yield doc, match.group().lower(), int((edges <= first).sum()) - 1, int((edges < end).sum()) - 1


def test_it_is_the_mean_cosine_of_all_pairs(texts, tokenizer):
    reading, rng = reading_of(texts, tokenizer), draws(1, "test similarity")
    start = np.flatnonzero(np.diff(reading.docs, prepend=-1))
    places = np.array(
        [[rng.choice(np.flatnonzero((reading.docs == d) & reading.counted)) for d in rng.permutation(30)[:6]] for _ in range(4)]
    )
    found = list(words_at(texts, tokenizer))
    df = Counter(word for word, _ in {(word, doc) for doc, word, _, _ in found})

    def vector(place):
        doc, at = reading.docs[place], place - start[reading.docs[place]] - 1
        inside = Counter(word for d, word, a, b in found if d == doc and abs(a - at) <= REACH and not a <= at <= b)
        out = {word: (1 + math.log(n)) * (math.log(31 / (1 + df[word])) + 1) for word, n in inside.items()}
        norm = math.sqrt(sum(value**2 for value in out.values()))
        return {word: value / norm for word, value in out.items()}

    def cosine(a, b):
        return sum(value * b.get(word, 0) for word, value in a.items())

    wanted = [np.mean([cosine(a, b) for a, b in combinations([vector(place) for place in row], 2)]) for row in places]
    assert TextSimilarity(reading, tokenizer)(places) == pytest.approx(wanted)
    assert 0.1 < min(wanted) < max(wanted) < 0.9


def names(reading, tokenizer, text):
    """The words as they stand in the text, or [..] where a token stands for itself."""
    found = TextSimilarity(reading, tokenizer)
    return [
        b"".join(tokenizer.token_bytes(int(i)) for i in reading.tokens[a : b + 1]).decode().strip()
        for a, b in zip(found.first, found.last, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The cat's 2 hats, and_more", ["The", "cat'", "s", "2", "hats", "and", "more"]),
        ("“Look” naïve", ["Look", "naïve"]),
        ("모든 인간은 كتاب", ["모든", "인간은", "كتاب"]),
        ("人間は 12", ["人", "間", "は", "12"]),
        ("ACGT" * 6, list("ACGT") * 6),
        ("A" * LONGEST, ["A" * LONGEST]),
        ("", []),
    ],
)
def test_what_a_word_is(tokenizer, text, wanted):
    got = names(reading_of(["x", text], tokenizer), tokenizer, text)
    assert [word.strip("'") for word in got[1:]] == [word.strip("'") for word in wanted]


def test_words_do_not_run_on_into_the_next_document_or_sequence(tokenizer):
    apart = TextSimilarity(reading_of(["bird", "song"], tokenizer, bos=False), tokenizer)
    assert len(apart.word) == 2
    cut = TextSimilarity(reading_of(["birdsong"], tokenizer, bos=False, pieces=4), tokenizer)
    assert len(cut.word) == 2


def test_broken_characters_are_no_words(tokenizer):
    """A document that ends within a character, and one that begins within one."""
    reading = reading_of(["aé b", "c"], tokenizer)
    half = int(np.flatnonzero(reading.tokens == tokenizer.encode("é")[1])[0])
    reading.docs[half:] = 7
    assert len(TextSimilarity(reading, tokenizer).word) == 3


def test_one_word_that_is_always_the_peak_is_no_similarity(tokenizer):
    """Texts that share nothing but the word they are about do not resemble each other, however many tokens it has."""
    texts = [f"{a} bird {b}" for a, b in zip(["one", "two", "six"], ["cow", "dog", "fly"], strict=True)]
    reading = reading_of(texts, tokenizer)
    similarity = TextSimilarity(reading, tokenizer)
    bird = tokenizer.encode(" bird")
    for k in range(1, len(bird)):
        places = np.array([place + k for place in range(len(reading.tokens)) if reading.tokens[place : place + len(bird)].tolist() == bird])
        assert similarity(places[None]) == pytest.approx([0])
    last = np.flatnonzero(np.diff(reading.docs, append=-1))
    assert similarity(last[None])[0] > 0.1


def test_texts_without_words_have_no_similarity(tokenizer):
    reading = reading_of(["? !", ", .", "a b"], tokenizer)
    assert TextSimilarity(reading, tokenizer)(np.array([[1, 4]])) == pytest.approx([0])
    nothing = reading_of(["?!", ",."], tokenizer)
    assert TextSimilarity(nothing, tokenizer)(np.array([[1, 4]])) == pytest.approx([0])
