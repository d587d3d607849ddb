"""Random codes of random sequences, and every way to cut them up."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import bundle_maker

from saescope.draws import draws
from saescope.features.part import Part


def make_part(seed: int, *, n_rows=30, longest=20, n_features=12, n_vocabulary=9, density=0.25, n_docs=11, scale=8.0, signed=False) -> Part:
    """A part whose activations span many powers of two, with exact powers, ties and uncounted tokens."""
    rng = draws(seed, "test part")
    lengths = rng.integers(1, longest + 1, n_rows)
    n = int(lengths.sum())
    rows = np.repeat(rng.permutation(3 * n_rows)[:n_rows], lengths).astype(np.int32)
    positions = np.concatenate([np.arange(length) for length in lengths]).astype(np.int32)
    counted = (positions > 0) & (rng.random(n) > 0.1)
    dense = np.exp2(rng.uniform(-scale, 3, (n, n_features))).astype(np.float32) * (rng.random((n, n_features)) < density)
    dense = np.where(rng.random(dense.shape) < 0.3, np.exp2(np.round(np.log2(np.maximum(dense, 1e-9)))) * (dense > 0), dense).astype(
        np.float32
    )
    if signed:
        dense *= rng.choice([-1, 1], dense.shape).astype(np.float32)
    dense[:, -1] = 0  # one dead feature
    token, latent = dense.nonzero()
    return Part(
        tokens=rng.integers(0, n_vocabulary, n).astype(np.int32),
        docs=(rows % n_docs).astype(np.int32),
        rows=rows,
        positions=positions,
        counted=counted,
        n_active=(dense != 0).sum(1).astype(np.int32),
        latent=latent.astype(np.uint16),
        value=dense[token, latent],
    )


def select(part: Part, keep: np.ndarray) -> Part:
    """The tokens marked in `keep`."""
    columns = {name: getattr(part, name)[keep] for name in ("tokens", "docs", "rows", "positions", "counted", "n_active")}
    entries = keep[part.token_of]
    return Part(**columns, latent=part.latent[entries], value=part.value[entries])


def cut(part: Part, seed: int, pieces: int = 4) -> list[Part]:
    """Whole rows dealt at random into some parts, in random order."""
    rng = draws(seed, "test cut")
    names = np.unique(part.rows)
    owner = dict(zip(names.tolist(), rng.integers(0, pieces, len(names)).tolist(), strict=True))
    owners = np.array([owner[row] for row in part.rows.tolist()])
    return [select(part, owners == piece) for piece in rng.permutation(pieces)]


def dense_of(part: Part, n_features: int = 12) -> np.ndarray:
    """[tokens, features], zero where a token does not count."""
    dense = np.zeros((len(part.tokens), n_features), np.float32)
    dense[part.token_of, part.latent] = part.value
    return dense * part.counted[:, None]


class Parts:
    make, cut, dense = staticmethod(make_part), staticmethod(cut), staticmethod(dense_of)

    @staticmethod
    def same_in_any_order(make, part: Part, seed: int) -> None:
        """One pass == any split into parts == any tree of merges, in the bits of the state."""
        whole = make()
        whole.add(part)
        pieces = cut(part, seed)
        chained = make()
        for piece in pieces:
            chained.add(piece)
        halves = []
        for piece in pieces:
            halves.append(make())
            halves[-1].add(piece)
        right = halves[1]
        right.merge(halves[0])
        left = halves[2]
        left.merge(halves[3])
        right.merge(left)
        for other in (chained, right):
            a, b = whole.arrays(), other.arrays()
            assert list(a) == list(b)
            for name in a:
                assert a[name].dtype == b[name].dtype
                np.testing.assert_array_equal(a[name], b[name], err_msg=name, strict=True)


@pytest.fixture
def parts() -> type[Parts]:
    return Parts


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    return bundle_maker.write_text(tmp_path_factory.mktemp("text") / "words.txt")


@pytest.fixture(scope="session")
def store(tiny_lm, text, tmp_path_factory):
    """A finished bundle; shared: tests must not change it."""
    return bundle_maker.build(tiny_lm, text, tmp_path_factory.mktemp("bundle") / "features")
