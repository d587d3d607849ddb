"""Artifacts: folders of data files committed by one JSON. Safetensors, Parquet and JSON only; nothing here unpickles.

The protocol, the same for every artifact:

1. each data file is written as `tmp-<pid>-<name>`, hashed on the way, synced, and renamed;
2. a final name is never overwritten (data is named by its content: `weights-<sha12>.safetensors`);
3. the manifest is written last and swapped in. **The swap is the commit**: before it, nothing has happened;
4. data files that no manifest names any more are swept afterwards.

A manifest names every file with its bytes and sha256; readers check both. `digest()` leaves out the environment, so that an
interrupted and resumed run has the digest of an uninterrupted one.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from saescope import errors
from saescope.disk import fault_site, make_folder, read_json, sha256_of, sweep_abandoned, sync, write_json, writing

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
_DATA_NAME = re.compile(r"^[a-z0-9_-]+-[0-9a-f]{12}\.(safetensors|parquet)$")
_FILE_NAME = re.compile(r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")  # below the folder: no "..", nothing absolute
_Table = Mapping[str, Any] | None


@dataclass(frozen=True)
class Manifest:
    """What one artifact is: its schema, its files with sizes and hashes, and where it came from."""

    schema: str
    version: int
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """sha256 of the canonical JSON without `environment`."""
        content = {key: value for key, value in vars(self).items() if key != "environment"}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def file(self, stem: str) -> str:
        """The file whose name starts with `<stem>-`. Raises: CorruptArtifact if the manifest names none."""
        for name in self.files:
            if re.match(rf"{re.escape(stem)}-[0-9a-f]{{12}}\.", name) or name == stem:
                return name
        raise errors.CorruptArtifact(f"the manifest of this {self.schema} names no {stem!r} file: {sorted(self.files)}. Make it again.")


class ArtifactWriter:
    """Writes one artifact by the protocol above.

        writer = ArtifactWriter(folder, "saescope.sae", 1)
        writer.add_tensors("weights", {"W_enc": ...})
        writer.commit(config={...}, provenance={...})

    Raises: DiskFull, OutputNotWritable. What stood committed in the folder before stays whole until `commit` returns.
    """

    def __init__(self, folder: Path | str, schema: str, version: int, *, site: str = "bundle"):
        self.folder, self.schema, self.version, self.site = Path(folder), schema, version, site
        self.files: dict[str, dict[str, Any]] = {}
        self.tensors: dict[str, dict[str, Any]] = {}
        make_folder(self.folder)
        sweep_abandoned(self.folder)

    def add_bytes(self, stem: str, suffix: str, data: bytes) -> str:
        """Write `<stem>-<sha12>.<suffix>`; returns the name."""
        return self.add_file(stem, suffix, lambda path: path.write_bytes(data))

    def add_tensors(self, stem: str, tensors: "Mapping[str, Tensor]") -> str:
        """Write tensors as safetensors (made contiguous and moved to the CPU); returns the name."""
        from safetensors.torch import save

        ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        name = self.add_bytes(stem, "safetensors", save(ready))
        for key, tensor in ready.items():
            self.tensors[key] = {"file": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
        return name

    def add_file(self, stem: str, suffix: str, write: Callable[[Path], Any]) -> str:
        """Let `write` fill a temporary path, then give it its name by content; returns the name."""
        temporary = self.folder / f"tmp-{os.getpid()}-{stem}.{suffix}"
        with writing(temporary):
            fault_site(f"{self.site}.write")
            write(temporary)
            sha, size = sha256_of(temporary), temporary.stat().st_size
            name = f"{stem}-{sha[:12]}.{suffix}"
            sync(temporary)
            fault_site(f"{self.site}.rename")
            os.replace(temporary, self.folder / name)
        self.files[name] = {"bytes": size, "sha256": sha}
        return name

    def keep(self, manifest: Manifest, name: str) -> None:
        """Take over a file that an earlier commit of this folder already named (an append)."""
        self.files[name] = manifest.files[name]

    def commit(self, *, config: _Table = None, provenance: _Table = None, state: _Table = None) -> Manifest:
        """Swap the manifest in, then sweep data files it does not name."""
        manifest = Manifest(
            schema=self.schema,
            version=self.version,
            files=dict(sorted(self.files.items())),
            tensors=dict(sorted(self.tensors.items())),
            config=dict(config or {}),
            provenance=dict(provenance or {}),
            state=dict(state or {}),
            environment=environment(),
        )
        with writing(self.folder / f"tmp-{os.getpid()}-{MANIFEST}"):
            fault_site(f"{self.site}.manifest")
        write_json(self.folder / MANIFEST, vars(manifest), site=f"{self.site}.swap")
        for path in self.folder.iterdir():
            if (_DATA_NAME.match(path.name) and path.name not in manifest.files) or path.name.startswith(f"tmp-{os.getpid()}-"):
                path.unlink(missing_ok=True)
        return manifest


def read_manifest(folder: Path | str, schema: str, version: int, *, name: str = MANIFEST) -> Manifest:
    """The committed manifest of a folder.

    Raises: NotAnArtifact (no manifest, or of another kind), CorruptArtifact (not our JSON), NewerSchema.
    """
    path = Path(folder) / name
    raw = read_json(path, missing=f"{folder} is not a finished {schema}: it has no {name}.")
    if not isinstance(raw, dict) or "schema" not in raw:
        raise errors.CorruptArtifact(f"{path} is not a saescope manifest: it names no schema. Make this artifact again.")
    if raw["schema"] != schema:
        raise errors.NotAnArtifact(f"{folder} holds a {raw['schema']}, but a {schema} was expected here.")
    written_by = raw.get("environment")
    if isinstance(raw.get("version"), int) and raw["version"] > version:
        raise errors.NewerSchema(
            f"{path} is version {raw['version']} of {schema}; this saescope reads up to {version}. "
            f"It was written by saescope {written_by.get('saescope') if isinstance(written_by, dict) else '?'}: install that version."
        )
    try:
        manifest = Manifest(**raw)
    except TypeError as error:
        raise errors.CorruptArtifact(f"{path} has fields this version does not know ({error}). Make this artifact again.") from error
    if not _well_formed(manifest):
        raise errors.CorruptArtifact(f"{path} is not a whole manifest: a field or a file name in it is not possible. Make it again.")
    return manifest


def _well_formed(manifest: Manifest) -> bool:
    return (
        isinstance(manifest.version, int)
        and all(isinstance(value, dict) for key, value in vars(manifest).items() if key not in ("schema", "version"))
        and all(isinstance(entry, dict) for table in (manifest.files, manifest.tensors) for entry in table.values())
        and all(_FILE_NAME.match(name) for name in manifest.files)
        and all(isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str) for entry in manifest.files.values())
        and all(isinstance(entry.get("shape"), list) for entry in manifest.tensors.values())
    )


@contextmanager
def reading(folder: Path | str, what: str) -> Iterator[None]:
    """Turns a field that is missing or of another type, in JSON that has been read, into CorruptArtifact."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise errors.CorruptArtifact(
            f"what stands in {folder} is not a whole {what} ({error!r}). Make it again, or copy it again."
        ) from error


def verified(folder: Path | str, manifest: Manifest, name: str, *, verify: Literal["full", "size"] = "full") -> Path:
    """Path of a data file whose size (and sha256) is what the manifest says. Raises: CorruptArtifact."""
    path, entry = Path(folder) / name, manifest.files.get(name)
    if entry is None:
        raise errors.CorruptArtifact(f"{name} is not named by the manifest in {folder}. Files named there: {sorted(manifest.files)}.")
    if not path.is_file():
        raise errors.CorruptArtifact(f"{path} is missing, though the manifest names it. Make this {manifest.schema} again.")
    if (size := path.stat().st_size) != entry["bytes"]:
        raise errors.CorruptArtifact(
            f"{path} has {size:,} bytes, its manifest says {entry['bytes']:,}: it was cut or changed. Make it again."
        )
    if verify == "full" and sha256_of(path) != entry["sha256"]:
        raise errors.CorruptArtifact(f"{path} does not have the sha256 its manifest says: bytes were changed. Make it again.")
    return path


def load_tensors(folder: Path | str, manifest: Manifest, name: str, *, verify: Literal["full", "size"] = "full") -> "dict[str, Tensor]":
    """All tensors of one verified safetensors file. Raises: CorruptArtifact."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = verified(folder, manifest, name, verify=verify)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise errors.CorruptArtifact(f"{path} is not a readable safetensors file ({error}). Make it again.") from error


def canonical_json(value: Any) -> str:
    """Sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def environment() -> dict[str, Any]:
    """Versions and threads that may change the last bits of a number; no times, hosts or paths."""
    import torch

    from saescope._version import __version__

    return {"saescope": __version__, "torch": torch.__version__, "threads": torch.get_num_threads()}
