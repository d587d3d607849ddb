"""Noise is one run of independent, equally likely characters; the entropy floors are the whole truth."""

import math
from base64 import b64decode
from collections import Counter
from itertools import pairwise

import pytest

from saescope.data.babel import accepts, noise
from saescope.data.babel.draw import Draw
from saescope.data.babel.families import NUMBER
from saescope.data.babel.page import Page
from saescope.data.babel.writers import Writer


def _text(writer: Writer, i: int, size: int = 400) -> str:
    page = Page()
    writer(page, Draw(0, i), size)
    return page.text()


@pytest.mark.parametrize(
    ("writer", "bits", "alphabet"),
    [
        (noise.write_base64_random, 6, noise.BASE64_ALPHABET),
        (noise.write_hex, 4, noise.HEX_ALPHABET),
        (noise.write_dna, 2, noise.DNA_ALPHABET),
    ],
)
def test_entropy_per_character_is_the_floor(writer: Writer, bits: int, alphabet: bytes) -> None:
    text = "".join(_text(writer, i, 1500).rstrip("=")[:-4] for i in range(100))
    counts = Counter(text)
    assert set(counts) == set(alphabet.decode())
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    assert bits - 0.002 < entropy <= bits
    pairs, expected = Counter(pairwise(text)), len(text) / 4**bits
    chi2 = sum((n - expected) ** 2 for n in pairs.values()) / expected + (4**bits - len(pairs)) * expected
    assert abs(chi2 - 4**bits) < 6 * math.sqrt(2 * 4**bits)


@pytest.mark.parametrize("writer", [noise.write_base64_text, noise.write_base64_random, noise.write_hex, noise.write_dna])
def test_a_document_is_one_run_of_one_label(writer: Writer) -> None:
    page = Page()
    writer(page, Draw(3, 4), 300)
    label = {"write_hex": "hex", "write_dna": "dna"}.get(writer.__name__, "base64")
    assert page.text().split() == [page.text()]
    assert page.spans() == [(0, page.size, NUMBER["format", label])]


def test_base64_of_text_decodes_to_sentences_and_random_has_every_padding() -> None:
    for i in range(50):
        raw = b64decode(_text(noise.write_base64_text, i), validate=True).decode("ascii")
        assert raw.startswith("the ")
        assert raw.endswith(".")
    endings = {len(run) - len(run.rstrip("=")) for run in (_text(noise.write_base64_random, i) for i in range(50))}
    assert endings == {0, 1, 2}
    assert all(len(b64decode(_text(noise.write_base64_random, i), validate=True)) > 290 for i in range(50))


@pytest.mark.parametrize(("piece", "kind"), [("base64_run", "base64_random"), ("hex_run", "hex"), ("dna_run", "dna")])
@pytest.mark.parametrize("n", [1, 16, 27, 64])
def test_small_pieces_are_recognised(piece: str, kind: str, n: int) -> None:
    assert all(accepts(kind, getattr(noise, piece)(Draw(1, i), n)) for i in range(200))
