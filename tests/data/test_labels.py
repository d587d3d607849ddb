"""Labels of bytes become labels of tokens, whatever the tokens are and however they are packed."""

import numpy as np
import pytest

from saescope.data import Document, PackConfig, pack
from saescope.data.labels import NONE, UNDECIDED, Labeller, TextLabelling, token_labels
from saescope.errors import ConfigError

FAMILIES = ("kind",)


class Cutter:
    """A tokenizer that cuts a text's bytes after every `size`, optionally with a space ahead, as SentencePiece does."""

    bos_id, special_ids = 0, frozenset({0})

    def __init__(self, size, ahead=b""):
        self.size, self.ahead, self.pieces = size, ahead, [b"<s>"]

    def encode_batch(self, texts):
        return [self._encode(self.ahead + text.encode()) for text in texts]

    def _encode(self, data):
        ids = []
        for i in range(0, len(data), self.size):
            self.pieces.append(data[i : i + self.size])
            ids.append(len(self.pieces) - 1)
        return ids

    def token_bytes(self, i):
        return self.pieces[i]


def labels(text, marks, pieces):
    """Labels of one family: `marks` has a digit per byte."""
    row = np.array([[int(c) for c in marks]], np.int8)
    return token_labels(row, pieces, text, FAMILIES)[:, 0].tolist()


@pytest.mark.parametrize(
    ("text", "marks", "pieces", "expected"),
    [
        ("abcd", "1100", [b"ab", b"cd"], [1, NONE]),
        ("abcd", "1100", [b"abc", b"d"], [UNDECIDED, NONE]),
        ("abcd", "1122", [b"a", b"bc", b"d"], [1, UNDECIDED, 2]),
        ("ab cd", "11011", [b"ab", b" cd"], [1, 1]),  # the space has no say
        ("ab cd", "11111", [b"ab", b" ", b"cd"], [1, 1, 1]),  # but alone it has
        ("ab cd", "11011", [b"ab", b" ", b"cd"], [1, NONE, 1]),
        ("ab", "11", [b" ab"], [1]),  # a space ahead belongs to no byte
        ("ab", "11", [b" ", b"a", b"", b"b", b""], [NONE, 1, NONE, 1, NONE]),
        ("ab", "11", [b"A", b"b"], [UNDECIDED, UNDECIDED]),  # the tokens are of another text
    ],
)
def test_a_token_has_the_label_that_all_its_bytes_have(text, marks, pieces, expected):
    assert labels(text, marks, pieces) == expected


def test_lines_have_a_first_and_a_last_token():
    text = "one two three\nfour\n\nfive six"
    pieces = [b"one", b" two", b" three", b"\n", b"four", b"\n\n", b"five", b" six"]
    found = token_labels(np.zeros((1, len(text)), np.int8), pieces, text, ("line",))[:, 0].tolist()
    assert found == [1, 2, 3, 0, 1, 0, 1, 3]


def test_scripts_and_later_bytes_are_seen_in_any_text():
    text = TextLabelling().byte_labels(Document(0, "aя1中"))
    assert text[0].tolist() == [1, 5, 5, 0, 7, 7, 7]
    assert text[1].tolist() == [0, 0, 1, 0, 0, 1, 2]
    ascii_only = TextLabelling().byte_labels(Document(0, "a 1"))
    assert ascii_only[0].tolist() == [1, 0, 0]
    assert not ascii_only[1].any()


@pytest.mark.parametrize("packing", ["documents", "stream"])
@pytest.mark.parametrize("ahead", [b"", b" "])
def test_packed_tokens_keep_their_labels(packing, ahead):
    """Each source writes with letters of its own: the label of every token can be read off its bytes."""
    documents = [Document(i, ("abc" if i % 2 else "xyz") * (3 + i)) for i in range(40)]
    labelling = TextLabelling(("even", "odd"), lambda i: "odd" if i % 2 else "even")
    tokenizer = Cutter(3, ahead)
    labeller = Labeller(labelling, tokenizer, ["source"])
    cfg = PackConfig(context=16, packing=packing, batch_sequences=4)
    n = 0
    for batch in pack(labeller.watch(documents), tokenizer, cfg):
        found = labeller(batch)[..., 0]
        for token, label, place in zip(batch.tokens.flatten(), found.flatten(), batch.places.flatten(), strict=True):
            if place < 0:
                assert label == NONE
                continue
            letter = tokenizer.pieces[int(token)].strip()[:1]
            assert label == (2 if letter in b"abc" else 1)
            n += 1
    assert n > 300
    assert labeller.families == {"source": ("even", "odd")}


def test_places_count_the_tokens_of_a_document_across_sequences():
    tokenizer = Cutter(1)
    batches = list(pack([Document(5, "abcdefghij"), Document(9, "klmnop")], tokenizer, PackConfig(context=6, packing="stream")))
    assert batches[0].places.tolist() == [[-1, 0, 1, 2, 3, 4], [5, 6, 7, 8, 9, -1], [0, 1, 2, 3, 4, 5]]


def test_an_unknown_family_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'topics' is no family.*Families: script, char_byte, line\."):
        Labeller(TextLabelling(), Cutter(1), ["topics"])
