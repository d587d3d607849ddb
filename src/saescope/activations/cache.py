"""One pass of a stream on disk, in shards: harvest once, train many times.

    cache/
      items/000003.json             the commit of one shard: first row, rows, file, sha256
      shards/rows-<sha12>.safetensors
      manifest.json                 once every item is committed

An interrupted harvest keeps its committed shards and goes on behind them.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from saescope.activations.source import ActivationSource, Batch
from saescope.disk import make_folder, read_json, sweep_abandoned, write_json
from saescope.errors import CorruptArtifact, DiskFull, NotAnArtifact, ProvenanceMismatch
from saescope.files import ArtifactWriter, Manifest, canonical_json, load_tensors, read_manifest, reading

SCHEMA, VERSION = "saescope.cache", 1
SHARD_BYTES = 64 * 2**20


class CachedSource:
    """The rows that `build_cache` left in a folder, in stream order, pass after pass; equal to its source bit for bit.

    Raises: NotAnArtifact (unfinished), CorruptArtifact (a shard is cut or changed), NewerSchema.
    """

    def __init__(self, folder: Path | str):
        from saescope.models.hook_point import HookPoint

        self.folder = Path(folder)
        manifest = read_manifest(self.folder, SCHEMA, VERSION)
        self.provenance = manifest.provenance
        with reading(self.folder, "cache"):
            self.slices = {HookPoint.parse(name): slice(*columns) for name, columns in manifest.config["slices"].items()}
            self.seed = int(manifest.config["seed"])
            self.items: list[dict[str, Any]] = [dict(item) for item in manifest.state["items"]]
            self.n_rows = sum(int(item["rows"]) for item in self.items)
            self._shards = Manifest(SCHEMA, VERSION, files={str(item["file"]): item for item in self.items})
        self._checked: set[str] = set()

    def batches(self, n_tokens: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        if seed != self.seed:
            raise ProvenanceMismatch(
                f"the cache in {self.folder} was harvested with seed {self.seed}, not {seed}. Use --seed {self.seed}, or another cache."
            )
        left, start = n_tokens, start % self.n_rows
        while left > 0:
            for item in self.items:
                if start >= item["rows"]:
                    start -= item["rows"]
                    continue
                rows = self._rows(item["file"])[start:][:left]
                start, left = 0, left - len(rows)
                yield Batch(rows)
                if left <= 0:
                    return

    def _rows(self, name: str) -> torch.Tensor:
        verify: Literal["full", "size"] = "size" if name in self._checked else "full"
        self._checked.add(name)
        return load_tensors(self.folder / "shards", self._shards, name, verify=verify)["rows"]


def build_cache(
    source: ActivationSource, folder: Path | str, n_rows: int, *, seed: int, progress: Callable[[int], None] | None = None
) -> CachedSource:
    """Harvest the first `n_rows` rows of a source (at most one pass of its text) into a folder, or go on where a harvest stopped.

    A folder that holds more rows serves too; one that holds fewer is extended.

    Raises: DiskFull before anything is run if they cannot fit; ProvenanceMismatch if the folder holds another source's rows.
    """
    folder = Path(folder)
    make_folder(folder / "items")
    sweep_abandoned(folder / "items")
    config = {
        "slices": {str(point): [columns.start, columns.stop] for point, columns in source.slices.items()},
        "seed": seed,
    }
    stamp = canonical_json([config, dict(source.provenance)])
    items = _committed_items(folder, stamp)
    done = sum(item["rows"] for item in items)
    if done >= n_rows and (finished := finished_cache(folder)):
        return finished
    d_row = max(columns.stop for columns in source.slices.values())
    _check_space(folder, (n_rows - done) * d_row * 2)
    shard_rows = max(1, SHARD_BYTES // (2 * d_row))
    missing = source.batches(n_rows - done, seed=seed, start=done) if done < n_rows else iter(())
    for rows in _shards(missing, shard_rows):
        writer = ArtifactWriter(folder / "shards", SCHEMA, VERSION, site="shard")
        name = writer.add_tensors("rows", {"rows": rows})
        item = {"stamp": stamp, "first": done, "rows": len(rows), "file": name, **writer.files[name]}
        write_json(folder / "items" / f"{len(items):06d}.json", item, site="item.manifest")
        items.append(item)
        done += len(rows)
        if progress:
            progress(done)
    stated = [{key: value for key, value in item.items() if key != "stamp"} for item in items]
    ArtifactWriter(folder, SCHEMA, VERSION, site="cache").commit(config=config, provenance=source.provenance, state={"items": stated})
    _sweep(folder, {item["file"] for item in items})
    return CachedSource(folder)


def finished_cache(folder: Path | str) -> CachedSource | None:
    """The cache of a folder if its harvest is complete."""
    try:
        return CachedSource(folder)
    except NotAnArtifact:
        return None


def _committed_items(folder: Path, stamp: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while (path := folder / "items" / f"{len(items):06d}.json").is_file():
        item = read_json(path, missing=f"{path} has gone.")
        if not isinstance(item, dict) or not {"stamp", "rows", "file", "bytes", "sha256"} <= item.keys():
            raise CorruptArtifact(f"{path} is not the record of a cache shard. Delete {folder} and harvest again.")
        if item["stamp"] != stamp:
            raise ProvenanceMismatch(
                f"{folder} holds activations of another model, text, hook point or seed. Choose another --cache, or delete it."
            )
        items.append(item)
    return items


def _shards(batches: Iterator[Batch], n: int) -> Iterator[torch.Tensor]:
    held: list[torch.Tensor] = []
    for batch in batches:
        held.append(batch.rows)
        while sum(map(len, held)) >= n:
            joined = torch.cat(held)
            yield joined[:n]
            held = [joined[n:]]
    if sum(map(len, held)):
        yield torch.cat(held)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFull(
            f"the activation cache in {folder} needs {needed:,} bytes, but only {free:,} are free. Free some, or run with --cache never."
        )


def _sweep(folder: Path, named: set[str]) -> None:
    for path in (folder / "shards").iterdir():
        ours = re.fullmatch(r"rows-[0-9a-f]{12}\.safetensors", path.name) or path.name.startswith(f"tmp-{os.getpid()}-")
        if ours and path.name not in named:
            path.unlink(missing_ok=True)
