"""The architectures by name. A new one is a file with its class and a line here."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from saescope.errors import ConfigError, did_you_mean
from saescope.saes.base import SAE
from saescope.saes.batch_topk import BatchTopKConfig, BatchTopKSAE
from saescope.saes.relu import ReLUConfig, ReLUSAE
from saescope.saes.topk import TopKConfig, TopKSAE

ARCHITECTURES: dict[str, tuple[type[SAE], type]] = {
    "batch_topk": (BatchTopKSAE, BatchTopKConfig),
    "topk": (TopKSAE, TopKConfig),
    "relu": (ReLUSAE, ReLUConfig),
}


def build(architecture: str, d_in: int, d_sae: int, options: Mapping[str, Any] | None = None, *, seed: int | None = 0) -> SAE:
    """A fresh SAE. Raises: ConfigError for an unknown architecture, an option it does not have, or a value out of range."""
    if architecture not in ARCHITECTURES:
        raise ConfigError(
            f"{architecture!r} is not an architecture. There are: {', '.join(ARCHITECTURES)}.{did_you_mean(architecture, ARCHITECTURES)}"
        )
    sae_class, config_class = ARCHITECTURES[architecture]
    known = {f.name for f in fields(config_class)}
    for name in options or {}:
        if name not in known:
            raise ConfigError(f"{architecture} has no option {name!r}, only {', '.join(sorted(known))}.{did_you_mean(name, known)}")
    return sae_class(d_in, d_sae, config_class(**(options or {})), seed=seed)


def describe(sae: SAE) -> dict[str, Any]:
    """The JSON from which `build` makes an SAE of the same kind and shape."""
    return {"architecture": sae.architecture, "d_in": sae.d_in, "d_sae": sae.d_sae, "d_out": sae.d_out, "options": asdict(sae.cfg)}
