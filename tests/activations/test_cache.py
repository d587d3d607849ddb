"""The cache equals its stream, whatever happened while it was written."""

import json
import os
import subprocess
import sys

import pytest
import torch

from saescope.activations import cache
from saescope.activations.cache import CachedSource, build_cache, finished_cache
from saescope.activations.source import TensorSource
from saescope.activations.stream import StreamSource
from saescope.draws import draws
from saescope.errors import CorruptArtifact, DiskFull, NotAnArtifact, ProvenanceMismatch

AT = "blocks.0.mlp_post"


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(cache, "SHARD_BYTES", 20_000)


@pytest.fixture
def stream(tiny_lm, corpus, pack):
    return StreamSource(tiny_lm, AT, corpus, pack)


def rows_of(source, n, start=0):
    return torch.cat([batch.rows for batch in source.batches(n, seed=0, start=start)])


def test_stream_and_cache_agree_bit_for_bit_over_several_passes(stream, tmp_path):
    n = stream.count_rows(seed=0)
    cached = build_cache(stream, tmp_path, n, seed=0)
    assert len(list((tmp_path / "shards").iterdir())) > 2
    assert torch.equal(rows_of(cached, 2 * n + 100), rows_of(stream, 2 * n + 100))
    for start in (1, 313, n - 1, n, n + 5):
        assert torch.equal(rows_of(cached, 200, start), rows_of(stream, 200, start))
    assert list(cached.slices) == list(stream.slices)


def test_two_bytes_a_value(stream, tmp_path):
    n = stream.count_rows(seed=0)
    build_cache(stream, tmp_path, n, seed=0)
    size = sum(path.stat().st_size for path in (tmp_path / "shards").iterdir())
    assert size < 2 * 32 * n + 200 * len(list((tmp_path / "shards").iterdir()))


def test_unfinished_is_not_a_cache_and_goes_on(stream, tmp_path, monkeypatch):
    n = stream.count_rows(seed=0)
    monkeypatch.setattr("saescope.disk._fault_hits", {})
    monkeypatch.setenv("SAESCOPE_FAULT", "shard.write:3:enospc")
    with pytest.raises(DiskFull):
        build_cache(stream, tmp_path, n, seed=0)
    monkeypatch.delenv("SAESCOPE_FAULT")
    assert finished_cache(tmp_path) is None
    with pytest.raises(NotAnArtifact, match="not a finished"):
        CachedSource(tmp_path)
    committed = sorted(p.name for p in (tmp_path / "shards").iterdir())
    assert len(committed) == 2
    again = build_cache(stream, tmp_path, n, seed=0)
    assert set(committed) <= {p.name for p in (tmp_path / "shards").iterdir()}
    assert torch.equal(rows_of(again, n), rows_of(stream, n))


def test_disk_is_checked_before_the_harvest(stream, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(DiskFull, match="only 10 are free"):
        build_cache(stream, tmp_path, 1000, seed=0)
    assert not (tmp_path / "shards").exists()


def test_rows_of_another_source_are_not_continued(stream, tmp_path, tiny_lm, corpus, pack):
    build_cache(stream, tmp_path, 500, seed=0)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(ProvenanceMismatch, match="another model, text, hook point or seed"):
        build_cache(StreamSource(tiny_lm, "blocks.1.mlp_post", corpus, pack), tmp_path, 500, seed=0)


def test_another_seed_is_refused(stream, tmp_path):
    cached = build_cache(stream, tmp_path, 500, seed=0)
    with pytest.raises(ProvenanceMismatch, match="seed 0, not 1"):
        next(cached.batches(10, seed=1))


def test_every_flipped_byte_and_cut_is_found(stream, tmp_path):
    build_cache(stream, tmp_path, 1000, seed=0)
    path = sorted((tmp_path / "shards").iterdir())[0]
    whole = path.read_bytes()
    for i, at in enumerate(draws(0, "test").integers(0, len(whole), 50).tolist()):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << i % 8)]) + whole[at + 1 :])
        with pytest.raises(CorruptArtifact, match=path.name):
            rows_of(CachedSource(tmp_path), 1000)
    for at in draws(1, "test").integers(0, len(whole), 20).tolist():
        path.write_bytes(whole[:at])
        with pytest.raises(CorruptArtifact, match=path.name):
            rows_of(CachedSource(tmp_path), 1000)


def test_a_corrupt_manifest_and_item_are_named(stream, tmp_path):
    build_cache(stream, tmp_path, 1000, seed=0)
    (tmp_path / "items" / "000000.json").write_text("[]")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CorruptArtifact, match=r"manifest\.json is not valid JSON"):
        CachedSource(tmp_path)
    with pytest.raises(CorruptArtifact, match=r"000000\.json"):
        build_cache(stream, tmp_path, 1000, seed=0)


def test_any_source_can_be_cached_by_names_that_are_hook_points(tmp_path):
    source = TensorSource(torch.arange(600.0)[:, None].bfloat16(), name="blocks.0.mlp_post")
    assert torch.equal(rows_of(build_cache(source, tmp_path, 600, seed=0), 600), rows_of(source, 600))


KILLED = """
import sys, torch
from pathlib import Path
from saescope.activations import cache
from saescope.activations.source import TensorSource
cache.SHARD_BYTES = 400
rows = torch.arange(500.0)[:, None].bfloat16()
source = cache.build_cache(TensorSource(rows, name="blocks.0.mlp_post"), Path(sys.argv[1]), 500, seed=0)
print(cache.read_manifest(Path(sys.argv[1]), cache.SCHEMA, cache.VERSION).digest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("site", ["shard.write", "shard.rename", "item.manifest", "cache.swap"])
def test_a_kill_at_any_site_leaves_a_cache_that_continues_to_the_same_digest(tmp_path, site):
    def harvest(folder, fault=None):
        env = {**os.environ, **({"SAESCOPE_FAULT": fault} if fault else {})}
        return subprocess.run([sys.executable, "-c", KILLED, str(folder)], env=env, capture_output=True, text=True, check=False)

    whole = harvest(tmp_path / "whole").stdout
    hit = harvest(tmp_path / "killed", f"{site}:{1 if site == 'cache.swap' else 2}:kill")
    assert hit.returncode == 137
    assert not (tmp_path / "killed" / "manifest.json").exists()
    assert harvest(tmp_path / "killed").stdout == whole
    assert json.loads((tmp_path / "killed" / "manifest.json").read_text())["schema"] == "saescope.cache"
    assert not list((tmp_path / "killed").rglob("tmp-*"))
