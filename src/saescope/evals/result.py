"""The outcome of an evaluation: metrics by row and key, and the two tables beside them. `result.json` is its commit."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from saescope import errors
from saescope.disk import read_json, write_json
from saescope.files import ArtifactWriter, Manifest, reading, verified
from saescope.shapes import Tensor

SCHEMA, VERSION = "saescope.eval", 1
RESULT, FOLDER = "result.json", "eval"
Better = Literal["lower", "higher", ""]
Status = Literal["ok", "skipped", "missing", "error"]
_AGAIN = "Evaluate again: saescope eval SAE."
_DATA_FILE = re.compile(r"^(latents|tables)-[0-9a-f]{12}\.(parquet|safetensors)$")


@dataclass(frozen=True)
class Metric:
    """One number: its 95 % interval over documents, what it was counted on, and why it is missing where it is."""

    value: float | None
    ci: tuple[float, float] | None = None
    n: int | None = None
    """Tokens it was computed from (latents, for geometry)."""
    unit: str = ""
    better: Better = ""
    status: Status = "ok"
    reason: str | None = None
    """Why `value` is None; beside a value, what must be known to read it."""


@dataclass
class EvalResult:
    """Rows (`sae` and its controls) of metrics keyed `group.name`, with provenance, warnings and tables.

    `latents` is the per-latent table of the row `sae` (NaN: not measured), `tables` its histograms.
    """

    rows: dict[str, dict[str, Metric]]
    provenance: dict[str, Any] = field(default_factory=dict)
    suite: str = "quick"
    warnings: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    latents: dict[str, Tensor] = field(default_factory=dict)
    tables: dict[str, Tensor] = field(default_factory=dict)

    def metric(self, row: str, key: str) -> Metric:
        """Raises: ConfigError for a row or key that this evaluation does not have."""
        if row not in self.rows:
            near = errors.did_you_mean(row, self.rows)
            raise errors.ConfigError(f"no row {row!r} in this evaluation. Rows: {', '.join(self.rows)}.{near}")
        metrics = self.rows[row]
        if key in metrics:
            return metrics[key]
        if self.missing(row):
            return metrics["row"]
        raise errors.ConfigError(f"row {row!r} has no metric {key!r}.{errors.did_you_mean(key, metrics)} It has: {', '.join(metrics)}.")

    def value(self, row: str, key: str) -> float | None:
        """The number at (row, key), or None where it does not exist."""
        return self.metric(row, key).value

    def missing(self, row: str) -> str | None:
        """Why a whole row was not computed, or None if it was."""
        metrics = self.rows[row]
        return metrics["row"].reason if set(metrics) == {"row"} else None

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": f"{SCHEMA}/{VERSION}",
            "suite": self.suite,
            "warnings": self.warnings,
            "files": self.files,
            "environment": self.environment,
            "provenance": self.provenance,
            "rows": {row: {key: _metric_json(metric) for key, metric in metrics.items()} for row, metrics in self.rows.items()},
        }

    def save(self, folder: Path | str) -> Path:
        """Write `eval/*` and then swap in `result.json`; returns its path. Raises: DiskFull, OutputNotWritable."""
        folder = Path(folder)
        writer = ArtifactWriter(folder / FOLDER, SCHEMA, VERSION, site="eval")
        if self.latents:
            writer.add_file("latents", "parquet", lambda path: _write_parquet(path, self.latents))
        if self.tables:
            writer.add_tensors("tables", self.tables)
        self.files = {f"{FOLDER}/{name}": entry for name, entry in sorted(writer.files.items())}
        write_json(folder / RESULT, self.to_json(), site="eval.swap")
        for path in (folder / FOLDER).iterdir():
            if _DATA_FILE.match(path.name) and f"{FOLDER}/{path.name}" not in self.files:
                path.unlink(missing_ok=True)
        return folder / RESULT

    @classmethod
    def load(cls, folder: Path | str, *, verify: Literal["full", "size"] = "full") -> "EvalResult":
        """The evaluation committed in a folder, its files checked. Raises: NotAnArtifact, CorruptArtifact, NewerSchema."""
        folder = Path(folder)
        raw = read_json(folder / RESULT, missing=f"{folder} holds no evaluation: it has no {RESULT}. Make one: saescope eval SAE.")
        _check_schema(raw, folder)
        with reading(folder / RESULT, "evaluation"):
            rows = {row: {key: _metric(entry) for key, entry in metrics.items()} for row, metrics in raw["rows"].items()}
            parts = {name: raw[name] for name in ("provenance", "suite", "warnings", "environment", "files")}
            result = cls(rows=rows, **parts)
            _read_files(result, folder, verify)
        return result


def _metric_json(metric: Metric) -> dict[str, Any]:
    """All fields that say something; `value` and `status` always."""
    said = {key: item for key, item in asdict(metric).items() if item not in (None, "") or key in ("value", "status")}
    return said | ({"ci": list(metric.ci)} if metric.ci else {})


def _metric(entry: Mapping[str, Any]) -> Metric:
    ci = entry.get("ci")
    return Metric(**{**entry, "ci": tuple(ci) if ci else None})


def _check_schema(raw: Any, folder: Path) -> None:
    name, _, version = str(raw.get("schema", "") if isinstance(raw, dict) else "").partition("/")
    if not version.isdigit():
        raise errors.CorruptArtifact(f"{folder / RESULT} names no schema: it is not an evaluation of saescope. {_AGAIN}")
    if name != SCHEMA:
        raise errors.NotAnArtifact(f"{folder / RESULT} is a {name}, but a {SCHEMA} was expected here.")
    if int(version) > VERSION:
        raise errors.NewerSchema(
            f"{folder / RESULT} is version {version} of {SCHEMA}; this saescope reads up to {VERSION}. "
            f"It was written by saescope {raw.get('environment', {}).get('saescope', '?')}: install that version or a newer one."
        )


def _write_parquet(path: Path, columns: Mapping[str, Tensor]) -> None:
    import duckdb

    with duckdb.connect(config={"threads": 1}) as db:
        latents = {name: column.detach().cpu().numpy() for name, column in columns.items()}  # noqa: F841 (read by the query below)
        selected = ", ".join(_nullable(name, column) for name, column in columns.items())
        db.execute(f"COPY (SELECT {selected} FROM latents) TO {_quoted(path)} (FORMAT parquet, COMPRESSION zstd)")


def _nullable(name: str, column: Tensor) -> str:
    """NaN is what a tensor has for "not measured"; the file says NULL."""
    return f'if(isnan("{name}"), NULL, "{name}") AS "{name}"' if column.is_floating_point() else f'"{name}"'


def _read_files(result: EvalResult, folder: Path, verify: Literal["full", "size"]) -> None:
    import torch
    from safetensors.torch import load_file

    manifest = Manifest(schema=SCHEMA, version=VERSION, files=result.files)
    for name in result.files:
        path = verified(folder, manifest, name, verify=verify)
        if path.suffix == ".safetensors":
            result.tables = load_file(path)
        elif path.suffix == ".parquet":
            import duckdb

            with duckdb.connect() as db:
                columns = db.execute(f"SELECT * FROM read_parquet({_quoted(path)})").fetchnumpy()
            result.latents = {key: torch.from_numpy(_filled(column)) for key, column in columns.items()}


def _filled(column: Any) -> Any:
    import numpy as np

    return column.filled(np.nan) if isinstance(column, np.ma.MaskedArray) and column.dtype.kind == "f" else np.asarray(column)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
