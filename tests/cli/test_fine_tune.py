"""saescope fine-tune beside the Python call that it stands for."""

import pytest

from saescope import FineTuneConfig, fine_tune
from saescope.saes.storage import load, sae_sha256


def test_the_verb_is_the_call(saescope, run_folder, tmp_path):
    words = ["--what", "scale", "--tokens", "1024", "--device", "cpu"]
    said = saescope("fine-tune", run_folder, *words, "--out", tmp_path / "a", "--json")
    called = fine_tune(FineTuneConfig(sae=run_folder, what="scale", tokens=1024, device="cpu"), tmp_path / "b")
    assert (said["before"], said["after"]) == (called.before, called.after)
    assert sae_sha256(load(tmp_path / "a" / "sae")) == sae_sha256(called.sae)
    text = saescope("fine-tune", run_folder, *words, "--out", tmp_path / "a")
    assert text.startswith(f"done: {tmp_path / 'a'}")
    for shown in ("before", "after", "FVU", "L0", "gamma", f"saescope eval {tmp_path / 'a'}"):
        assert shown in text


def test_what_comes_out_is_a_run(saescope, run_folder, tmp_path):
    options = ["--what", "decoder", "--tokens", "512", "--objective", "end_to_end", "--device", "cpu"]
    assert saescope("fine-tune", run_folder, *options, "--out", tmp_path / "a").startswith("fine-tuned: ")
    said = saescope("eval", tmp_path / "a", "--rows", "neurons", "--silent-tokens", "500", "--json")
    assert said["rows"]["sae"]["reconstruction.fvu"]["value"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--what", "scales"], "scales"),
        (["--what", "scale", "--lr", "0.1"], "--lr does not apply to --what scale"),
        (["--kl", "2"], "--kl applies to an end-to-end objective only"),
        (["--objective", "end_to_end", "--last", "2"], "last=2.0 is a share"),
    ],
)
def test_what_does_not_fit_is_refused(words, message, run_folder, tmp_path, capsys):
    from saescope import cli

    assert cli.main(["fine-tune", str(run_folder), *words, "--out", str(tmp_path / "a")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
