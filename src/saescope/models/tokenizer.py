"""Text <-> ids <-> bytes. What a token *is* here are its bytes: a character cut in two by tokens is never shown as mojibake."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from saescope.files import canonical_json

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE_PIECE = "▁"
_SIGNS = {"\n": "⏎", "\t": "⇥"}
_UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Co", "Cn"}
"""Unicode categories without a picture: controls, bidi marks and zero-width characters, line separators, unassigned."""


class Tokenizer:
    """A Hugging Face tokenizer whose ids have bytes.

    Nothing is ever added to a text: whether a sequence starts with BOS is packing's decision. Special tokens that are written out
    in a text are recognised, as Hugging Face does.
    """

    def __init__(self, hf: Any):
        self.hf = hf

    @property
    def bos_id(self) -> int | None:
        return self.hf.bos_token_id

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """BOS, EOS, padding, … : ids that stand for no text."""
        return frozenset(self.hf.all_special_ids)

    @cached_property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included; the model may have more rows."""
        return len(self.hf)

    @cached_property
    def max_length(self) -> int | None:
        """Longest sequence the tokenizer's files speak of; None where they do not."""
        length = self.hf.model_max_length
        return int(length) if length and length < 10**7 else None

    @cached_property
    def sha256(self) -> str:
        """12 hex digits over everything that decides which ids a text has."""
        content = {key: value for key, value in self._spec.items() if key not in ("truncation", "padding")}
        return hashlib.sha256(canonical_json(content or self.hf.get_vocab()).encode()).hexdigest()[:12]

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without any added token."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        # verbose=False: no warning about texts longer than the model's context, which packing cuts.
        return self.hf(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []

    def decode(self, ids: Iterable[int]) -> str:
        return self.hf.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def token_bytes(self, i: int) -> bytes:
        """The bytes a token stands for; of a special token, its name. b"" for ids that the model has and the tokenizer does not.

        Joined over `encode(text)` they are the text's UTF-8, save for the space that SentencePiece puts before a text.
        """
        return self._bytes[i] if 0 <= i < len(self._bytes) else b""

    def display(self, i: int) -> str:
        """One token for a list: ⏎ and ⇥, ⟨E2 80⟩ for bytes that are no whole character, ⟨U+202E⟩ for characters without a picture."""
        data = self.token_bytes(i)
        return readable(data) if data else f"⟨id {i}⟩"

    @cached_property
    def _spec(self) -> dict[str, Any]:
        """tokenizer.json, or nothing for a tokenizer written in Python."""
        backend = getattr(self.hf, "backend_tokenizer", None)
        return json.loads(backend.to_str()) if backend is not None else {}

    @cached_property
    def _bytes(self) -> list[bytes]:
        added = {i: token.content for i, token in self.hf.added_tokens_decoder.items()}
        pieces = self.hf.convert_ids_to_tokens(list(range(self.vocab_size)))
        to_bytes = _from_byte_alphabet if self._has_byte_alphabet else _from_piece
        return [added[i].encode() if i in added else to_bytes(piece) if piece else b"" for i, piece in enumerate(pieces)]

    @property
    def _has_byte_alphabet(self) -> bool:
        rules = canonical_json([self._spec.get("pre_tokenizer"), self._spec.get("decoder")])
        return '"ByteLevel"' in rules or hasattr(self.hf, "byte_decoder")


def readable(data: bytes) -> str:
    """Bytes as one line of visible text; see `Tokenizer.display`."""
    text, bad = "", b""
    while data:
        try:
            good, broken, data = data.decode(), b"", b""
        except UnicodeDecodeError as error:
            good, broken, data = data[: error.start].decode(), data[error.start : error.end], data[error.end :]
        if good and bad:
            text, bad = text + _hex(bad), b""
        text, bad = text + "".join(map(_visible, good)), bad + broken
    return text + _hex(bad)


def _hex(data: bytes) -> str:
    return f"⟨{data.hex(' ').upper()}⟩" if data else ""


def _visible(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    return f"⟨U+{ord(character):04X}⟩" if unicodedata.category(character) in _UNSEEN else character


def _byte_alphabet() -> dict[str, int]:
    """Byte by character of the alphabet that GPT-2 writes bytes in: printable bytes as themselves, the others from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _from_byte_alphabet(piece: str) -> bytes:
    return b"".join(bytes([_ALPHABET[c]]) if c in _ALPHABET else c.encode() for c in piece)


def _from_piece(piece: str) -> bytes:
    """Bytes of a SentencePiece piece: `<0xE2>` is a byte, ▁ a space."""
    if match := _BYTE_PIECE.fullmatch(piece):
        return bytes([int(match[1], 16)])
    return piece.replace(_SPACE_PIECE, " ").encode()
