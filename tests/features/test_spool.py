import numpy as np
import pytest
import torch

from saescope.activations.encode import Chunk, Code
from saescope.errors import NonFiniteActivations
from saescope.features import spool as spool_module
from saescope.features.counters import Counters
from saescope.features.spool import Spool


def chunks(part, size: int) -> list[Chunk]:
    """The part as chunks that cut rows anywhere."""
    found = []
    for first in range(0, len(part.tokens), size):
        own = slice(first, first + size)
        entries = slice(part.indptr[first], part.indptr[min(first + size, len(part.tokens))])
        columns = [torch.from_numpy(getattr(part, name)[own]) for name in ("tokens", "docs", "rows", "positions", "counted")]
        x = torch.zeros(len(columns[0]), 1)
        token, latent, value = part.token_of[entries] - first, part.latent[entries].astype(np.int64), part.value[entries]
        found.append(Chunk(*columns, x, x, x, Code(*map(torch.from_numpy, (token, latent, value)), len(x), 12)))
    return found


@pytest.mark.parametrize("size", [3, 1000])
def test_chunks_come_back_as_the_part_they_were(parts, tmp_path, size):
    part = parts.make(0)
    spool = Spool(tmp_path / "parts", 12, {}, {})
    for chunk in chunks(part, size):
        spool.add(chunk)
    spool.commit(1, 1)
    (back,) = spool.parts()
    for name in part.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(back, name), getattr(part, name), err_msg=name)


def test_it_goes_on_from_the_last_commit(parts, tmp_path):
    part, state = parts.make(0), Counters(12)
    state.add(part)
    first = Spool(tmp_path / "parts", 12, {"other": state}, {"seed": 0})
    for n, piece in enumerate(chunks(part, 40)):
        first.add(piece)
        first.commit(n + 1, 40 * (n + 1))
    fresh = Counters(12)
    second = Spool(tmp_path / "parts", 12, {"other": fresh}, {"seed": 0})
    assert (second.n_batches, second.n_tokens) == (n + 1, 40 * (n + 1))
    assert [len(p.tokens) for p in second.parts()] == [len(c.tokens) for c in chunks(part, 40)]
    for name, array in state.arrays().items():
        np.testing.assert_array_equal(array, fresh.arrays()[name])


@pytest.mark.parametrize("damage", ["identity", "bytes", "missing"])
def test_parts_that_do_not_fit_are_begun_anew(parts, tmp_path, damage):
    first = Spool(tmp_path / "parts", 12, {}, {"seed": 0})
    first.add(chunks(parts.make(0), 1000)[0])
    first.commit(1, 1)
    path = tmp_path / "parts" / first.part_names()[0]
    if damage == "bytes":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    elif damage == "missing":
        path.unlink()
    second = Spool(tmp_path / "parts", 12, {}, {"seed": int(damage == "identity")})
    assert (second.n_batches, second.part_names()) == (0, [])


def test_a_code_that_is_not_finite_names_its_document(parts, tmp_path):
    part = parts.make(0)
    part.value[7] = np.nan
    token = part.token_of[7]
    with pytest.raises(NonFiniteActivations, match=rf"document {part.docs[token]}, position {part.positions[token]} is not finite"):
        Spool(tmp_path / "parts", 12, {}, {}).add(chunks(part, 1000)[0])


def test_it_is_full_by_entries_or_by_tokens(parts, tmp_path, monkeypatch):
    spool = Spool(tmp_path / "parts", 12, {}, {})
    spool.add(chunks(parts.make(0), 1000)[0])
    assert not spool.full
    monkeypatch.setattr(spool_module, "PART_TOKENS", 5)
    assert spool.full
