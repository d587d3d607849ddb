import json
import math

import pytest
import torch

from saescope import errors
from saescope.evals.result import EvalResult, Metric


@pytest.fixture
def result():
    return EvalResult(
        rows={
            "sae": {
                "fidelity.delta_ce": Metric(0.05, ci=(0.04, 0.06), n=640, unit="nats/token", better="lower"),
                "reconstruction.gamma": Metric(None, n=640, reason="no denominator"),
            },
            "frozen_decoder": {"row": Metric(None, status="missing", reason="missing: train it")},
        },
        provenance={"model": "tiny", "seed": 0},
        warnings=["careful"],
        environment={"saescope": "0"},
        latents={"feature": torch.arange(3), "max_dec_cos": torch.tensor([0.5, math.nan, 0.25])},
        tables={"counts": torch.arange(4)},
    )


def test_round_trip(result, tmp_path):
    result.save(tmp_path)
    loaded = EvalResult.load(tmp_path)
    assert loaded.to_json() == result.to_json()
    assert loaded.rows == result.rows
    assert loaded.latents["feature"].tolist() == [0, 1, 2]
    assert loaded.latents["max_dec_cos"].isnan().tolist() == [False, True, False]
    assert loaded.tables["counts"].tolist() == [0, 1, 2, 3]


def test_the_json_is_that_of_the_design(result, tmp_path):
    raw = json.loads(result.save(tmp_path).read_text(encoding="utf-8"))
    assert raw["schema"] == "saescope.eval/1"
    assert set(raw) == {"schema", "suite", "warnings", "files", "environment", "provenance", "rows"}
    assert raw["rows"]["sae"]["fidelity.delta_ce"] == {
        "value": 0.05, "ci": [0.04, 0.06], "n": 640, "unit": "nats/token", "better": "lower", "status": "ok",
    }  # fmt: skip
    assert raw["rows"]["sae"]["reconstruction.gamma"]["value"] is None
    assert all((tmp_path / name).is_file() for name in raw["files"])
    assert sorted(name.split("-")[0] for name in raw["files"]) == ["eval/latents", "eval/tables"]


def test_null_is_what_the_parquet_says_of_nan(result, tmp_path):
    import duckdb

    result.save(tmp_path)
    (file,) = (tmp_path / "eval").glob("latents-*.parquet")
    rows = duckdb.sql(f"SELECT feature, max_dec_cos FROM '{file}' ORDER BY feature").fetchall()
    assert rows == [(0, 0.5), (1, None), (2, 0.25)]


def test_the_same_numbers_give_the_same_files(result, tmp_path):
    result.save(tmp_path / "a")
    result.save(tmp_path / "b")
    names = [sorted(p.name for p in (tmp_path / x / "eval").iterdir()) for x in "ab"]
    assert names[0] == names[1]


def test_a_second_save_sweeps_the_first(result, tmp_path):
    result.save(tmp_path)
    other = tmp_path / "eval" / "notes.txt"
    other.write_text("mine")
    result.tables = {"counts": torch.ones(2)}
    result.save(tmp_path)
    assert len(list((tmp_path / "eval").glob("tables-*"))) == 1
    assert other.exists()
    EvalResult.load(tmp_path)


def test_values_and_missing_rows(result):
    assert result.value("sae", "fidelity.delta_ce") == 0.05
    assert result.value("sae", "reconstruction.gamma") is None
    assert result.value("frozen_decoder", "fidelity.delta_ce") is None
    assert result.missing("frozen_decoder") == "missing: train it"
    assert result.missing("sae") is None
    with pytest.raises(errors.ConfigError, match=r"fidelity\.delta_ce"):
        result.value("sae", "fidelity.delta_cc")
    with pytest.raises(errors.ConfigError, match="'sae'"):
        result.value("saee", "fidelity.delta_ce")


def spoil(path, **changes):
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({key: value for key, value in {**raw, **changes}.items() if value is not ...}), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"schema": "saescope.eval/2"}, errors.NewerSchema),
        ({"schema": "saescope.sae/1"}, errors.NotAnArtifact),
        ({"schema": ...}, errors.CorruptArtifact),
        ({"rows": ...}, errors.CorruptArtifact),
        ({"rows": {"sae": {"x": {"valeu": 1}}}}, errors.CorruptArtifact),
        ({"rows": [1]}, errors.CorruptArtifact),
    ],
)
def test_bad_json_is_a_typed_error(result, tmp_path, changes, error):
    spoil(result.save(tmp_path), **changes)
    with pytest.raises(error):
        EvalResult.load(tmp_path)


def test_bad_files_are_typed_errors(result, tmp_path):
    with pytest.raises(errors.NotAnArtifact, match="saescope eval"):
        EvalResult.load(tmp_path)
    path = result.save(tmp_path)
    (data,) = (tmp_path / "eval").glob("latents-*")
    whole = data.read_bytes()
    data.write_bytes(whole[:-1])
    with pytest.raises(errors.CorruptArtifact):
        EvalResult.load(tmp_path)
    data.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(errors.CorruptArtifact):
        EvalResult.load(tmp_path)
    data.unlink()
    with pytest.raises(errors.CorruptArtifact):
        EvalResult.load(tmp_path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(errors.CorruptArtifact):
        EvalResult.load(tmp_path)


def test_a_full_disk_leaves_the_old_result(result, tmp_path, monkeypatch):
    before = result.save(tmp_path).read_bytes()
    monkeypatch.setenv("SAESCOPE_FAULT", "eval.swap:1:enospc")
    result.tables = {"counts": torch.ones(2)}
    with pytest.raises(errors.DiskFull):
        result.save(tmp_path)
    monkeypatch.delenv("SAESCOPE_FAULT")
    assert (tmp_path / "result.json").read_bytes() == before
    EvalResult.load(tmp_path)
