"""What a bundle holds, computed from the parts on disk and from the weights."""

from typing import TYPE_CHECKING, Any

import numpy as np

from saescope import errors
from saescope.activations.encode import Dictionary
from saescope.features import bundle, weights
from saescope.features.coactivation import Coactivation
from saescope.features.counters import Counters
from saescope.features.examples import RandomExamples, StrataExamples, TopExamples
from saescope.features.reducer import PartReducer
from saescope.features.spool import Spool
from saescope.features.tokens_fired import TokensFired
from saescope.features.windows import Windows, gathered, token_table
from saescope.models.route import Route
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from saescope.models.language_model import LanguageModel
    from saescope.models.tokenizer import Tokenizer


def bundle_content(
    sae: Dictionary,
    lm: "LanguageModel",
    route: Route,
    W_dec: Float[Tensor, "d_sae d_out"],
    spool: Spool,
    seed: int,
    coactive_tokens: int,
) -> dict[str, Any]:
    """Everything the bundle holds: columns of its tables, tensors of its files, and the counts of the manifest."""
    F, V = sae.d_sae, max(lm.d_vocab, lm.tokenizer.vocab_size)
    counters, fired = Counters(F), TokensFired(F, V, spool.folder)
    pairs = Coactivation(F, seed, coactive_tokens / max(1, spool.n_tokens), spool.folder)
    top, random, strata = TopExamples(F), RandomExamples(F, seed), StrataExamples(F, seed)
    reducers: list[PartReducer] = [counters, fired, pairs, top, random, strata]
    for part in spool.parts():
        for reducer in reducers:
            reducer.add(part)
    counts = counters.result()
    windows = Windows(gathered([top.result(), random.result(), strata.result(), spool.others["near_misses"].result()]))
    for part in spool.parts():
        windows.add(part)
    row_index, tokens = token_table(spool.parts())
    tokens_fired, fired_columns = fired.result()
    table = {"feature": np.arange(F), **counts, **fired_columns, **_weight_columns(sae, lm, route, W_dec, counts["sum_abs"])}
    if "neurons" in spool.others:
        table |= spool.others["neurons"].result()
    table["top_exp"] = np.where(counts["n_active"] > 0, counts["top_exp"].astype(np.float64), np.nan)
    pair_table, nearest = _pair_table(sae, W_dec, pairs.result())
    table["flags"] = bundle.flags(table, counts["signed"], nearest)
    n_rows, row_width = tokens["ids"].shape
    state = {"n_features": F, "n_alive": int((counts["n_active"] > 0).sum()), "n_active": int(counts["n_active"].sum())}
    state |= {"n_tokens": spool.n_tokens, "n_rows": n_rows, "row_width": row_width, "pair_tokens": pairs.n_tokens}
    return {
        "features": (bundle.FEATURES, table),
        "pairs": (bundle.PAIRS, pair_table),
        "tokens_fired": (bundle.TOKENS_FIRED, tokens_fired),
        "vocab": (bundle.VOCAB, _vocabulary(lm.tokenizer, V)),
        "examples": windows.result(counts["max_act"], row_index, row_width, F),
        "tokens": tokens,
        "state": state,
    }


def _weight_columns(
    sae: Dictionary, lm: "LanguageModel", route: Route, W_dec: Float[Tensor, "d_sae d_out"], sum_abs: np.ndarray
) -> dict[str, np.ndarray]:
    mass = sum_abs * W_dec.norm(dim=1).cpu().double().numpy()
    columns = {"mass_share": mass / (mass.sum() or 1.0), "enc_dec_cos": weights.encoder_cosine(sae, W_dec)}
    try:
        return columns | weights.logit_columns(lm, *weights.written_last(sae, lm, route, W_dec))
    except errors.UnknownHookPoint:  # no direct path from here to the logits: those columns stay NULL
        return columns


def _pair_table(
    sae: Dictionary, W_dec: Float[Tensor, "d_sae d_out"], coactive: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The rows of PAIRS, and each feature's largest decoder cosine with another."""
    near = {"decoder": weights.neighbours(W_dec)}
    if (W_enc := weights.encoder(sae)) is not None:
        near["encoder"] = weights.neighbours(W_enc.T)
    tables = [{"kind": "coactive", "cos": weights.pair_cosine(W_dec, coactive["a"], coactive["b"]), **coactive}]
    tables += [{"kind": kind, **t, **dict.fromkeys(("corr", "n_both"), np.full(len(t["a"]), np.nan))} for kind, t in near.items()]
    table = {name: np.concatenate([t[name] for t in tables]) for name in ("a", "b", "cos", "corr", "n_both")}
    table["kind"] = np.concatenate([np.full(len(t["a"]), t["kind"], object) for t in tables])
    order = np.argsort(table["a"], kind="stable")  # so that one feature's rows lie together
    table = {name: column[order] for name, column in table.items()}
    nearest = np.full(len(W_dec), -1.0)
    np.maximum.at(nearest, near["decoder"]["a"], near["decoder"]["cos"])
    return table, nearest


def _vocabulary(tokenizer: "Tokenizer", n: int) -> dict[str, np.ndarray]:
    special = np.zeros(n, bool)
    special[[i for i in tokenizer.special_ids if 0 <= i < n]] = True
    data = np.empty(n, object)
    data[:] = [tokenizer.token_bytes(i) for i in range(n)]
    return {"id": np.arange(n), "bytes": data, "special": special}
