"""Training on activations that somebody saved."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from saescope.draws import draws
from saescope.errors import ConfigError, NonFiniteActivations, NoTokens, ProvenanceMismatch, UnreadableText
from saescope.pipeline.config import ArrayConfig, SAEConfig
from saescope.pipeline.from_array import train_on_array
from saescope.saes.storage import load, read_provenance
from saescope.training.config import TrainConfig


@pytest.fixture(scope="module")
def rows():
    return draws(0, "test").standard_normal((500, 8)).astype(np.float32) + 1


@pytest.fixture
def array(rows, tmp_path):
    np.save(tmp_path / "acts.npy", rows)
    return tmp_path / "acts.npy"


def cfg(path, *, key=None, **sae):
    train = TrainConfig(tokens=2048, batch_tokens=128, checkpoint_steps=4, log_steps=4)
    return ArrayConfig(activations=path, key=key, sae=SAEConfig(**{"d_sae": 16, "k": 3} | sae), train=train, device="cpu")


def test_it_leaves_an_sae_and_no_paths(array, tmp_path):
    folder = train_on_array(cfg(array), tmp_path / "run")
    assert {path.name for path in folder.path.iterdir()} == {"config.json", "metrics.jsonl", "sae"}
    provenance = read_provenance(folder.sae)
    assert (provenance["corpus"], provenance["n_rows"], provenance["n_tokens"]) == ("acts.npy", 500, 2048)
    assert (load(folder.sae).d_in, load(folder.sae).d_sae) == (8, 16)
    assert str(tmp_path) not in json.dumps([provenance, folder.read_config()])
    assert train_on_array(cfg(array), tmp_path / "run").state == "done"


def test_l0_is_k_at_inference(array, rows, tmp_path):
    sae = load(train_on_array(cfg(array), tmp_path / "run").sae)
    assert (sae.encode(torch.from_numpy(rows)) > 0).sum(1).float().mean().item() == pytest.approx(3, rel=0.05)


def test_other_rows_are_another_run(array, rows, tmp_path):
    train_on_array(cfg(array), tmp_path / "run")
    np.save(array, rows + 1)
    with pytest.raises(ProvenanceMismatch, match="activations_sha256"):
        train_on_array(cfg(array), tmp_path / "run")


def test_which_tensor(rows, tmp_path):
    save_file({"a": torch.from_numpy(rows), "b": torch.from_numpy(rows[:, :4].copy())}, tmp_path / "acts.safetensors")
    with pytest.raises(ConfigError, match=r"\['a', 'b'\]"):
        train_on_array(cfg(tmp_path / "acts.safetensors"), tmp_path / "run")
    folder = train_on_array(cfg(tmp_path / "acts.safetensors", key="b"), tmp_path / "run")
    assert load(folder.sae).d_in == 4


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (np.zeros((0, 8), np.float32), NoTokens),
        (np.zeros((4, 8, 2), np.float32), ConfigError),
        (np.zeros((9, 8), np.int64), ConfigError),
        (np.full((50, 8), np.nan, np.float32), NonFiniteActivations),
        (np.zeros((50, 8), np.float32), NonFiniteActivations),
    ],
    ids=["empty", "three dimensions", "whole numbers", "NaN", "all zero"],
)
def test_arrays_that_cannot_be_trained_on(rows, error, tmp_path):
    np.save(tmp_path / "acts.npy", rows)
    with pytest.raises(error):
        train_on_array(cfg(tmp_path / "acts.npy"), tmp_path / "run")
    assert not (tmp_path / "run" / "sae").exists()


def test_files_that_are_no_arrays(tmp_path):
    for name in ("absent.npy", "acts.pt"):
        with pytest.raises(UnreadableText, match=r"\.npy or \.safetensors|neither \.npy nor \.safetensors"):
            train_on_array(cfg(tmp_path / name), tmp_path / "run")
    np.save(tmp_path / "acts.npy", np.ones((5, 3), np.float32))
    with pytest.raises(ConfigError, match="k must be at most d_sae"):
        train_on_array(cfg(tmp_path / "acts.npy", d_sae=2), tmp_path / "run")
    assert not (tmp_path / "run").exists()
