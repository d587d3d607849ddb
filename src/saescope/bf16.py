"""Where bf16 pays: by what the processor has, not by a measurement, so that a run can be repeated."""

import torch


def is_fast(device: torch.device) -> bool:
    """Whether products of bf16 matrices take about half as long as those of float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    flags = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(flag() for flag in flags if flag is not None)
