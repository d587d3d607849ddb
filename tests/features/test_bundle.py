import duckdb
import numpy as np

from saescope.features import bundle

TYPES = {"id": "INTEGER", "x": "DOUBLE", "name": "VARCHAR", "data": "BLOB", "list": "FLOAT[]", "absent": "INTEGER[]", "n": "BIGINT"}


def columns(n: int = 5) -> dict[str, np.ndarray]:
    data = np.empty(n, object)
    data[:] = [bytes([i % 256, 0xFF, 0]) for i in range(n)]
    return {
        "id": np.arange(n),
        "x": np.where(np.arange(n) == 1, np.nan, 0.1 * np.arange(n)),
        "name": np.full(n, "it's", object),
        "data": data,
        "list": np.stack([np.arange(n), np.full(n, np.nan)], 1).astype(np.float32),
        "n": np.where(np.arange(n) == 2, np.nan, 3.0),
        "unused": np.arange(n),
    }


def test_tables_come_back_with_null_for_nan(tmp_path):
    path = tmp_path / "it's.parquet"
    bundle.write_table(path, TYPES, columns())
    with duckdb.connect() as connection:
        relation = connection.read_parquet(str(path))
        assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == TYPES
        rows = relation.fetchall()
    assert rows[1] == (1, None, "it's", b"\x01\xff\x00", [1.0, None], None, 3)
    assert rows[2] == (2, 0.2, "it's", b"\x02\xff\x00", [2.0, None], None, None)


def test_equal_columns_make_equal_bytes(tmp_path):
    for name in "ab":
        bundle.write_table(tmp_path / name, TYPES, columns(20_000))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_table_without_rows(tmp_path):
    bundle.write_table(tmp_path / "a", TYPES, columns(0))
    with duckdb.connect() as connection:
        assert connection.read_parquet(str(tmp_path / "a")).fetchall() == []


def test_flags_say_what_the_columns_say():
    table = {
        "n_active": np.array([0, 200, 10, 10]),
        "density": np.array([0, 0.2, 0.01, 0.01]),
        "top_token_share": np.array([np.nan, 0.1, 0.95, 0.5]),
        "hist_pos": np.array([[0, 0], [100, 100], [10, 0], [5, 5]]),
    }
    found = bundle.flags(table, np.array([False, True, False, False]), np.array([0, 0, 0.5, 0.95]))
    assert found.tolist() == [bundle.DEAD, bundle.DENSE | bundle.SIGNED, bundle.SINGLE_TOKEN | bundle.POSITION, bundle.DUPLICATE]
    assert found.dtype == np.uint16
