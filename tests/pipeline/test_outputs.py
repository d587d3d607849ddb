"""What may be written where."""

import json
import os

import pytest

from saescope.errors import OutputNotWritable, OutputOccupied
from saescope.pipeline.outputs import refuse_occupied, refuse_unwritable

OURS = {
    "saescope.eval": {"result.json": {"schema": "saescope.eval/1"}, "eval/tables-0123456789ab.safetensors": {}},
    "saescope.features": {"manifest.json": {"schema": "saescope.features"}, "features-0-0123456789ab.parquet": {}, "parts/x": {}},
    "saescope.cache": {"manifest.json": {"schema": "saescope.cache"}, "items/000000.json": {}, "shards/rows-0123456789ab.safetensors": {}},
}
THEIRS = {
    "saescope.eval": [{"thesis.tex": {}}, {"result.json": {"schema": "other/1"}}, {"result.json": [1]}],
    "saescope.features": [
        {"model.safetensors": {}},
        {"manifest.json": {"schema": "saescope.sae"}},
        {"weights-0123456789ab.safetensors": {}},
    ],
    "saescope.cache": [{"thesis.tex": {}}, {"shards/model-00001-of-00002.safetensors": {}}, {"items/000000.json": {}, "a.txt": {}}],
}


@pytest.mark.parametrize("schema", ["saescope.concepts", "saescope.before-after"])
def test_a_report_does_not_take_the_result_of_a_run(tmp_path, schema):
    fill(tmp_path, {"config.json": {"schema": "saescope.run/1"}, "result.json": {"schema": "saescope.eval/1"}})
    with pytest.raises(OutputOccupied, match=schema):
        refuse_occupied(tmp_path, schema)


def fill(folder, files):
    for name, value in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value))


@pytest.mark.parametrize("schema", OURS)
def test_new_empty_and_own_folders_are_taken(tmp_path, schema):
    refuse_occupied(tmp_path / "new" / "deep", schema)
    refuse_occupied(tmp_path, schema)
    fill(tmp_path, OURS[schema] | {"tmp-1-x": {}})
    refuse_occupied(tmp_path, schema)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("schema", "files"), [(schema, files) for schema, folders in THEIRS.items() for files in folders])
def test_other_folders_are_refused(tmp_path, schema, files):
    fill(tmp_path, files)
    with pytest.raises(OutputOccupied, match=r"holds no saescope\.\w+, but .*--out"):
        refuse_occupied(tmp_path, schema)


def test_a_run_takes_a_result_but_is_no_cache(tmp_path):
    fill(tmp_path, {"config.json": {"schema": "saescope.run/1"}, "index.html": {}})
    refuse_occupied(tmp_path, "saescope.eval")
    with pytest.raises(OutputOccupied, match="--cache"):
        refuse_occupied(tmp_path, "saescope.cache", flag="--cache")


@pytest.mark.parametrize("below", ["", "/run", "/a/b"])
def test_a_file_in_the_way(tmp_path, below):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputNotWritable, match=r"is a file.*--out"):
        refuse_unwritable(f"{tmp_path}/file{below}")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_place(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputNotWritable, match=r"read-only.*--out"):
        refuse_unwritable(tmp_path / "run")
