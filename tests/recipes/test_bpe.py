"""The tokenizer: every text comes back, pieces are what they should be, sizes that do not fit are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saescope.errors import ConfigError
from saescope.recipes.bpe import BOS, train_tokenizer

TEXT = ["The cat sat on the mat and the dog sat on the log. ", "ACGTTGCAACGTTGCAAACGTACGTTTGCATTACG" * 3, "مدرسة الولد في المدرسة "] * 4


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXT, 300)


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_decode_undoes_encode(text):
    tokenizer = test_decode_undoes_encode.tokenizer
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


test_decode_undoes_encode.tokenizer = train_tokenizer(TEXT, 300)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("The cat, don't XMLParser x = 42", ["The", " cat", ",", " don", "'", "t", " XML", "Parser", " x", " =", " 4", "2"]),
        ("def f():\n    return a_b\n\n", ["def", " f", "():", "\n    ", "return", " a", "_", "b", "\n\n"]),
        ("ACGTTGCAACGTTGCAAA", ["ACG", "TTG", "CAA", "CGT", "TGC", "AAA"]),
        ("read ACGTTGCAACGTTGCAAAC ok", ["read", " ", "ACG", "TTG", "CAA", "CGT", "TGC", "AAA", "C", " ok"]),
        ("an HTTPServer of the USA", ["an", " HTTP", "Server", " of", " the", " USA"]),
        (" ABANDONED SHIP", [" ABANDONED", " SHIP"]),
        ("id a3f9deadbeef001234cafe", ["id", " ", *"a3f9deadbeef001234cafe"]),
        ("YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4", [*"YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4"]),
        ("café Привет 한국어", ["café", " Привет", " 한국어"]),
    ],
)
def test_pieces(tokenizer, text, pieces):
    split = tokenizer.backend_tokenizer.pre_tokenizer
    assert [text[a:b] for _, (a, b) in split.pre_tokenize_str(text)] == pieces


def test_has_the_size_asked_for_and_one_special_token(tokenizer):
    assert len(tokenizer) == 300
    assert tokenizer.all_special_tokens == [BOS]
    assert tokenizer.bos_token_id == tokenizer.eos_token_id == 0


def test_is_the_same_every_time(tokenizer):
    assert train_tokenizer(TEXT, 300).backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


@pytest.mark.parametrize("size", [0, 257, 65_537])
def test_refuses_sizes_out_of_range(size):
    with pytest.raises(ConfigError, match="--vocab"):
        train_tokenizer(TEXT, size)


def test_refuses_more_merges_than_the_text_supports():
    with pytest.raises(ConfigError, match=r"supports a vocabulary of 2\d\d, 4,096 were asked for"):
        train_tokenizer(["aaaa bbbb"], 4096)
