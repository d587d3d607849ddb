"""Which bytes of a text carry a label, and of which kind a text is: exact rules that know nothing of the generator's templates."""

import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from saescope.data.babel.document import KINDS
from saescope.data.babel.families import LABELS, SCRIPTS, TOPICS, number_of
from saescope.data.babel.recognise_formats import RECOGNISERS
from saescope.data.babel.recognise_text import FINDERS, CharacterSpans, prose_spans
from saescope.data.babel.unicode_blocks import script_of
from saescope.data.babel.words_topics import story_topic, topic_of_word
from saescope.errors import ConfigError, did_you_mean

ByteSpans = list[tuple[int, int]]
_WORD = re.compile(r"[A-Za-z]+")
_Finder = Callable[[str], CharacterSpans]
PURE_KINDS = tuple(kind for kind in KINDS if kind != "mixed")
_DISTINCT = (*(kind for kind in PURE_KINDS if kind not in ("story", "base64_text", "base64_random")), "base64", "prose")
"""Recognisers of which a mixed document shows two."""


def recognise(label: str, text: str) -> ByteSpans:
    """Byte spans (start, end) of the text that carry the label, "family:label" or the label alone; kinds' names are taken too.

    Topics hold for the whole text, which must have prose. Raises: ConfigError for a label that text alone does not show (mood, role, ...).
    """
    family, _, name = label.rpartition(":")
    finder = _finders().get(name)
    if finder is None or (family and (family, name) not in LABELS):
        if name not in KINDS:
            number_of(label)
        names = [f"{f}:{l}" for f, l in LABELS if l in _finders()] + ["base64_text", "base64_random", "story"]
        near = did_you_mean(name, [*names, *_finders()])
        raise ConfigError(f"No recogniser for {label!r}: the text alone does not show it.{near} Recognisable: {', '.join(names)}.")
    return _in_bytes(finder(text), text)


def accepts(kind: str, text: str) -> bool:
    """Whether the recogniser of the kind matches at least half of the text's non-space bytes; for "mixed": whether two recognisers match.

    Raises: ConfigError for an unknown kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"{kind!r} is no kind of babel's documents.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}.")
    if kind == "mixed":
        return sum(bool(_finders()[name](text)) for name in _DISTINCT) >= 2
    return _covered(_finders()[kind](text), text) >= 0.5


def kind_of(text: str) -> str | None:
    """The pure kind whose recogniser covers most of the text, at least half; else "mixed" if two recognisers match; else None."""
    share, best = max((_covered(_finders()[kind](text), text), -place) for place, kind in enumerate(PURE_KINDS))
    if share >= 0.5:
        return PURE_KINDS[-best]
    return "mixed" if accepts("mixed", text) else None


def _covered(spans: CharacterSpans, text: str) -> float:
    """Share of the text's non-space bytes inside the spans."""
    if not spans:
        return 0.0
    inside, counted = np.zeros(len(text), dtype=bool), _sizes(text) * ~_spaces(text)
    for start, end in spans:
        inside[start:end] = True
    total = int(counted.sum())
    return float(counted[inside].sum()) / total if total else 0.0


def _in_bytes(spans: CharacterSpans, text: str) -> ByteSpans:
    if text.isascii():
        return spans
    edges = np.concatenate([[0], np.cumsum(_sizes(text))])
    return [(int(edges[start]), int(edges[end])) for start, end in spans]


def _codepoints(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _sizes(text: str) -> np.ndarray:
    """Bytes of each character in UTF-8."""
    codes = _codepoints(text)
    return 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)


def _spaces(text: str) -> np.ndarray:
    return np.isin(_codepoints(text), [9, 10, 11, 12, 13, 32])


@lru_cache
def _finders() -> dict[str, _Finder]:
    """Finder by label or kind, in characters."""
    return {
        **RECOGNISERS,
        **FINDERS,
        **{script: _of_script(script) for script in SCRIPTS},
        **{topic: _of_topic(topic) for topic in TOPICS},
        "topic_word": _topic_words,
        "story": lambda text: prose_spans(text) if story_topic(text) else [],
    }


def _of_script(script: str) -> _Finder:
    number = 1 + SCRIPTS.index(script)

    def letters(text: str) -> CharacterSpans:
        mine = np.concatenate([[False], script_of(_codepoints(text)) == number, [False]])
        edges = np.flatnonzero(mine[1:] != mine[:-1])
        return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]

    return letters


def _of_topic(topic: str) -> _Finder:
    return lambda text: [(0, len(text))] if story_topic(text) == topic and prose_spans(text) else []


def _topic_words(text: str) -> CharacterSpans:
    """Words of the list of the text's own topic."""
    topic = story_topic(text) if prose_spans(text) else None
    known = topic_of_word()
    return [span for span, word in _words(text) if topic and known.get(word) == topic]


def _words(text: str) -> list[tuple[tuple[int, int], str]]:
    return [(match.span(), match[0].lower()) for match in _WORD.finditer(text)]
