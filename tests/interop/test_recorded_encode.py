"""Our encode and decode of SAEs that other libraries saved, against what those libraries compute from them."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from interop import recorded
from saescope.interop import open_sae, saelens
from saescope.saes.storage import load, save

CASES = [(library, case) for library in recorded.LIBRARIES for case in recorded.cases(library)]
LARGER_BY_NORM = {("saelens", "gated")}
"""Whose latents are ours divided by the norm that their decoder row had."""
ROUND_TRIPS = [case for case in recorded.cases("saelens") if "checkpoint" not in case]


@pytest.mark.parametrize(("library", "case"), CASES, ids=lambda name: name)
def test_latents_and_reconstruction_are_theirs(library, case):
    theirs = recorded.of(library, "encode", case)
    opened = open_sae(recorded.folder(library, case))
    latents = opened.sae.encode(theirs["x"])
    if (library, case) in LARGER_BY_NORM:
        norms = load_file(recorded.folder(library, case) / saelens.WEIGHTS)["W_dec"].norm(dim=1)
        assert ((norms - 1).abs() > 0.1).any()
        latents = latents / norms
    assert 0.1 < (theirs["latents"] != 0).float().mean() < 0.9
    torch.testing.assert_close(latents, theirs["latents"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(opened.sae(theirs["x"]), theirs["x_hat"], atol=1e-5, rtol=1e-5)
    assert opened.format == library
    assert opened.provenance["source"]["format"] == library


@pytest.mark.parametrize(("library", "case"), CASES, ids=lambda name: name)
def test_the_same_function_after_our_own_format(library, case, tmp_path):
    opened = open_sae(recorded.folder(library, case))
    save(opened.sae, tmp_path, opened.provenance)
    x = recorded.of(library, "encode", case)["x"]
    assert torch.equal(load(tmp_path)(x), opened.sae(x))


@pytest.mark.parametrize("case", ROUND_TRIPS)
def test_written_for_saelens_it_is_what_saelens_wrote(case, tmp_path):
    """The same tensors by the same names and shapes, and the same fields: so SAELens opens it as it opens its own."""
    folder = recorded.folder("saelens", case)
    opened = open_sae(folder)
    saelens.write(opened.sae, tmp_path / case, opened.provenance)
    ours, theirs = (load_file(path / saelens.WEIGHTS) for path in (tmp_path / case, folder))
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
    ours_cfg, theirs_cfg = (json.loads((path / saelens.CONFIG).read_text()) for path in (tmp_path / case, folder))
    assert theirs_cfg.keys() <= ours_cfg.keys()
    same = ("architecture", "d_in", "d_sae", "d_out", "k", "normalize_activations", "reshape_activations")
    assert [name for name in same if ours_cfg.get(name) != theirs_cfg.get(name) and name in theirs_cfg] == []
    known = {"model_name", "hook_name", "hook_name_out", "context_size", "prepend_bos", "dataset_path"}
    assert {k: v for k, v in ours_cfg["metadata"].items() if k in known} == {k: v for k, v in theirs_cfg["metadata"].items() if k in known}
    again, x = open_sae(tmp_path / case).sae, recorded.of("saelens", "encode", case)["x"]
    torch.testing.assert_close(again(x), opened.sae(x), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(again.encode(x), opened.sae.encode(x), atol=1e-6, rtol=1e-6)


def test_weights_that_need_no_change_are_written_bit_for_bit(tmp_path):
    for case in ("standard_unit", "standard_untied", "jumprelu", "topk", "jumprelu_skip_transcoder"):
        saelens.write(open_sae(recorded.folder("saelens", case)).sae, tmp_path / case)
        theirs, ours = (load_file(path / saelens.WEIGHTS) for path in (recorded.folder("saelens", case), tmp_path / case))
        assert all(torch.equal(ours[name], value) for name, value in theirs.items()), case


def test_the_recordings_are_small():
    size = sum(path.stat().st_size for path in recorded.GOLDEN.rglob("*") if path.is_file())
    assert size <= 200_000


def test_a_folder_may_be_anywhere(tmp_path):
    """Gemma Scope's file says nothing of its model: what the path does not say is not made up."""
    shutil.copy(recorded.folder("gemma_scope", "gemma_scope") / "params.npz", tmp_path)
    assert "model" not in open_sae(tmp_path).provenance
    named = open_sae(recorded.folder("gemma_scope", "gemma_scope")).provenance
    assert (named["model"], named["hook_points"], named["bos"]) == ("google/gemma-2-2b", ["blocks.20.resid_post"], "first")
