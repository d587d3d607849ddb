"""Small models that were trained: an SAE of stories260K learns its 172 MLP neurons' code, and the numbers stay where they were."""

import json
import shlex

import pytest

from saescope import cli

pytestmark = [pytest.mark.real, pytest.mark.slow]
AT = "blocks.2.mlp_post"


@pytest.fixture(scope="module")
def run_folder(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "stories"
    stories = real / "text" / "tinystories" / "test.txt"
    words = shlex.split(
        f"--holdout {stories}:50 --documents 400 --d-sae 344 --k 16 --tokens 100e3 --batch-tokens 512 "
        f"--silent-tokens 20000 --feature-tokens 20000 --cards 4 --device cpu --out {folder}"
    )
    assert cli.main(["run", str(real / "models" / "stories260K"), "--text", str(stories), "--at", AT, *words]) == 0
    return folder


def test_the_sae_is_as_good_as_it_was(run_folder):
    """Numbers of this run when the test was written; the tolerances are those of another machine and another torch, not of another lr."""
    result = json.loads((run_folder / "result.json").read_text())
    value = {row: {key: metric["value"] for key, metric in metrics.items()} for row, metrics in result["rows"].items()}
    assert result["provenance"]["n_documents"] == 50
    assert value["sae"]["sparsity.l0"] == pytest.approx(16, abs=1)
    assert value["sae"]["reconstruction.fvu"] == pytest.approx(0.286, abs=0.02)
    assert value["sae"]["fidelity.ce.clean"] == pytest.approx(1.3135, abs=0.001)
    assert value["sae"]["fidelity.delta_ce"] == pytest.approx(0.147, abs=0.02)
    assert value["sae"]["sparsity.dead"] == 0
    assert value["sae"]["reconstruction.fvu"] < value["pca"]["reconstruction.fvu"] < value["untrained"]["reconstruction.fvu"]


@pytest.mark.heavy
def test_the_published_cross_entropy(run_folder, real, tmp_path, capsys):
    """1.2968 is published for the validation set; 1.2969 by a plain loop over its first 500 stories."""
    capsys.readouterr()
    words = ["--text", str(real / "text" / "tinystories" / "val.txt"), "--documents", "500", "--rows", "neurons", "--out", str(tmp_path)]
    assert cli.main(["eval", str(run_folder), *words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    clean = result["rows"]["sae"]["fidelity.ce.clean.with_bos"]
    assert result["provenance"]["n_documents"] == 500
    assert clean["value"] == pytest.approx(1.297, abs=0.002)
    assert (tmp_path / "result.json").is_file()
