"""The whole generator: a pure function, exact shares, honest labels, and recognisers that keep its kinds apart."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from saescope.data.babel import FAMILIES, KINDS, LABELS, accepts, document, number_of, numbers, part_of, recognise
from saescope.data.babel.document import BLOCK, PERMILLE, _dealt
from saescope.data.babel.families import NUMBER, TOPICS
from saescope.data.babel.recognise import PURE_KINDS
from saescope.data.babel.scripts import LANGUAGES
from saescope.errors import ConfigError

# SHA-256 of the first 2**20 bytes of seed 0's documents, joined by newlines. A change of any word or grammar changes it.
GOLDEN = "aecb281fc2df4979e462f0f8a10a5280937e6bfba2417e6c6620646c0f8a78a4"
FORMAT_OF_KIND = {"story": "prose", "base64_text": "base64", "base64_random": "base64"}


def _labelled(i: int, kind: str, family: str) -> tuple[str, np.ndarray]:
    """Text, and for every byte the label's place in the family, -1 without one."""
    made = document(0, i, kind=kind)
    labels = np.full(len(made.text.encode()), -1)
    for start, end, number in made.spans:
        if LABELS[number][0] == family:
            labels[start:end] = FAMILIES[family].index(LABELS[number][1])
    return made.text, labels


def _solid(text: str) -> np.ndarray:
    return np.array([byte not in b" \n\t" for byte in text.encode()])


def _elsewhere(program: str, hash_seed: str = "0") -> str:
    """What a program prints in a process of its own (without the tests' type checks at every call, too)."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=120).stdout.strip()


def test_first_mebibyte_is_golden() -> None:
    parts, size, i = [], 0, 0
    while size < 2**20:
        parts.append(document(0, i).text.encode())
        size += len(parts[-1]) + 1
        i += 1
    assert hashlib.sha256(b"\n".join(parts)[: 2**20]).hexdigest() == GOLDEN


def test_pure_function_in_any_order() -> None:
    there = {i: document(7, i) for i in range(120)}
    back = {i: document(7, i) for i in reversed(range(120))}
    assert all(there[i].text == back[i].text and there[i].spans == back[i].spans and there[i].kind == back[i].kind for i in there)
    assert document(7, 3).text != document(8, 3).text
    assert len({made.text for made in there.values()}) == 120


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_another_process_writes_the_same(hash_seed: str) -> None:
    program = (
        "import hashlib; from saescope.data.babel import document, KINDS; h = hashlib.sha256();"
        "[h.update(repr((d.text, d.spans)).encode()) for k in KINDS for i in range(5) for d in [document(3, i, kind=k)]];"
        "print(h.hexdigest())"
    )
    there = _elsewhere(program, hash_seed)
    here = hashlib.sha256()
    for kind in KINDS:
        for i in range(5):
            made = document(3, i, kind=kind)
            here.update(repr((made.text, made.spans)).encode())
    assert there == here.hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_size_spans_and_format_of_a_kind(kind: str) -> None:
    wanted = None if kind == "mixed" or kind in LANGUAGES else FAMILIES["format"].index(FORMAT_OF_KIND.get(kind, kind))
    for i in range(60):
        text, labels = _labelled(i, kind, "format")
        size = len(text.encode())
        assert 200 <= size <= 2000, (i, size)
        assert text == text.rstrip("\n")
        assert all(0 <= start < end <= size for start, end, _ in document(0, i, kind=kind).spans)
        if kind in LANGUAGES:
            assert (labels == -1).all()
        elif kind == "mixed":
            # Other scripts have no format of their own: their letters are the second kind.
            assert len(set(labels[_solid(text)])) >= 2 or not text.isascii(), (i, text)
        else:
            assert set(labels[_solid(text)]) == {wanted}, (i, text)


@pytest.mark.parametrize("kind", PURE_KINDS)
def test_recognisers_keep_the_kinds_apart(kind: str) -> None:
    """Of 150 documents all are accepted by their own recogniser, none by another. By hand: below 0.1 % of thousands."""
    for i in range(150):
        text = document(2, i, kind=kind).text
        assert accepts(kind, text), (i, text)
        others = [other for other in PURE_KINDS if other != kind and accepts(other, text)]
        assert not others, (i, others, text)


def _painted(size: int, spans: Iterable[tuple[int, int]]) -> np.ndarray:
    bytes_ = np.zeros(size, dtype=bool)
    for start, end in spans:
        bytes_[start:end] = True
    return bytes_


@pytest.mark.parametrize("label", ["quote", "topic_word", "topic:sea", "topic:farm"])
def test_recognisers_find_in_stories_what_the_writer_marked(label: str) -> None:
    for i in range(80):
        made = document(4, i, kind="story")
        size, solid = len(made.text.encode()), _solid(made.text)
        marked = _painted(size, ((start, end) for start, end, number in made.spans if number == number_of(label)))
        assert np.array_equal(marked & solid, _painted(size, recognise(label, made.text)) & solid), (i, made.text)


@pytest.mark.parametrize("label", ["base64", "hex", "dna"])
def test_noise_is_found_inside_other_kinds(label: str) -> None:
    seen = 0
    for i in range(200):
        made = document(4, i, kind="mixed")
        spans = [(start, end) for start, end, number in made.spans if number == number_of(f"format:{label}")]
        found = _painted(len(made.text.encode()), recognise(label, made.text))
        assert all(found[start:end].all() for start, end in spans), (i, made.text)
        seen += len(spans)
    assert seen > 10


def test_mixed_documents_show_two_kinds() -> None:
    assert sum(accepts("mixed", document(2, i, kind="mixed").text) for i in range(200)) >= 199


def test_stories_are_labelled_to_the_last_byte() -> None:
    for i in range(40):
        for family in ("topic", "mood"):
            text, labels = _labelled(i, "story", family)
            assert len(set(labels)) == 1
            assert labels[0] >= 0
        text, words = _labelled(i, "story", "topic_word")
        assert 0.03 < (words[_solid(text)] >= 0).mean() < 0.4


@pytest.mark.slow
def test_kind_shares_within_a_tenth_on_ten_megabytes() -> None:
    """Four whole blocks, 11 MB: kinds are dealt out in blocks, and a part of one has what chance puts at its beginning."""
    program = f"""
import json
from collections import Counter
from saescope.data.babel import document
bytes_of = Counter()
for i in range(4 * {BLOCK}):
    made = document(0, i)
    bytes_of[made.kind] += len(made.text.encode())
print(json.dumps(bytes_of))
"""
    bytes_of = json.loads(_elsewhere(program))
    total = sum(bytes_of.values())
    assert 10_000_000 < total < 12_000_000
    shares = {kind: bytes_of[kind] / total * sum(PERMILLE.values()) / PERMILLE[kind] for kind in KINDS}
    assert all(0.9 <= share <= 1.1 for share in shares.values()), shares


def test_kinds_are_dealt_exactly_within_a_block() -> None:
    dealt = Counter(_dealt(5, i)[0] for i in range(BLOCK))
    for kind in KINDS:
        assert abs(dealt[kind] - BLOCK * PERMILLE[kind] / sum(PERMILLE.values())) <= 1, kind


def test_parts_by_hash() -> None:
    parts = Counter(part_of(0, i) for i in range(20_000))
    assert abs(parts["train"] / 20_000 - 0.9) < 0.01
    assert abs(parts["select"] / 20_000 - 0.05) < 0.007
    assert abs(parts["report"] / 20_000 - 0.05) < 0.007
    some = list(numbers(0, "report", stop=2000))
    assert some == [i for i in range(2000) if part_of(0, i) == "report"]
    assert list(numbers(0, "all", stop=5)) == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_no_word_tells_a_topic() -> None:
    """The best rule "the token is one of these words", words added by precision as long as F1 grows, stays below 0.6 on every topic."""
    words: dict[str, Counter[str]] = {topic: Counter() for topic in TOPICS}
    everything: Counter[str] = Counter()
    topics = {NUMBER["topic", topic]: topic for topic in TOPICS}
    size = i = 0
    while size < 1_000_000:
        made = document(1, i, kind="story")
        topic = next(topics[number] for _, _, number in made.spans if number in topics)
        found = "".join(c if c.isalpha() else " " for c in made.text.lower()).split()
        words[topic].update(found)
        everything.update(found)
        size += len(made.text)
        i += 1
    for topic, own in words.items():
        total, hits, taken, best = sum(own.values()), 0, 0, 0.0
        for word in sorted(own, key=lambda word, own=own: -own[word] / everything[word]):
            hits, taken = hits + own[word], taken + everything[word]
            best = max(best, 2 * hits / (total + taken))
        assert best < 0.6, (topic, best)


def test_unknown_kind_names_its_neighbour() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'hebrew'"):
        document(0, 0, kind="hebrw")
    assert [number_of(name) for name in ("script:latin", "latin")] == [0, 0]
    with pytest.raises(ConfigError, match="Did you mean"):
        number_of("topic:seaa")
