import re

import pytest

from saescope import errors


def tree():
    """The tree drawn in the docstring: [(depth, name)]."""
    return [
        (len(match[1]) // 4, match[2])
        for match in re.finditer(r"^    ([│├└─ ]*)(\w+)(?=\s|$)", errors.__doc__, re.MULTILINE)
        if match[2][0].isupper()
    ]


def test_the_drawn_tree_is_the_real_one():
    drawn, stack = {}, []
    for depth, name in tree():
        stack[depth:] = [name]
        drawn[name] = stack[depth - 1] if depth else "Exception"
    real = {name: cls.__bases__[0].__name__ for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, Exception)}
    assert drawn == real


def test_all_are_one_family():
    with pytest.raises(errors.SaescopeError):
        raise errors.DiskFull("no space")
    assert not issubclass(errors.SaescopeError, ValueError)  # a stray `except ValueError` must not swallow a user's mistake


def test_did_you_mean():
    assert errors.did_you_mean("blocks.3.mlp_pst", ["blocks.3.mlp_post", "x"]) == " Did you mean 'blocks.3.mlp_post'?"
    assert errors.did_you_mean("topkk", ["topk", "batch_topk"]).startswith(" Did you mean 'topk' or 'batch_topk'?")
    assert errors.did_you_mean("zzz", ["topk"]) == ""
    assert errors.did_you_mean("a", []) == ""
