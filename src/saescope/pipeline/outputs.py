"""Whether an artifact may go into a folder, asked before anything is computed."""

import os
import re
from pathlib import Path

from saescope.disk import read_json
from saescope.errors import CorruptArtifact, OutputNotWritable, OutputOccupied
from saescope.run_folder import RunFolder

_FILES = {
    "saescope.eval": r"result\.json|eval",
    "saescope.features": r"manifest\.json|[a-z_]+-0-[0-9a-f]{12}\.(parquet|safetensors)|parts|labels|derived|concepts",
    "saescope.cache": r"manifest\.json|items|shards",
    "saescope.concepts": r"result\.json",
    "saescope.before-after": r"result\.json",
}
"""By schema, what an artifact of it leaves in its folder."""
_COMMIT = {schema: "manifest.json" if schema in ("saescope.features", "saescope.cache") else "result.json" for schema in _FILES}
_PART_OF_A_RUN = ("saescope.eval", "saescope.features")
"""What may also be written into the folder of a run."""


def refuse_occupied(folder: Path, schema: str, *, flag: str = "--out") -> None:
    """Raises: OutputOccupied if the folder that `flag` gives holds anything but an artifact of this schema; OutputNotWritable."""
    refuse_unwritable(folder, flag=flag)
    if not folder.is_dir() or (schema in _PART_OF_A_RUN and RunFolder(folder).read_config() is not None):
        return
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("tmp-"))
    foreign = [name for name in names if not re.fullmatch(_FILES[schema], name)]
    if "shards" in names and "items" not in names:  # not of a cache, which writes items first: perhaps a model's weights
        foreign.append("shards")
    if not foreign and (folder / _COMMIT[schema]).exists() and not _is_of(folder / _COMMIT[schema], schema):
        foreign = [_COMMIT[schema]]
    if foreign:
        some = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise OutputOccupied(f"{folder} is not empty and holds no {schema}, but {some}. Choose a new or empty folder with {flag}.")


def refuse_unwritable(folder: Path | str, *, flag: str = "--out") -> None:
    """Raises: OutputNotWritable if a file stands where the folder would be, or the place is read-only."""
    folder = Path(folder)
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise OutputNotWritable(f"{folder} cannot be made: {nearest} is a file. Choose another folder with {flag}.")
    if not os.access(nearest, os.W_OK):
        raise OutputNotWritable(f"{folder} cannot be written: {nearest} is read-only for you. Choose another folder with {flag}.")


def _is_of(path: Path, schema: str) -> bool:
    try:
        raw = read_json(path, missing="")
    except CorruptArtifact:
        return False
    return isinstance(raw, dict) and str(raw.get("schema", "")).partition("/")[0] == schema
