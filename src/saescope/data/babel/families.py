"""What babel says of every token: families of labels, each a partition of the text ("none" where no label of the family holds)."""

from saescope.errors import ConfigError, did_you_mean

TOPICS = ("sea", "garden", "kitchen", "school", "space", "music", "market", "weather", "trains", "castle", "farm", "hospital")
MOODS = ("cheerful", "gloomy", "tense")
SCRIPTS = ("latin", "arabic", "hebrew", "hangul", "cyrillic", "greek", "han", "devanagari", "thai")
STRUCTURED = ("python", "json", "html", "csv", "latex", "http", "url", "academic", "legal")
NOISE = ("base64", "hex", "dna")
CASED = ("numbers", "caps", "snake", "caps_snake")
FORMATS = (*STRUCTURED, *NOISE, *CASED, "prose")

FAMILIES: dict[str, tuple[str, ...]] = {
    "script": SCRIPTS,
    "format": FORMATS,
    # Every byte of a story whose topic it is: known from the context alone. topic_word: only the words of the topic's list.
    "topic": TOPICS,
    "topic_word": ("topic_word",),
    "mood": MOODS,
    "pos": ("noun", "verb", "adjective", "adverb", "pronoun", "determiner", "preposition", "conjunction"),
    "tense": ("past", "present", "future"),
    "number": ("singular", "plural"),
    "role": ("subject", "object"),
    "quote": ("quote",),
    "line": ("first", "inner", "last"),
    "char_byte": ("byte_2", "byte_3", "byte_4"),
    "depth": ("depth_1", "depth_2", "depth_3", "depth_4"),
    "rule": ("copied_name", "bigram_exception", "html_tag", "html_attribute", "html_text", "html_close"),
}
"""Labels by family. `line` and `char_byte` are of tokens and bytes in any text; the other families are marked by the generator."""

LABELS: tuple[tuple[str, str], ...] = tuple((family, label) for family, labels in FAMILIES.items() for label in labels)
"""(family, label) by number."""
NUMBER = {pair: number for number, pair in enumerate(LABELS)}


def number_of(name: str) -> int:
    """Number of "family:label", or of a label alone: every label belongs to one family. Raises: ConfigError."""
    family, _, label = name.rpartition(":")
    found = [n for (f, l), n in NUMBER.items() if l == label and family in ("", f)]
    if not found:
        names = [f"{f}:{l}" for f, l in LABELS]
        raise ConfigError(
            f"{name!r} is no label of babel.{did_you_mean(name, [*names, *(l for _, l in LABELS)])} "
            f"Families: {', '.join(FAMILIES)}; labels: {', '.join(names)}."
        )
    return found[0]
