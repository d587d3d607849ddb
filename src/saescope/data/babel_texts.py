"""babel as the texts of a corpus: generated when they are read, without end, split by its own rule."""

import re
from collections.abc import Iterator
from typing import Literal

from saescope.data.babel.document import document, numbers, part_of
from saescope.errors import ConfigError, did_you_mean

GRAMMAR = 1
"""Version of the generator: every change of its text changes this number (tests/data/babel holds the hash)."""
PRESETS = {"tiny": 310, "eval": 4_000}
"""Documents of a preset: about 200 kB, and about a million tokens of the bundled model. Without one there is no end."""


def is_babel(text: object) -> bool:
    return isinstance(text, str) and text.split(":")[0] == "babel"


class BabelTexts:
    """The documents of "babel", "babel:SEED", "babel:tiny" or "babel:tiny:SEED", numbered from 0.

    Raises: ConfigError for another word after the colon.
    """

    n_empty = 0

    def __init__(self, given: str, *, limit: int | None = None):
        self.seed, self._stop = 0, limit
        for word in given.split(":")[1:]:
            if re.fullmatch(r"\d{1,9}", word):
                self.seed = int(word)
            elif word in PRESETS:
                self._stop = min(PRESETS[word], limit or PRESETS[word])
            else:
                raise ConfigError(
                    f"{given!r} asks babel for {word!r}.{did_you_mean(word, PRESETS)} Expected babel, babel:SEED, "
                    f"or one of {', '.join(f'babel:{name}' for name in PRESETS)}."
                )

    def part(self, part: Literal["train", "select", "report", "all"]) -> Iterator[tuple[int, str]]:
        return ((i, self[i]) for i in numbers(self.seed, part, stop=self._stop))

    def part_of(self, number: int) -> str:
        return part_of(self.seed, number)

    def __getitem__(self, number: int) -> str:
        return document(self.seed, number).text

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self.part("all")

    @property
    def revision(self) -> str:
        """What decides every byte."""
        return f"grammar {GRAMMAR}, seed {self.seed}"
