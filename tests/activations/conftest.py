"""A small corpus for sources that read text."""

import pytest

from saescope.data import Corpus, PackConfig

WORDS = ["the", "cat", "and", "the", "dog", "ran", "on", "and", "on", "in", "the", "rain", "then", "a", "bird", "sang", "another", "song"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    text = "\n<|endoftext|>\n".join(" ".join(WORDS[(i * j) % len(WORDS)] for j in range(1, 4 + i % 9)) for i in range(1, 201))
    path = tmp_path_factory.mktemp("corpus") / "stories.txt"
    path.write_text(text)
    return Corpus.open(path)


@pytest.fixture
def pack():
    return PackConfig(context=24, packing="documents", bos=True, batch_sequences=8)
