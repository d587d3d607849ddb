"""saescope hooks MODEL: what can be read and edited, and how wide it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saescope.cli._common import console, parse, print_json
from saescope.cli.run import model_first
from saescope.pipeline.config import ModelConfig
from saescope.pipeline.subject import open_model


@dataclass(frozen=True, kw_only=True)
class HooksOptions(ModelConfig):
    """A model."""

    json: bool = False
    """Print them as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(model_first(argv), HooksOptions, prog="saescope hooks", description="MODEL: its hook points, their modules and widths.")
    lm = open_model(options)
    infos: list[dict[str, Any]] = [
        {"at": str(info.at), "path": info.path, "width": info.width, "check": info.check} for info in lm.hook_points()
    ]
    if options.json:
        print_json({"model": lm.name, "layers": lm.n_layers, "hook_points": infos, "refused": dict(lm.refused)})
        return 0
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, justify in (("hook point", "left"), ("width", "right"), ("module", "left"), ("check", "left")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for info in infos:
        table.add_row(str(info["at"]), f"{info['width']:,}", str(info["path"]), str(info["check"]))
    out = console()
    out.print(f"{lm.name}: {lm.n_layers} layers, d_model {lm.d_model:,}, vocabulary {lm.d_vocab:,}, context {lm.context_length:,}")
    out.print(table)
    for kind, why in lm.refused.items():
        out.print(f"refused: {kind}: {why}")
    return 0
