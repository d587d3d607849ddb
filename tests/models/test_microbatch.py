import pytest
import torch

from saescope.models.microbatch import Microbatch


def limited(n_rows, error, calls):
    def run(rows):
        calls.append((rows.start, rows.stop))
        if rows.stop - rows.start > n_rows:
            raise error
        return list(range(rows.start, rows.stop))

    return run


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no"), RuntimeError("MPS backend out of memory (…)")])
def test_halves_until_it_fits_and_covers_every_row_once(error):
    microbatch, calls = Microbatch(), []
    parts = microbatch.map(limited(3, error, calls), 10, 4, may_split=True)
    assert [row for part in parts for row in part] == list(range(10))
    assert calls == [(0, 10), (0, 5), (0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    calls.clear()
    microbatch.map(limited(3, error, calls), 4, 8, may_split=True)
    assert calls == [(0, 1), (1, 2), (2, 3), (3, 4)]  # twice as long, half as many


def test_one_row_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        Microbatch().map(limited(0, torch.OutOfMemoryError("no"), []), 2, 4, may_split=True)


def test_what_may_not_be_split_is_not():
    calls = []
    with pytest.raises(torch.OutOfMemoryError):
        Microbatch().map(limited(1, torch.OutOfMemoryError("no"), calls), 2, 4, may_split=False)
    assert calls == [(0, 2)]


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match="shape"):
        Microbatch().map(limited(1, RuntimeError("shape"), []), 2, 4, may_split=True)
