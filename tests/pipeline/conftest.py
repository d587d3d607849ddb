"""What the tests of whole jobs share."""

import pytest

from saescope.pipeline import subject


@pytest.fixture(scope="module")
def small_batches():
    """Few sequences at a time, so that every stage has many batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "FORWARD_TOKENS", 128)
        yield
