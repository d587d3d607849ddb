import errno
import json
import os
import resource
import subprocess
import sys

import pytest
import torch

from saescope import disk, errors
from saescope.disk import make_folder, read_json, sha256_of, write_json, write_text, writing
from saescope.files import MANIFEST, ArtifactWriter, canonical_json, load_tensors, read_manifest, verified

TENSORS = {"W": torch.arange(12.0).reshape(3, 4), "b": torch.ones(3, dtype=torch.bfloat16)}


def write(folder, tensors=TENSORS, **committed):
    writer = ArtifactWriter(folder, "saescope.test", 1)
    writer.add_tensors("weights", tensors)
    return writer.commit(**committed)


def read(folder):
    manifest = read_manifest(folder, "saescope.test", 1)
    return load_tensors(folder, manifest, manifest.file("weights"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(tmp_path):
    written = write(tmp_path / "a b/ü", config={"k": 1}, provenance={"model": "m"}, state={"step": 3})
    manifest = read_manifest(tmp_path / "a b/ü", "saescope.test", 1)
    assert manifest == written
    assert manifest.tensors["W"] == {"file": manifest.file("weights"), "shape": [3, 4], "dtype": "float32"}
    back = read(tmp_path / "a b/ü")
    assert all(torch.equal(back[name], TENSORS[name]) for name in TENSORS)
    assert {tensor.dtype for tensor in back.values()} == {torch.float32, torch.bfloat16}


def test_views_are_saved_whole(tmp_path):
    write(tmp_path, {"W": TENSORS["W"].T, "row": TENSORS["W"][1]})
    assert torch.equal(read(tmp_path)["W"], TENSORS["W"].T)
    assert torch.equal(read(tmp_path)["row"], TENSORS["W"][1])


def test_a_second_commit_replaces_and_sweeps(tmp_path):
    write(tmp_path)
    (tmp_path / "user.sqlite").write_text("mine")
    first = names(tmp_path)
    write(tmp_path, {"W": torch.zeros(2)})
    assert len(names(tmp_path)) == len(first)
    assert "user.sqlite" in names(tmp_path)
    assert read(tmp_path)["W"].tolist() == [0.0, 0.0]


def test_nothing_happens_before_the_commit(tmp_path):
    write(tmp_path)
    ArtifactWriter(tmp_path, "saescope.test", 1).add_tensors("weights", {"W": torch.zeros(2)})
    assert torch.equal(read(tmp_path)["W"], TENSORS["W"])


def test_keep_takes_over_a_file(tmp_path):
    first = write(tmp_path)
    writer = ArtifactWriter(tmp_path, "saescope.test", 1)
    writer.keep(first, first.file("weights"))
    writer.add_bytes("more", "parquet", b"x")
    both = writer.commit()
    assert sorted(both.files) == sorted([first.file("weights"), both.file("more")])
    assert torch.equal(read(tmp_path)["W"], TENSORS["W"])


def test_digest_leaves_the_environment_out(tmp_path):
    first, second = write(tmp_path / "a", config={"k": 1}), write(tmp_path / "b", config={"k": 1})
    object.__setattr__(second, "environment", {"torch": "another"})
    assert first.digest() == second.digest()
    assert first.digest() != write(tmp_path / "c", config={"k": 2}).digest()


def test_manifest_says_nothing_about_this_machine(tmp_path):
    write(tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    assert str(tmp_path) not in text
    assert os.uname().nodename not in text


def test_every_flipped_byte_and_every_cut_is_found(tmp_path):
    manifest = write(tmp_path)
    path = tmp_path / manifest.file("weights")
    good = path.read_bytes()
    for at in range(0, len(good), max(1, len(good) // 50)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(errors.CorruptArtifact, match=r"sha256.*again"):
            read(tmp_path)
    for length in range(0, len(good), max(1, len(good) // 20)):
        path.write_bytes(good[:length])
        with pytest.raises(errors.CorruptArtifact, match="bytes, its manifest says"):
            load_tensors(tmp_path, manifest, path.name, verify="size")
    path.unlink()
    with pytest.raises(errors.CorruptArtifact, match="missing"):
        read(tmp_path)


def test_a_file_with_the_right_hash_that_is_no_safetensors(tmp_path):
    writer = ArtifactWriter(tmp_path, "saescope.test", 1)
    writer.add_bytes("weights", "safetensors", b"\x80\x04not safetensors")
    writer.commit()
    with pytest.raises(errors.CorruptArtifact, match="not a readable safetensors"):
        read(tmp_path)


def test_names_the_manifest_does_not_know(tmp_path):
    manifest = write(tmp_path)
    for name in ("other.safetensors", "../secret", "/etc/passwd"):
        with pytest.raises(errors.CorruptArtifact, match="not named by the manifest"):
            verified(tmp_path, manifest, name)
    with pytest.raises(errors.CorruptArtifact, match="names no 'eval' file"):
        manifest.file("eval")


def test_a_manifest_cannot_name_files_outside_its_folder(tmp_path):
    (tmp_path / "secret").write_text("x")
    write(tmp_path / "a")
    path = tmp_path / "a" / MANIFEST
    raw = json.loads(path.read_text())
    raw["files"]["../secret"] = {"bytes": 1, "sha256": sha256_of(tmp_path / "secret")}
    path.write_text(json.dumps(raw))
    with pytest.raises(errors.CorruptArtifact):
        verified(tmp_path / "a", read_manifest(tmp_path / "a", "saescope.test", 1), "../secret")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, errors.NotAnArtifact),
        ("{", errors.CorruptArtifact),
        ("[]", errors.CorruptArtifact),
        ("{}", errors.CorruptArtifact),
        ('{"schema": "saescope.other", "version": 1}', errors.NotAnArtifact),
        ('{"schema": "saescope.test", "version": 2}', errors.NewerSchema),
        ('{"schema": "saescope.test", "version": 2, "environment": null}', errors.NewerSchema),
        ('{"schema": "saescope.test", "version": "1"}', errors.CorruptArtifact),
        ('{"schema": "saescope.test"}', errors.CorruptArtifact),
        ('{"schema": "saescope.test", "version": 1, "zzz": 1}', errors.CorruptArtifact),
        ('{"schema": "saescope.test", "version": 1, "files": []}', errors.CorruptArtifact),
        ('{"schema": "saescope.test", "version": 1, "files": {"a": 3}}', errors.CorruptArtifact),
    ],
)
def test_bad_manifests(tmp_path, text, error):
    if text is not None:
        (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(error, match=r"\w+"):
        read_manifest(tmp_path, "saescope.test", 1)


def test_json_is_replaced_whole(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": "ü"})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path, missing="") == {"a": "ü"}
    write_text(tmp_path / "index.html", "<p>")
    assert names(tmp_path) == ["index.html", "x.json"]


def test_canonical_json():
    assert canonical_json({"b": 1, "a": ["ü", None]}) == '{"a":["ü",null],"b":1}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json([float("inf")])


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(errors.OutputNotWritable, match=r"in the way.*--out"):
            make_folder(folder)


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, errors.DiskFull), (errno.EDQUOT, errors.DiskFull), (errno.EROFS, errors.OutputNotWritable), (errno.EIO, OSError)],
)
def test_system_errors_are_typed(tmp_path, number, error):
    path = tmp_path / "tmp-1-x"

    def fail():
        with writing(path):
            path.write_text("half")
            raise OSError(number, "no")

    with pytest.raises(error):
        fail()
    assert not path.exists()


def test_a_full_disk_keeps_the_old_artifact(tmp_path):
    """A real write error of the system: RLIMIT_FSIZE in a child process."""
    write(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    code = (
        "import sys, resource, signal, torch\nfrom saescope import errors, files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))\n"
        "writer = files.ArtifactWriter(sys.argv[1], 'saescope.test', 1)\n"
        "try:\n    writer.add_tensors('weights', {'W': torch.zeros(100_000)})\n"
        "except errors.DiskFull as error:\n    print('DiskFull', error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert out.startswith("DiskFull no space left")
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


HITS = {"bundle.write": 2, "bundle.rename": 2, "bundle.manifest": 1, "bundle.swap": 1}
FAULTS = [(site, n) for site, hits in HITS.items() for n in range(1, hits + 2)]


def write_another(folder):
    writer = ArtifactWriter(folder, "saescope.test", 1)
    writer.add_tensors("weights", {"W": torch.zeros(2)})
    writer.add_bytes("more", "parquet", b"x")
    writer.commit()


def assert_whole(folder, *, old: bool):
    """After a fault the artifact is the old one or the new one, and writing again works."""
    assert torch.equal(read(folder)["W"], TENSORS["W"] if old else torch.zeros(2))
    write(folder, {"W": torch.ones(1)})
    assert read(folder)["W"].tolist() == [1.0]


@pytest.mark.parametrize(("site", "n"), FAULTS)
@pytest.mark.parametrize(("how", "error"), [("enospc", errors.DiskFull), ("ioerror", OSError)])
def test_a_write_error_at_any_point_leaves_a_whole_artifact(tmp_path, monkeypatch, site, n, how, error):
    write(tmp_path)
    before = names(tmp_path)
    monkeypatch.setattr(disk, "_fault_hits", {})
    monkeypatch.setenv("SAESCOPE_FAULT", f"{site}:{n}:{how}")
    if n <= HITS[site]:
        with pytest.raises(error):
            write_another(tmp_path)
        assert not [name for name in names(tmp_path) if name.startswith("tmp-")]
        assert set(names(tmp_path)) >= set(before)
    else:
        write_another(tmp_path)
    monkeypatch.delenv("SAESCOPE_FAULT")
    assert_whole(tmp_path, old=n <= HITS[site])


def test_kill_at_any_point_leaves_a_whole_artifact(tmp_path):
    # One interpreter that forks for each fault: importing torch anew for each would take longer than everything else here.
    code = (
        "import os, sys, torch\nfrom saescope import files\n"
        "for fault in sys.argv[2:]:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.environ['SAESCOPE_FAULT'] = fault + ':kill'\n"
        "        writer = files.ArtifactWriter(os.path.join(sys.argv[1], fault), 'saescope.test', 1)\n"
        "        writer.add_tensors('weights', {'W': torch.zeros(2)})\n"
        "        writer.add_bytes('more', 'parquet', b'x')\n"
        "        writer.commit()\n"
        "        os._exit(0)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    for site, n in FAULTS:
        write(tmp_path / f"{site}:{n}")
    faults = [f"{site}:{n}" for site, n in FAULTS]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), *faults], capture_output=True, text=True, check=True)
    assert [int(word) for word in done.stdout.split()] == [137 if n <= HITS[site] else 0 for site, n in FAULTS], done.stderr
    for site, n in FAULTS:
        assert_whole(tmp_path / f"{site}:{n}", old=n <= HITS[site])
