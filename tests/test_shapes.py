"""Shapes in public signatures are checked while the tests run: a test that this is so."""

import pytest
import torch
from jaxtyping import TypeCheckError

from saescope.stats import CoMoments


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.ones(4, 2), torch.ones(5, 3)),
        (torch.ones(4), torch.ones(4, 3)),
        (torch.ones(4, 2, dtype=torch.int64), torch.ones(4, 3)),
    ],
    ids=["different n", "one dimension", "integers"],
)
def test_wrong_shapes_are_refused(x, y):
    with pytest.raises(TypeCheckError):
        CoMoments(2, 3).add(x, y)


def test_right_shapes_pass():
    CoMoments(2, 3).add(torch.ones(4, 2), torch.ones(4, 3))
