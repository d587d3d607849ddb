"""The encode pass's codes on disk: parts, committed one by one, from which everything else is reduced and can be resumed."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saescope.activations.encode import Chunk
from saescope.errors import ArtifactError, NonFiniteActivations
from saescope.features.part import Part
from saescope.features.reducer import PassReducer
from saescope.files import ArtifactWriter, Manifest, load_tensors, read_manifest

SCHEMA, VERSION = "saescope.feature_parts", 1
PART_ENTRIES, PART_TOKENS = 2**21, 2**18
"""A part is full at so many non-zeros or tokens: some 100 MiB while it is reduced."""


class Spool:
    """Collects chunks (a reducer of the encode pass) and writes them out as parts; about 8 bytes per non-zero.

    `commit` is called between batches, so a part holds whole rows. Each commit also saves the state of the pass's other reducers
    and the cursor: a build that was interrupted goes on from the last one, in the same folder with the same `identity`.
    """

    def __init__(self, folder: Path, d_sae: int, others: Mapping[str, PassReducer], identity: Mapping[str, Any]):
        self.folder, self.d_sae, self.others, self.identity = folder, d_sae, others, dict(identity)
        self.latent_dtype = np.uint16 if d_sae <= 2**16 else np.int32
        self._chunks: list[dict[str, np.ndarray]] = []
        self._n_entries = self._n_waiting = 0
        self.manifest = self._committed()
        self.n_batches, self.n_tokens = 0, 0
        if self.manifest is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            self.n_batches, self.n_tokens = self.manifest.state["n_batches"], self.manifest.state["n_tokens"]
            self._restore()

    def add(self, chunk: Chunk) -> None:
        code = chunk.code
        value = code.value.float().cpu().numpy()
        if not np.isfinite(value).all():
            bad = int(code.token[int(np.flatnonzero(~np.isfinite(value))[0])])
            raise NonFiniteActivations(
                f"the code of document {int(chunk.doc_ids[bad])}, position {int(chunk.positions[bad])} is not finite: the model's "
                "activations or the SAE's weights hold NaN or Inf there. Check the model in float32 (--dtype float32)."
            )
        arrays = {
            "tokens": (chunk.tokens, np.int32),
            "docs": (chunk.doc_ids, np.int32),
            "rows": (chunk.rows, np.int32),
            "positions": (chunk.positions, np.int32),
            "counted": (chunk.counted, np.bool_),
            "latent": (code.latent, self.latent_dtype),
        }
        columns: dict[str, np.ndarray] = {name: tensor.cpu().numpy().astype(dtype) for name, (tensor, dtype) in arrays.items()}
        n_active = np.bincount(code.token.cpu().numpy(), minlength=len(chunk.tokens)).astype(np.int32)
        self._chunks.append({**columns, "n_active": n_active, "value": value})
        self._n_entries += len(value)
        self._n_waiting += len(chunk.tokens)

    def merge(self, other: "Spool") -> None:
        """Take over what another spool has collected and not committed."""
        self._chunks += other._chunks
        self._n_entries += other._n_entries
        self._n_waiting += other._n_waiting

    def result(self) -> None:
        return None

    @property
    def full(self) -> bool:
        return self._n_entries >= PART_ENTRIES or self._n_waiting >= PART_TOKENS

    def commit(self, n_batches: int, n_tokens: int) -> None:
        """Write what was collected as one part, with the cursor: batches and counted tokens read so far."""
        if not self._chunks:
            return
        writer = ArtifactWriter(self.folder, SCHEMA, VERSION)
        names = self.part_names()
        for name in names:
            assert self.manifest is not None
            writer.keep(self.manifest, name)
        part = {name: np.concatenate([chunk[name] for chunk in self._chunks]) for name in self._chunks[0]}
        writer.add_tensors(f"part-{len(names)}", _tensors(part))
        states = {f"{name}.{key}": array for name, other in self.others.items() for key, array in other.arrays().items()}
        writer.add_tensors("state", _tensors(states))
        self.n_batches, self.n_tokens = n_batches, n_tokens
        self.manifest = writer.commit(config=self.identity, state={"n_batches": n_batches, "n_tokens": n_tokens})
        self._chunks, self._n_entries, self._n_waiting = [], 0, 0

    def part_names(self) -> list[str]:
        """Names of the committed parts, in the order of the stream."""
        names = [name for name in (self.manifest.files if self.manifest else ()) if name.startswith("part-")]
        return sorted(names, key=lambda name: int(name.split("-")[1]))

    def parts(self) -> Iterator[Part]:
        """The committed parts. Raises: CorruptArtifact."""
        for name in self.part_names():
            assert self.manifest is not None
            yield Part(**{key: tensor.numpy() for key, tensor in load_tensors(self.folder, self.manifest, name, verify="size").items()})

    def remove(self) -> None:
        """Drop the folder: the bundle is committed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _committed(self) -> Manifest | None:
        """What an interrupted build of the same identity left; parts are a private cache, so anything else is begun anew."""
        try:
            manifest = read_manifest(self.folder, SCHEMA, VERSION)
            for name in manifest.files:
                load_tensors(self.folder, manifest, name)
        except ArtifactError:
            return None
        return manifest if manifest.config == self.identity else None

    def _restore(self) -> None:
        assert self.manifest is not None
        state = {key: tensor.numpy() for key, tensor in load_tensors(self.folder, self.manifest, self.manifest.file("state")).items()}
        for name, other in self.others.items():
            other.restore({key.removeprefix(f"{name}."): array for key, array in state.items() if key.startswith(f"{name}.")})


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
