"""Gemma Scope's params.npz: arrays whose headers fit each other and the file, and nothing that would be unpickled."""

import os
import shutil

import numpy as np
import pytest
import torch

from interop import recorded
from saescope.errors import ConfigError, CorruptArtifact, NotAnArtifact
from saescope.interop import open_sae

WEIGHTS = "params.npz"


@pytest.fixture
def arrays():
    with np.load(recorded.folder("gemma_scope", "") / WEIGHTS, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_an_array_of_objects_is_refused_and_does_nothing(arrays, tmp_path):
    trace = tmp_path / "trace"
    objects = np.empty(12, object)
    objects[:] = [Payload(trace)] * 12
    np.savez(tmp_path / WEIGHTS, **(arrays | {"b_enc": objects}))
    with pytest.raises(CorruptArtifact, match=r"b_enc\.npy states \(12,\) of object"):
        open_sae(tmp_path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W_dec": np.ones((6, 12), np.float32)}, r"W_dec of shape \[6, 12\].*needs \[12, 6\]"),
        ({"threshold": np.ones((), np.float32)}, r"threshold of shape \[\]"),
        ({"b_enc": np.ones(12, np.int64)}, "b_enc.npy states .* of int64"),
        ({"b_dec": np.full(6, np.nan, np.float32)}, "b_dec .*NaN"),
        ({"W_enc": np.ones(72, np.float32)}, "shape"),
        ({"log_l0": np.ones(1, np.float32)}, "'log_l0' that its config does not account for"),
    ],
)
def test_arrays_that_do_not_fit(arrays, tmp_path, change, message):
    np.savez(tmp_path / WEIGHTS, **(arrays | change))
    with pytest.raises(CorruptArtifact, match=message):
        open_sae(tmp_path)


def test_an_array_is_missing(arrays, tmp_path):
    arrays.pop("threshold")
    np.savez(tmp_path / WEIGHTS, **arrays)
    with pytest.raises(CorruptArtifact, match="has no threshold"):
        open_sae(tmp_path)


def test_arrays_that_grow_when_they_are_unpacked(tmp_path):
    d_sae = 10**5
    zeros = {"W_enc": (6, d_sae), "W_dec": (d_sae, 6), "b_enc": (d_sae,), "b_dec": (6,), "threshold": (d_sae,)}
    np.savez_compressed(tmp_path / WEIGHTS, **{name: np.zeros(shape, np.float32) for name, shape in zeros.items()})
    with pytest.raises(CorruptArtifact, match="times its size"):
        open_sae(tmp_path)


def test_a_transcoder_by_its_folder(arrays, tmp_path):
    folder = tmp_path / "gemma-scope-2b-pt-transcoders" / "layer_7" / "width_16k" / "average_l0_11"
    folder.mkdir(parents=True)
    np.savez(folder / WEIGHTS, **(arrays | {"W_dec": np.ones((12, 5), np.float32), "b_dec": np.ones(5, np.float32)}))
    opened = open_sae(folder)
    assert (opened.sae.architecture, opened.sae.d_in, opened.sae.d_out) == ("transcoder", 6, 5)
    assert "hook_points" not in opened.provenance  # it reads the norm before the MLP, which has no name of ours
    other = tmp_path / "elsewhere"
    shutil.copytree(folder, other)
    with pytest.raises(ConfigError, match="d_out=5 must be d_in=6"):
        open_sae(other)


def test_cut_or_changed_files_end_in_one_of_our_errors(arrays, tmp_path):
    np.savez(tmp_path / WEIGHTS, **arrays)
    whole, picks, refused = (tmp_path / WEIGHTS).read_bytes(), torch.Generator().manual_seed(0), 0
    for _ in range(80):
        at, value, cut = (int(torch.randint(n, (), generator=picks)) for n in (len(whole), 256, 4))
        (tmp_path / WEIGHTS).write_bytes(whole[:at] if cut == 0 else whole[:at] + bytes([value]) + whole[at + 1 :])
        try:
            open_sae(tmp_path)
        except (ConfigError, CorruptArtifact, NotAnArtifact):
            refused += 1
    assert refused > 20
