"""Which documents are never trained on. One rule for every page that reports a number on text.

    R (report)   the documents of `holdout="PATH[:N]"`, all of them; without it, those whose hash is 95-99
    S (select)   of the rest, those whose hash is 90-94: what tuning may look at
    train        everything else

The hash is BLAKE2b of the document's number in the whole corpus, mod 100: the same on every machine and for every seed.
"""

import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from saescope.data.local_files import LocalTexts, find_files
from saescope.draws import hash64
from saescope.errors import ConfigError

BEYOND_THE_STREAM = 1 << 30
"""Number of a stream's first held-out document: beyond any document that is ever read from a stream, and within 32 bits."""


def part_of(number: int, *, report_is_given: bool) -> Literal["train", "select", "report"]:
    """The part that the hash gives a document that is not itself held out by a file."""
    bucket = hash64(number, "held-out") % 100
    if bucket >= 95 and not report_is_given:
        return "report"
    return "select" if 90 <= bucket < 95 else "train"


def text_key(text: str) -> bytes:
    """What makes two documents the same one: their text without white space around it."""
    return hashlib.blake2b(text.strip().encode(), digest_size=16).digest()


class HeldOut:
    """The documents of `holdout="PATH[:N]"`: a local file or folder, of which the first N documents (default: all).

    Raises: UnreadableText (no such path), NoTokens (no text in it), ConfigError if N is not between 1 and its documents.
    """

    def __init__(self, given: str, *, column: str, piece: int | None = None):
        path, n = parse_holdout(given)
        keys: list[bytes] = []
        self.texts = LocalTexts(
            f"the holdout {path}", find_files(path), column=column, limit=n, piece=piece, look=lambda _, text: keys.append(text_key(text))
        )
        if n is not None and len(self.texts) < n:
            raise ConfigError(
                f"holdout={given!r} asks for the first {n:,} documents, but {path} has {len(self.texts):,}. "
                f"Hold out at most {len(self.texts):,}, or all of them with holdout={path!r}."
            )
        self._keys, self._known = keys, frozenset(keys)
        self._copies: dict[bytes, deque[int]] = defaultdict(deque)
        self.in_corpus: list[int] = []

    def __len__(self) -> int:
        return len(self.texts)

    def __contains__(self, text: str) -> bool:
        return text_key(text) in self._known

    def look(self, number: int, text: str) -> None:
        """Note a document of a local corpus that is one of these."""
        if (key := text_key(text)) in self._known:
            self._copies[key].append(number)
            self.in_corpus.append(number)

    def numbered(self, beyond: int) -> Iterator[tuple[int, str]]:
        """Number and text of each: its number in the corpus where it is one of its documents, else the numbers from `beyond` on."""
        copies = {key: deque(numbers) for key, numbers in self._copies.items()}
        for i, key in enumerate(self._keys):
            yield (copies[key].popleft() if copies.get(key) else beyond + i), self.texts[i]

    def sha256(self) -> str:
        """Digest of the documents themselves, so that `PATH` and `PATH:N` of the same N documents are one holdout."""
        return hashlib.sha256(b"".join(self._keys)).hexdigest()


def parse_holdout(given: str) -> tuple[str, int | None]:
    """Path and number of "PATH:200"; "PATH" has none. Only digits after the last colon count, so a drive letter is no number.

    Raises: ConfigError for ":0" and for an empty path.
    """
    match = None if Path(given).expanduser().exists() else re.fullmatch(r"(.+):(\d+)", given)
    path, n = (match[1], int(match[2])) if match else (given, None)
    if not path or n == 0:
        raise ConfigError(f"holdout={given!r} holds out nothing. Expected PATH or PATH:N with N at least 1, such as test.txt:200.")
    return path, n
