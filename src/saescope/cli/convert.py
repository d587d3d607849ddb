"""saescope convert SAE OUT --to FORMAT: an SAE in another library's format, or one of another library in ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from saescope.cli._common import console, parse, print_json
from saescope.errors import OutputOccupied
from saescope.pipeline.outputs import refuse_unwritable

if TYPE_CHECKING:
    from saescope.saes.base import SAE

PROBES = 256


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """What is converted, and into what."""

    sae: Path
    """A run, an SAE folder, or a folder of another library."""
    out: Path
    """New folder for the converted SAE."""
    to: Literal["saescope", "saelens"]
    """The format: saescope (manifest.json and weights), or saelens (cfg.json and sae_weights.safetensors)."""
    json: bool = False
    """Print what was written as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(
        argv,
        ConvertOptions,
        prog="saescope convert",
        description="SAE OUT: the SAE in another format, the same function of activations.",
        positional=("sae", "out"),
    )
    refuse_unwritable(options.out, flag="OUT")
    if options.out.is_dir() and any(options.out.iterdir()):
        raise OutputOccupied(f"{options.out} is not empty. Give a new or empty folder as OUT.")
    from saescope.interop import open_sae, saelens
    from saescope.saes.storage import save

    opened = open_sae(options.sae)
    if options.to == "saelens":
        saelens.write(opened.sae, options.out, opened.provenance)
    else:
        save(opened.sae, options.out, opened.provenance)
    written = open_sae(options.out)
    facts = {
        "out": str(options.out),
        "from": opened.format,
        "to": written.format,
        "architecture": opened.sae.architecture,
        "d_in": opened.sae.d_in,
        "d_sae": opened.sae.d_sae,
        "largest_difference": largest_difference(opened.sae, written.sae),
    }
    if options.json:
        print_json(facts)
    else:
        console().print(
            f"{facts['from']} to {facts['to']}: {facts['architecture']}, {facts['d_in']:,} to {facts['d_sae']:,} latents: {options.out}\n"
            f"opened again, x_hat differs by at most {facts['largest_difference']:.1e} of its size on {PROBES} random vectors"
        )
    return 0


def largest_difference(one: "SAE", other: "SAE") -> float:
    """max |x_hat - x_hat'| / max |x_hat| over standard normal vectors."""
    import numpy as np
    import torch

    from saescope.draws import draws

    x = torch.from_numpy(draws(0, "convert").standard_normal((PROBES, one.d_in), dtype=np.float32))
    with torch.no_grad():
        x_hat = one(x)
        return ((x_hat - other(x)).abs().max() / x_hat.abs().max().clamp_min(torch.finfo(x_hat.dtype).tiny)).item()
