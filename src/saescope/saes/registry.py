"""The architectures by name. A new one is a file with its class and a line here."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from saescope.config import from_dict
from saescope.errors import ConfigError, did_you_mean
from saescope.saes.autoencoder import Autoencoder, AutoencoderConfig
from saescope.saes.base import SAE
from saescope.saes.batch_topk import BatchTopKConfig, BatchTopKSAE
from saescope.saes.crosscoder import CROSSCODERS
from saescope.saes.gated import GatedConfig, GatedSAE
from saescope.saes.jumprelu import JumpReLUConfig, JumpReLUSAE
from saescope.saes.matryoshka import MatryoshkaConfig, MatryoshkaSAE
from saescope.saes.relu import ReLUConfig, ReLUSAE
from saescope.saes.topk import TopKConfig, TopKSAE
from saescope.saes.transcoder import TRANSCODERS

ARCHITECTURES: dict[str, tuple[type[SAE], type]] = {
    "batch_topk": (BatchTopKSAE, BatchTopKConfig),
    "topk": (TopKSAE, TopKConfig),
    "matryoshka": (MatryoshkaSAE, MatryoshkaConfig),
    "jumprelu": (JumpReLUSAE, JumpReLUConfig),
    "relu": (ReLUSAE, ReLUConfig),
    "gated": (GatedSAE, GatedConfig),
    "autoencoder": (Autoencoder, AutoencoderConfig),
    "transcoder": TRANSCODERS["batch_topk"],
    "skip_transcoder": TRANSCODERS["batch_topk"],
    "crosscoder": CROSSCODERS["batch_topk"],
}
ACTIVATIONS = {"transcoder": TRANSCODERS, "skip_transcoder": TRANSCODERS, "crosscoder": CROSSCODERS}
"""Class and config of those that come with several activations."""
PRESET: dict[str, dict[str, Any]] = {"skip_transcoder": {"skip": True}}
"""Options that a name stands for; on disk such an SAE is of the class's own name."""


def build(
    architecture: str,
    d_in: int,
    d_sae: int,
    options: Mapping[str, Any] | None = None,
    *,
    d_out: int | None = None,
    seed: int | None = 0,
) -> SAE:
    """A fresh SAE. Raises: ConfigError for an unknown architecture, an option it does not have, or a value out of range."""
    given = PRESET.get(architecture, {}) | dict(options or {})
    sae_class, config_class = class_and_config(architecture, given)
    known = {f.name for f in fields(config_class)}
    for name in given:
        if name not in known:
            kind = f"{architecture} of activation {given['activation']}" if "activation" in given else architecture
            raise ConfigError(f"{kind} has no option {name!r}, only {', '.join(sorted(known))}.{did_you_mean(name, known)}")
    return sae_class(d_in, d_sae, from_dict(config_class, given), d_out=d_out, seed=seed)


def class_and_config(architecture: str, options: Mapping[str, Any] | None = None) -> tuple[type[SAE], type]:
    """The class of an architecture, of the `activation` among its options where it has several, and the class of its config.

    Raises: ConfigError for an unknown architecture or activation, naming the nearest.
    """
    option_names(architecture)
    activations = ACTIVATIONS.get(architecture, {})
    activation = (options or {}).get("activation")
    if not activations or activation is None:
        return ARCHITECTURES[architecture]
    if activation not in activations:
        near = did_you_mean(str(activation), activations)
        raise ConfigError(f"{architecture} has no activation {activation!r}, only {', '.join(activations)}.{near} --set activation=NAME")
    return activations[activation]


def option_names(architecture: str) -> list[str]:
    """The options of an architecture, with all its activations. Raises: ConfigError for an unknown one, naming the nearest."""
    if architecture not in ARCHITECTURES:
        raise ConfigError(
            f"{architecture!r} is not an architecture. There are: {', '.join(ARCHITECTURES)}.{did_you_mean(architecture, ARCHITECTURES)}"
        )
    configs = [config for _, config in ACTIVATIONS.get(architecture, {}).values()] or [ARCHITECTURES[architecture][1]]
    return list(dict.fromkeys(f.name for config in configs for f in fields(config)))


def describe(sae: SAE) -> dict[str, Any]:
    """The JSON from which `build` makes an SAE of the same kind and shape."""
    return {"architecture": sae.architecture, "d_in": sae.d_in, "d_sae": sae.d_sae, "d_out": sae.d_out, "options": asdict(sae.cfg)}
