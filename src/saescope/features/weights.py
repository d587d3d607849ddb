"""What the weights alone say of each feature: cosines, neighbours, and what it does to the output."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from saescope.activations.encode import Dictionary
from saescope.models.route import Route
from saescope.saes.crosscoder import Crosscoder
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel

N_NEIGHBOURS = 16
N_LOGITS, LOGIT_BINS = 20, 40
DUPLICATE = 0.9
BLOCK_NUMBERS = 2**24


def directions(dictionary: Dictionary) -> Float[Tensor, "d_sae d_out"]:
    """W_dec, of a crosscoder with its hook points scaled alike; of a dictionary that names none, what each latent alone adds to
    x_hat: decode(one_i) - decode(0)."""
    if isinstance(dictionary, Crosscoder):
        return dictionary.comparable()[1].float()
    if isinstance(W_dec := getattr(dictionary, "W_dec", None), Tensor):
        return W_dec.detach().float()
    own = [*dictionary.parameters(), *dictionary.buffers()] if isinstance(dictionary, torch.nn.Module) else []
    device = own[0].device if own else torch.device("cpu")
    nothing = dictionary.decode(torch.zeros(1, dictionary.d_sae, device=device))
    blocks = []
    for rows in _blocks(dictionary.d_sae, dictionary.d_sae):
        one = torch.zeros(len(rows), dictionary.d_sae, device=device)
        one[torch.arange(len(rows)), torch.tensor(rows, device=device)] = 1
        blocks.append((dictionary.decode(one) - nothing).detach().float())
    return torch.cat(blocks)


def encoder_cosine(dictionary: Dictionary, W_dec: Float[Tensor, "d_sae d_out"]) -> np.ndarray:
    """cos(W_enc[:, i], W_dec[i]); NaN where there is no W_enc, or it reads another space than W_dec writes."""
    W_enc = encoder(dictionary)
    if W_enc is None or W_enc.shape[0] != W_dec.shape[1] or getattr(dictionary, "transcodes", False):
        return np.full(len(W_dec), np.nan, np.float32)
    return torch.cosine_similarity(W_enc.T, W_dec, dim=1).cpu().numpy()


def encoder(dictionary: Dictionary) -> Float[Tensor, "d_in d_sae"] | None:
    """W_enc, of a crosscoder with its hook points scaled alike; None where there is none."""
    if isinstance(dictionary, Crosscoder):
        return dictionary.comparable()[0].float()
    W_enc = getattr(dictionary, "W_enc", None)
    return W_enc.detach().float() if isinstance(W_enc, Tensor) else None


def written_last(
    dictionary: Dictionary, lm: "LanguageModel", route: Route, W_dec: Float[Tensor, "d_sae d_out"]
) -> "tuple[HookPoint, Float[Tensor, 'd_sae d']]":
    """The last hook point that is written, and what each latent adds there, in the model's own units."""
    last = max(route.writes)
    columns = route.slices(lm)[last]
    if isinstance(dictionary, Crosscoder):
        W_dec = dictionary.W_dec.detach().float()
    return last, W_dec[:, columns]


def neighbours(vectors: Float[Tensor, "n d"], k: int = N_NEIGHBOURS) -> dict[str, np.ndarray]:
    """For each row a the k other rows b of largest cosine: columns a, b, cos; nearest first."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    n, k = len(unit), min(k, len(unit) - 1)
    found: dict[str, list[np.ndarray]] = {"a": [], "b": [], "cos": []}
    for rows in _blocks(n, n):
        cosine = unit[rows.start : rows.stop] @ unit.T
        cosine[torch.arange(len(rows)), torch.arange(rows.start, rows.stop)] = -2
        top = cosine.topk(k, dim=1)
        found["a"].append(np.repeat(np.arange(rows.start, rows.stop), k))
        found["b"].append(top.indices.flatten().cpu().numpy())
        found["cos"].append(top.values.flatten().cpu().numpy())
    return {name: np.concatenate(column) for name, column in found.items()}


def pair_cosine(vectors: Float[Tensor, "n d"], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the rows a and b of each pair."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    step = max(1, BLOCK_NUMBERS // vectors.shape[1])
    parts = [(unit[a[i : i + step]] * unit[b[i : i + step]]).sum(1).cpu().numpy() for i in range(0, len(a), step)]
    return np.concatenate([np.empty(0, np.float32), *parts])


def logit_columns(lm: "LanguageModel", at: "HookPoint", W_dec: Float[Tensor, "d_sae d_out"]) -> dict[str, np.ndarray]:
    """The 20 tokens each direction raises and lowers most, and the histogram of its V logit effects on [lo, hi]."""
    from saescope.interventions.effects import logit_effects

    columns: dict[str, list[np.ndarray]] = {}
    for rows in _blocks(len(W_dec), lm.d_vocab):
        effect_nV = logit_effects(lm, W_dec[rows.start : rows.stop], at).float()
        for name, column in _extremes(effect_nV).items():
            columns.setdefault(name, []).append(column)
    return {name: np.concatenate(column) for name, column in columns.items()}


def _extremes(effect_nV: Float[Tensor, "n V"]) -> dict[str, np.ndarray]:
    n, V = effect_nV.shape
    top, bottom = (effect_nV.topk(min(N_LOGITS, V), dim=1, largest=largest) for largest in (True, False))
    lo, hi = effect_nV.amin(1), effect_nV.amax(1)
    width = torch.where(hi > lo, hi - lo, 1)
    bins = ((effect_nV - lo[:, None]) / width[:, None] * LOGIT_BINS).long().clamp_(0, LOGIT_BINS - 1)
    bins += torch.arange(n, device=bins.device)[:, None] * LOGIT_BINS
    counts = torch.bincount(bins.flatten(), minlength=n * LOGIT_BINS).reshape(n, LOGIT_BINS)
    found = {
        "logit_top": top.indices, "logit_top_val": top.values, "logit_bottom": bottom.indices, "logit_bottom_val": bottom.values,
        "logit_hist": counts, "logit_lo": lo, "logit_hi": hi,
    }  # fmt: skip
    return {name: tensor.cpu().numpy() for name, tensor in found.items()}


def _blocks(n: int, width: int) -> Iterator[range]:
    """Ranges of rows whose products with something `width` wide stay small."""
    step = max(1, BLOCK_NUMBERS // width)
    return (range(i, min(n, i + step)) for i in range(0, n, step))
