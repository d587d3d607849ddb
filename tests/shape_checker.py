"""The type checker that jaxtyping calls in the tests: beartype, on annotations that hold array shapes and on no others.

The other annotations are mypy's business: protocols that cannot be tested at run time, and names that only type checkers import.
"""

from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def check(function):
    for name, hint in list(function.__annotations__.items()):
        if not _holds_shapes(hint):
            function.__annotations__[name] = Any
    return beartype(function)


def _holds_shapes(hint: Any) -> bool:
    leaves = list(_leaves(hint))
    known = all(isinstance(leaf, type) and not getattr(leaf, "_is_protocol", False) for leaf in leaves)
    return known and any(issubclass(leaf, AbstractArray) for leaf in leaves)


def _leaves(hint: Any):
    args = get_args(hint)
    if not args:
        yield hint
    for arg in args:
        yield from _leaves(arg)
