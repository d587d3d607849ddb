from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from saescope.models.tokenizer import Tokenizer, readable

TEXTS = {
    "english": "Once upon a time, in Zürich.\n\tThe end",
    "arabic": "الحمد لله رب العالمين",
    "hebrew": "כל בני האדם נולדו בני חורין",
    "hangul": "모든 인간은 태어날 때부터 자유로우며",
    "emoji": "🙂👩‍👩‍👧 ok",
    "bytes and spaces": "a  b\u00a0c\u200b\u202e\r\n x",
    "tag": "<0xE2> &lt; Ġ",
}
FOLDERS = ["tokenizers/gpt2", "models/stories260K", "models/stories3M"]


def joined(tokenizer: Tokenizer, text: str) -> bytes:
    return b"".join(tokenizer.token_bytes(i) for i in tokenizer.encode(text))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(tiny.tiny_tokenizer())


@cache
def real_tokenizer(path) -> Tokenizer:
    from transformers import AutoTokenizer

    return Tokenizer(AutoTokenizer.from_pretrained(path))


@pytest.mark.real
@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_bytes_of_a_real_tokenization_are_the_text(real, folder, text):
    # SentencePiece puts a space before a text
    prefix = b"" if folder == "tokenizers/gpt2" else b" "
    assert joined(real_tokenizer(real / folder), text) == prefix + text.encode()


@pytest.mark.real
@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("file", ["arabic/udhr_arb.txt", "hebrew/udhr_heb.txt", "korean/udhr_kor.txt"])
def test_the_bytes_of_real_texts(real, folder, file):
    text = (real / "text" / file).read_text(encoding="utf-8")[:4000]
    prefix = b"" if folder == "tokenizers/gpt2" else b" "
    assert joined(real_tokenizer(real / folder), text) == prefix + text.encode()


@given(st.text())
def test_the_bytes_of_any_text(text):
    tokenizer = Tokenizer(tiny.tiny_tokenizer())
    assert joined(tokenizer, text) == text.encode()


def sentencepiece_like() -> Tokenizer:
    from tokenizers import AddedToken, decoders, models, normalizers
    from tokenizers import Tokenizer as Backend
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "h", "i", "▁h", "▁hi"]
    backend = Backend(
        models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=[("▁", "h"), ("▁h", "i")], byte_fallback=True, unk_token="<unk>")
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens([AddedToken("<s>", special=True)])
    backend.add_tokens([AddedToken("▁Ġadded", special=False)])
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", unk_token="<unk>"))


def test_byte_pieces_and_spaces():
    tokenizer = sentencepiece_like()
    assert joined(tokenizer, "hi hi €🙂") == " hi hi €🙂".encode()
    assert tokenizer.token_bytes(2 + 0xE2) == b"\xe2"
    assert tokenizer.display(2 + 0xE2) == "⟨E2⟩"


def test_added_tokens_are_literal(tokenizer):
    sentencepiece = sentencepiece_like()
    assert sentencepiece.token_bytes(sentencepiece.vocab_size - 1) == "▁Ġadded".encode()
    assert tokenizer.token_bytes(0) == b"<s>"


def test_ids_beyond_the_tokenizer_have_no_bytes(tokenizer):
    assert tokenizer.token_bytes(10**6) == b""
    assert tokenizer.token_bytes(-1) == b""
    assert tokenizer.display(10**6) == "⟨id 1000000⟩"


def test_nothing_is_added_and_nothing_is_said_about_length():
    tokenizer = sentencepiece_like()
    tokenizer.hf.model_max_length = 2
    assert tokenizer.encode("hi hi hi") == [tokenizer.vocab_size - 2] * 3
    assert tokenizer.encode_batch(["hi", "", "hi hi"]) == [tokenizer.encode("hi"), tokenizer.encode(""), tokenizer.encode("hi hi")]
    assert tokenizer.encode_batch([]) == []


def test_facts(tokenizer):
    assert tokenizer.bos_id == 0
    assert tokenizer.special_ids == {0}
    assert tokenizer.vocab_size == 267
    assert tokenizer.max_length == 32
    assert tokenizer.decode(tokenizer.encode(" the שלום")) == " the שלום"


def test_without_bos():
    hf = tiny.tiny_tokenizer().__class__(tokenizer_object=tiny.tiny_tokenizer().backend_tokenizer)
    assert Tokenizer(hf).bos_id is None
    assert Tokenizer(hf).max_length is None


def test_the_hash_is_of_what_decides_the_ids(tokenizer):
    from transformers import PreTrainedTokenizerFast

    same = Tokenizer(PreTrainedTokenizerFast(tokenizer_object=tiny.tiny_tokenizer().backend_tokenizer))
    same.hf(["a", "bb"], padding=False, truncation=True, max_length=1)
    assert same.sha256 == tokenizer.sha256
    assert sentencepiece_like().sha256 != tokenizer.sha256


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b" the", " the"),
        (b"\n", "⏎"),
        (b"\t x", "⇥ x"),
        (b"\xe2\x80", "⟨E2 80⟩"),
        (b"\x80\x81", "⟨80 81⟩"),
        (b"a\xe2\x80b", "a⟨E2 80⟩b"),
        (b"\xffa\xff", "⟨FF⟩a⟨FF⟩"),
        ("\u202e".encode(), "⟨U+202E⟩"),
        ("\u200b".encode(), "⟨U+200B⟩"),
        (b"\x00", "⟨U+0000⟩"),
        (b"\r", "⟨U+000D⟩"),
        ("عر".encode(), "عر"),
        (b"", ""),
    ],
)
def test_readable(data, text):
    assert readable(data) == text
