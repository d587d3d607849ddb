"""Agreement of sets of texts: planted topics, chance, and the definitions written out."""

import math
from dataclasses import replace

import numpy as np
import pytest

from saescope.draws import draws
from saescope.evals.standing import median, share_below
from saescope.evals.text_similarity import TextSimilarity
from saescope.evals.top_texts import Reading
from saescope.evals.topic_convergence import Convergence, Subjects, agreement, effective_number, random_sets

K, TOPICS = 10, ("sea", "farm", "castle", "school")


class Numbers:
    """A tokenizer whose token i is the word wi."""

    special_ids = frozenset()

    def token_bytes(self, i):
        return f" w{i}".encode()


@pytest.fixture(scope="module")
def reading() -> Reading:
    """300 documents of 5 to 120 tokens; half of them have one of four topics, which colours a fifth of their tokens."""
    rng = draws(0, "test convergence")
    size = rng.integers(5, 121, 300)
    docs = np.repeat(np.arange(300), size)
    topic = np.where(np.arange(300) % 2, 1 + rng.integers(0, 4, 300), 0)[docs]
    common = np.minimum(rng.zipf(1.5, len(docs)), 60)
    tokens = np.where((rng.random(len(docs)) < 0.2) & (topic > 0), 60 + 10 * topic + rng.integers(0, 10, len(docs)), common)
    positions = np.concatenate([np.arange(n) for n in size])
    return Reading(
        tokens=tokens,
        docs=docs,
        rows=docs,
        positions=positions,
        counted=positions > 0,
        acts=np.zeros((len(docs), 2)),
        labels=topic[:, None].astype(np.int8),
    )


@pytest.fixture(scope="module")
def convergence(reading) -> Convergence:
    return Convergence(reading, Subjects({"topic": TOPICS}), Numbers())


def top_of(reading, score):
    """Places of the K documents of the largest score, by brute force."""
    places = np.flatnonzero(reading.counted)
    places = places[np.argsort(-score[places], kind="stable")]
    _, first = np.unique(reading.docs[places], return_index=True)
    return places[np.sort(first)[:K]]


def test_subjects_are_the_most_telling_label():
    subjects = Subjects({"script": ("latin", "arabic"), "topic": ("sea", "farm"), "format": ("json", "prose")})
    assert subjects.names == ("script:arabic", "topic:sea", "topic:farm", "format:json")
    labels = np.array([[2, 1, 1], [1, 2, 1], [1, 0, 1], [1, 0, 2], [0, 0, 0], [-1, 0, 0], [-1, 1, 0], [1, -1, 2]], np.int8)
    assert subjects(labels).tolist() == [1, 3, 4, 0, 0, -1, 2, -1]


def test_a_planted_topic_agrees_wholly(reading, convergence):
    score = draws(1, "test").random(len(reading.docs)) * (reading.labels[:, 0] == 3)
    got = convergence(top_of(reading, score)[None])
    assert got["kappa"][0] == 1
    assert got["n_eff"][0] == pytest.approx(1)
    chance = TextSimilarity(reading, Numbers())(random_sets(reading, K, 300, seed=0))
    assert (got["similarity"][0] - chance.mean()) / chance.std() > 3  # beyond what random latents reach, below


def test_what_fires_at_random_is_like_random_sets(reading, convergence):
    """200 random latents: their z have mean 0 and deviation 1, under every measure."""
    rng = draws(2, "test")
    chosen = convergence(np.stack([top_of(reading, rng.random(len(reading.docs))) for _ in range(200)]))
    chance = convergence(random_sets(reading, K, 1000, seed=0))
    for key, values in chosen.items():
        z = (values - np.nanmean(chance[key])) / np.nanstd(chance[key])
        assert abs(np.nanmean(z)) < 4 / math.sqrt(200), key
        assert 0.8 < np.nanstd(z) < 1.2, key
        assert (np.abs(z) < 3).mean() > 0.97, key


def test_random_sets_take_documents_by_their_tokens(reading):
    sets = random_sets(reading, K, 2000, seed=0)
    assert reading.counted[sets].all()
    assert all(len(set(row)) == K for row in reading.docs[sets].tolist())
    assert (sets == random_sets(reading, K, 2000, seed=0)).all()
    assert (sets != random_sets(reading, K, 2000, seed=1)).any()
    size = np.bincount(reading.docs[reading.counted])
    first = reading.docs[sets[:, 0]]
    assert size[first].mean() == pytest.approx((size**2).sum() / size.sum(), rel=0.03)


def test_agreement_by_hand():
    subject = np.array([1, 1, 2, 0, -1, 1, 3, 3, 0, 0])
    counted = np.ones(10, bool)
    counted[9] = False
    got = agreement(subject, counted, np.array([[0, 1, 5], [0, 2, 3], [3, 8, 4], [6, 7, 2]]), 3)
    base = 3 / 8  # of the eight tokens that count and are decided
    assert got.share.tolist() == pytest.approx([1, 1 / 3, 0, 2 / 3])
    assert got.kappa[0] == 1
    assert got.modal[1] == 0  # 1 and 2 are as frequent: the commoner of them
    assert got.kappa[1] == pytest.approx((1 / 3 - base) / (1 - base))
    assert got.kappa[2] == pytest.approx((0 - base) / (1 - base))
    assert got.kappa[3] == pytest.approx((2 / 3 - 2 / 8) / (1 - 2 / 8))
    assert got.n_eff.tolist() == pytest.approx(
        [1, 2, math.nan, math.exp(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)))], nan_ok=True
    )


def test_labels_without_two_subjects_are_no_measure(reading):
    flat = replace(reading, labels=np.minimum(reading.labels, 1))
    assert list(Convergence(flat, Subjects({"topic": TOPICS}), Numbers())(random_sets(reading, K, 2, seed=0))) == ["similarity"]
    assert Convergence(reading, None, Numbers()).about(7) == ""


def test_effective_number():
    assert effective_number(np.array([[1, 1, 1, 1], [5, 0, 0, 0], [0, 0, 0, 0]])).tolist() == pytest.approx([4, 1, 1])


def test_where_a_value_stands():
    values = np.array([1.0, 2, 2, 3, math.nan])
    assert share_below(values, 2) == 0.5
    assert share_below(values, 9) == 1
    assert share_below(values, math.nan) is None
    assert share_below(np.array([]), 1) is None
    assert median(values) == 2
    assert median(np.array([math.nan])) is None
