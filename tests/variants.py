"""Every architecture, with every option that changes its equations: what a test of all classes runs over.

A new architecture joins by a line here; `test_properties.py` fails while one is missing.
"""

from collections.abc import Callable
from typing import Any

import torch

from saescope.draws import draws
from saescope.saes.base import SAE, TrainState
from saescope.saes.registry import build
from saescope.toys.synthetic import SyntheticConfig, SyntheticTruth
from saescope.training.loop import Job

K = 3
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "topk": ("topk", {"k": K}),
    "batch_topk": ("batch_topk", {"k": K}),
    "matryoshka": ("matryoshka", {"k": K}),
    "relu": ("relu", {"l1": 0.3}),
    "relu free": ("relu", {"l1": 0.3, "decoder": "free"}),
    "gated": ("gated", {"l1": 0.3}),
    "jumprelu target_l0": ("jumprelu", {"l0": K}),
    "jumprelu target_l0_per_token": ("jumprelu", {"l0": K, "sparsity": "target_l0_per_token", "coefficient": 0.1}),
    "jumprelu l0": ("jumprelu", {"sparsity": "l0", "coefficient": 0.3}),
    "jumprelu tanh": ("jumprelu", {"sparsity": "tanh", "coefficient": 0.3, "bandwidth": 2.0}),
    "jumprelu tanh_quadratic": ("jumprelu", {"sparsity": "tanh_quadratic", "coefficient": 0.03, "bandwidth": 2.0}),
    "autoencoder": ("autoencoder", {}),
    "transcoder batch_topk": ("transcoder", {"k": K}),
    "transcoder topk": ("transcoder", {"activation": "topk", "k": K}),
    "transcoder relu": ("transcoder", {"activation": "relu", "l1": 0.3}),
    "transcoder relu free": ("transcoder", {"activation": "relu", "l1": 0.3, "decoder": "free"}),
    "transcoder jumprelu target_l0": ("transcoder", {"activation": "jumprelu", "l0": K}),
    "skip_transcoder batch_topk": ("skip_transcoder", {"k": K}),
    "skip_transcoder relu": ("skip_transcoder", {"activation": "relu", "l1": 0.3}),
    "crosscoder batch_topk": ("crosscoder", {"k": K}),
    "crosscoder relu": ("crosscoder", {"activation": "relu", "l1": 0.3}),
    "crosscoder jumprelu target_l0": ("crosscoder", {"activation": "jumprelu", "l0": K}),
}
"""Name -> (architecture, options)."""


def make(name: str, d_in: int = 16, d_sae: int = 24, *, seed: int = 1, **options: Any) -> SAE:
    """A fresh SAE of a variant; `options` come on top of its own."""
    architecture, own = VARIANTS[name]
    widths = {"widths": (d_in - d_in // 4, d_in // 4)} if architecture == "crosscoder" else {}
    d_out = d_in - 4 if "transcoder" in architecture else None
    return build(architecture, d_in, d_sae, own | widths | options, d_out=d_out, seed=seed)


def moved(name: str, d_in: int = 16, d_sae: int = 24, **options: Any) -> SAE:
    """The same in float64, with every parameter away from its start and thresholds at about 0.4."""
    sae = make(name, d_in, d_sae, **options).double()
    with torch.no_grad():
        for parameter, p in sae.named_parameters():
            p.add_(0.2 * normal(*p.shape, name=parameter))
        for threshold in set(sae.thresholds) & set(sae.state_dict()):
            sae.state_dict()[threshold].fill_(0.4)
            if threshold in ("theta", "b_mag", "b_gate"):
                sae.state_dict()[threshold].add_(0.1 * normal(d_sae, name=threshold))
    sae.constrain_()
    return sae


def normal(*shape: int, name: str = "x") -> torch.Tensor:
    return torch.from_numpy(draws(0, "test", name).standard_normal(shape))


def data(sae: SAE, **config: Any) -> SyntheticTruth:
    """A source that the SAE can train on: one hook point, or two of unequal width."""
    d = sae.d_in + (sae.d_out if sae.transcodes else 0)
    source = SyntheticTruth(SyntheticConfig(d=d, **config))
    if sae.transcodes or sae.joins:
        first = sae.d_in if sae.transcodes else sae.cfg.widths[0]
        source.slices = {"a": slice(0, first), "b": slice(first, d)}
    return source


def job(sae: SAE, **kwargs: Any) -> Job:
    """The SAE with what it reads and reconstructs of `data(sae)`."""
    if sae.transcodes:
        return Job(sae, read=("a",), target="b", **kwargs)
    return Job(sae, read=("a", "b") if sae.joins else (), **kwargs)


def target_of(sae: SAE, n: int) -> torch.Tensor:
    """What `loss` is to reconstruct from normal(n, d_in): the same rows, or others where it transcodes."""
    return normal(n, sae.d_out, name="target") if sae.transcodes else normal(n, sae.d_in)


def state(sae: SAE, dead: tuple[int, ...] = (), **kwargs: Any) -> TrainState:
    """Full sparsity, and these latents dead."""
    mask = torch.zeros(sae.d_sae, dtype=torch.bool)
    mask[list(dead)] = True
    return TrainState(**{"step": 0, "tokens": 0, "sparsity_scale": 1.0, "dead": mask, **kwargs})


def total(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(terms.values())).sum()


def by_latent(sae: SAE, change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
    """The SAE's state with `change` applied to every tensor that has an entry per latent, latents first."""
    changed = {}
    for name, value in sae.state_dict().items():
        if name == "W_enc":
            value = change(value.T).T
        elif value.ndim and len(value) == sae.d_sae:
            value = change(value)
        changed[name] = value
    return changed
