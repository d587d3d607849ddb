"""Short hashes that tell one model from another."""

import hashlib
from typing import Any

import torch
from torch import nn

from saescope.files import canonical_json

WHOLE_BELOW = 64 * 2**20
"""Models of fewer parameters are hashed whole; of larger ones, a fixed sample of each tensor, so that it stays under a second or two."""

SAMPLE = 4096


def weights_sha256(hf: nn.Module) -> str:
    """12 hex digits over the architecture and the weights, in the dtype they are loaded in.

    Names of files and versions of libraries do not count. On the device "meta" only names and shapes do.
    """
    digest = hashlib.sha256(canonical_json(_architecture(getattr(hf, "config", None))).encode())
    parameters = sorted(hf.named_parameters())
    whole = sum(parameter.numel() for _, parameter in parameters) < WHOLE_BELOW
    for name, parameter in parameters:
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        if parameter.device.type != "meta":
            digest.update(_bytes(parameter.detach(), whole))
    return digest.hexdigest()[:12]


def _bytes(weights: torch.Tensor, whole: bool) -> Any:
    flat = weights.reshape(-1)
    if not whole and flat.numel() > SAMPLE:
        flat = flat[:: flat.numel() // SAMPLE]
    return flat.cpu().contiguous().view(torch.uint8).numpy()


def _architecture(config: Any) -> dict[str, Any]:
    """The config without what does not change a number."""
    if config is None or not hasattr(config, "to_diff_dict"):
        return {}
    ignored = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache", "architectures"}
    return {key: repr(value) for key, value in config.to_diff_dict().items() if key not in ignored}
