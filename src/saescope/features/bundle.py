"""The files of a feature bundle: what each table holds, and how it is written.

manifest.json                      its swap is the only commit
features-0-<sha12>.parquet         one row per feature, sorted by `feature`: FEATURES
examples-0-<sha12>.safetensors     pointers into the tokens and sparse activations (`windows.py`)
tokens-0-<sha12>.safetensors       the corpus read, once: ids U16/U32 and doc U32, [n_rows, longest row]
vocab-0-<sha12>.parquet            VOCAB
pairs-0-<sha12>.parquet            top 16 partners per (kind, a): PAIRS
tokens_fired-0-<sha12>.parquet     top 32 tokens per feature: TOKENS_FIRED
concepts/                          best labels, an artifact of its own that may be added later: `concepts.py`
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

SCHEMA, VERSION = "saescope.features", 1
ROW_GROUP = 8192

FEATURES = {
    "feature": "INTEGER",
    # Counted tokens with f != 0; the same at positions that do not count (BOS, specials, position 0); counted tokens.
    "n_active": "BIGINT", "n_first": "BIGINT", "n_tokens": "BIGINT",
    # n_active / n_tokens; max abs(f); sum f / n_active.
    "density": "DOUBLE", "max_act": "FLOAT", "mean_act": "FLOAT",
    # Variance, skewness and kurtosis (3 for a Gaussian) over active tokens; bits and largest share of the tokens fired on.
    "m2": "DOUBLE", "skew": "DOUBLE", "kurtosis": "DOUBLE", "token_entropy": "DOUBLE", "top_token_share": "DOUBLE",
    # n_active / its sum; sum abs(f) norm(W_dec[i]) / its sum; cos(W_enc[:, i], W_dec[i]).
    "l0_share": "FLOAT", "mass_share": "FLOAT", "enc_dec_cos": "FLOAT",
    # e with 2^(e-1) < max_act <= 2^e = M (NULL: never fired); counts by abs(f), by log2 abs(f), by floor(log2(position + 1)).
    "top_exp": "SMALLINT", "hist_lin": "UINTEGER[]", "hist_log": "UINTEGER[]", "hist_pos": "UINTEGER[]",
    # Extremes and histogram (on [lo, hi]) of the V logit effects; NULL where the hook point has no direct path.
    "logit_top": "INTEGER[]", "logit_top_val": "FLOAT[]", "logit_bottom": "INTEGER[]", "logit_bottom_val": "FLOAT[]",
    "logit_hist": "UINTEGER[]", "logit_lo": "FLOAT", "logit_hi": "FLOAT",
    # Largest abs(W_dec[i, n]) and Pearson's r with those inputs; at mlp_post only, NULL elsewhere.
    "neuron_id": "INTEGER[]", "neuron_weight": "FLOAT[]", "neuron_corr": "FLOAT[]",
    "flags": "USMALLINT",
}  # fmt: skip
PAIRS = {"kind": "VARCHAR", "a": "INTEGER", "b": "INTEGER", "cos": "FLOAT", "corr": "FLOAT", "n_both": "BIGINT"}
TOKENS_FIRED = {"feature": "INTEGER", "token": "INTEGER", "n": "BIGINT", "sum_act": "DOUBLE"}
VOCAB = {"id": "INTEGER", "bytes": "BLOB", "special": "BOOLEAN"}

DEAD, DENSE, SINGLE_TOKEN, POSITION, DUPLICATE, SIGNED = 1, 2, 4, 8, 16, 32
"""Bits of `flags`: never on; density > 0.1; one token has > 0.9 of it; one bin of hist_pos has; decoder cosine > 0.9; has f < 0."""


def write_table(path: Path, types: Mapping[str, str], columns: Mapping[str, np.ndarray]) -> None:
    """A Parquet file of the columns that `types` names: arrays [n], or [n, m] for list types. NaN and absent columns are NULL."""
    import duckdb

    flat: dict[str, np.ndarray] = {}
    expressions = []
    for c, (name, kind) in enumerate(types.items()):
        column = columns.get(name)
        if column is None:
            expressions.append(f'NULL::{kind} AS "{name}"')
        elif kind.endswith("[]"):
            parts = [_scalar(flat, f"c{c}_{j}", column[:, j], kind[:-2]) for j in range(column.shape[1])]
            expressions.append(f'[{", ".join(parts)}]::{kind} AS "{name}"')
        else:
            expressions.append(f'{_scalar(flat, f"c{c}", column, kind)} AS "{name}"')
    # One thread, so that equal columns make equal bytes.
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("given", flat)
        target = str(path).replace("'", "''")
        form = f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
        connection.execute(f"COPY (SELECT {', '.join(expressions)} FROM given) TO '{target}' {form}")


def flags(columns: Mapping[str, np.ndarray], signed: np.ndarray, nearest_cosine: np.ndarray) -> np.ndarray:
    """The bit field of each feature."""
    n = np.maximum(1, columns["n_active"])
    bits = {
        DEAD: columns["n_active"] == 0,
        DENSE: columns["density"] > 0.1,
        SINGLE_TOKEN: np.nan_to_num(columns["top_token_share"]) > 0.9,
        POSITION: columns["hist_pos"].max(1) / n > 0.9,
        DUPLICATE: nearest_cosine > 0.9,
        SIGNED: signed,
    }
    return sum((bit * where.astype(np.uint16) for bit, where in bits.items()), np.zeros(len(n), np.uint16)).astype(np.uint16)


def _scalar(flat: dict[str, np.ndarray], name: str, column: np.ndarray, kind: str) -> str:
    """Adds the column under a name and returns its SQL expression."""
    flat[name] = np.ascontiguousarray(column)
    return f"nullif({name}, 'nan')::{kind}" if column.dtype.kind == "f" else f"{name}::{kind}"
