"""What the reducers of the feature build have in common: their state is arrays, so that it can be saved, compared and merged."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from saescope.activations.encode import Reducer
from saescope.features.part import Part


class PartReducer(Protocol):
    """Reads the parts that the encode pass left on disk."""

    def add(self, part: Part) -> None: ...


class PassReducer(Reducer, Protocol):
    """Reads the encode pass itself, for what is not kept on disk; its state is saved with every part."""

    def arrays(self) -> dict[str, np.ndarray]: ...

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None: ...


class Monoid:
    """A reducer whose attributes are arrays, plain parameters, or other Monoids.

    `merge` is commutative and associative, exactly: sums are of integers, maxima are maxima, and whatever is kept is the k best
    under a total order. So shards, their order, and an interrupted build cannot show in a result.
    """

    def settle(self) -> None:
        """Bring the arrays into the one form that equal content has."""

    def arrays(self) -> dict[str, np.ndarray]:
        """The state, by dotted names."""
        return {name: getattr(owner, attribute) for name, owner, attribute in self._walk()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over a state that `arrays` gave."""
        for name, owner, attribute in list(self._walk()):
            setattr(owner, attribute, arrays[name])

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
        self.settle()
        for attribute, value in vars(self).items():
            if isinstance(value, np.ndarray):
                yield prefix + attribute, self, attribute
            elif isinstance(value, Monoid):
                yield from value._walk(f"{prefix}{attribute}.")
