"""dictionary_learning's folders: a pickle of tensors is read, a pickle of anything else is not, and runs nothing."""

import json
import os
import pickle
import shutil
import zipfile

import pytest
import torch

from interop import recorded
from saescope.errors import ConfigError, CorruptArtifact, NotAnArtifact
from saescope.interop import open_sae

WEIGHTS, CONFIG = "ae.pt", "config.json"


@pytest.fixture
def folder_of(tmp_path):
    def copied(case, trainer=None, drop=()):
        folder = tmp_path / case
        shutil.copytree(recorded.folder("dictionary_learning", case), folder)
        config = json.loads((folder / CONFIG).read_text())
        config["trainer"] = {k: v for k, v in (config["trainer"] | (trainer or {})).items() if k not in drop}
        (folder / CONFIG).write_text(json.dumps(config))
        return folder

    return copied


def change_weights(folder, change):
    state = torch.load(folder / WEIGHTS, weights_only=True)
    torch.save(change(dict(state)), folder / WEIGHTS)


def test_where_it_belongs(folder_of):
    provenance = open_sae(folder_of("topk")).provenance
    assert provenance["model"] == "EleutherAI/pythia-70m"
    assert provenance["hook_points"] == ["blocks.3.resid_post"]
    assert provenance["context_length"] == 128
    assert provenance["source"]["architecture"] == "AutoEncoderTopK"
    assert "hook_points" not in open_sae(folder_of("gated", {"submodule_name": "my_place"})).provenance  # not made up
    assert open_sae(recorded.folder("dictionary_learning", "matryoshka")).sae.cfg.widths == (3, 6, 12)


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["beside the tensors", "alone", "without an archive"])
def test_a_pickle_with_code_is_refused_and_does_nothing(folder_of, tmp_path, kind):
    folder, trace = folder_of("topk"), tmp_path / "trace"
    state = dict(torch.load(folder / WEIGHTS, weights_only=True))
    if kind == "without an archive":
        (folder / WEIGHTS).write_bytes(pickle.dumps(Payload(trace)))
        error, message = CorruptArtifact, r"not a \.pt file as torch writes them"
    else:
        torch.save(state | {"threshold": Payload(trace)} if kind == "beside the tensors" else Payload(trace), folder / WEIGHTS)
        error, message = NotAnArtifact, r"holds more than tensors \(posix\.mkdir\).*nothing in it was run"
    with pytest.raises(error, match=message):
        open_sae(folder)
    assert not trace.exists()
    if kind != "without an archive":  # and it would have
        torch.load(folder / WEIGHTS, weights_only=False)
        assert trace.exists()


def huge(state):
    """One stored number that calls itself ten billion."""
    return state | {"encoder.bias": torch.zeros(1).expand(10**10)}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (huge, CorruptArtifact, r"encoder\.bias of shape \[10000000000\], more than the file holds"),
        (lambda s: list(s.values()), CorruptArtifact, "no table of tensors by name"),
        (lambda s: s | {"k": 3}, CorruptArtifact, "no table of tensors by name"),
        (lambda s: {k: v for k, v in s.items() if k != "b_dec"}, CorruptArtifact, "has no b_dec"),
        (lambda s: s | {"extra": torch.ones(1)}, CorruptArtifact, "'extra' that its config does not account for"),
        (lambda s: s | {"encoder.weight": s["encoder.weight"].T}, CorruptArtifact, r"encoder\.weight of shape \[6, 12\].*needs \[12, 6\]"),
        (lambda s: s | {"b_dec": s["b_dec"] * torch.nan}, CorruptArtifact, "holds NaN"),
        (lambda s: s | {"k": torch.tensor(40)}, ConfigError, "k=40"),
        (lambda s: s | {"k": torch.tensor(-1)}, CorruptArtifact, "'-1' for k"),
        (lambda s: s | {"b_dec": s["b_dec"].to_sparse()}, CorruptArtifact, "more than the file holds"),
    ],
)
def test_tensors_that_do_not_fit(folder_of, change, error, message):
    folder = folder_of("topk")
    change_weights(folder, change)
    with pytest.raises(error, match=message):
        open_sae(folder)


def test_group_sizes_that_do_not_fit(folder_of):
    folder = folder_of("matryoshka")
    for sizes in ([3, 3], [0, 12], [3, 3, 7]):
        change_weights(folder, lambda state, sizes=sizes: state | {"group_sizes": torch.tensor(sizes)})
        with pytest.raises((ConfigError, CorruptArtifact), match=r"widths|group_sizes"):
            open_sae(folder)


@pytest.mark.parametrize(
    ("trainer", "error", "message"),
    [
        ({"dict_class": "CrossCoder"}, ConfigError, r"'CrossCoder'.*no equal of\. It reads: AutoEncoder"),
        ({"dict_class": None}, ConfigError, "no equal of"),
        ({"dict_class": "BatchTopkSAE"}, ConfigError, "Did you mean 'BatchTopKSAE'"),
        ({"dict_class": "JumpReluAutoEncoder"}, CorruptArtifact, "has no W_dec|has no W_enc"),
        ({"dict_size": 10**9}, CorruptArtifact, "shape"),
        ({"activation_dim": "6"}, CorruptArtifact, "activation_dim"),
    ],
)
def test_configs_that_do_not_fit(folder_of, trainer, error, message):
    with pytest.raises(error, match=message):
        open_sae(folder_of("topk", trainer))


def test_without_its_tables(folder_of):
    folder = folder_of("topk")
    (folder / CONFIG).write_text('{"trainer": [1]}')
    with pytest.raises(CorruptArtifact, match="no table 'trainer'"):
        open_sae(folder)
    (folder / CONFIG).write_text('{"model_type": "gpt2"}')
    with pytest.raises(CorruptArtifact, match="no table 'trainer'"):
        open_sae(folder)


def test_a_threshold_that_was_never_set(folder_of):
    """A trainer starts at -1, which with its relu is 0."""
    folder = folder_of("batch_topk")
    change_weights(folder, lambda state: state | {"threshold": torch.tensor(-1.0)})
    sae = open_sae(folder).sae
    assert float(sae.tau) == 0.0
    assert (sae.encode(torch.ones(3, 6)) >= 0).all()


def test_archives_that_state_more_than_they_are(folder_of):
    folder = folder_of("topk")
    with zipfile.ZipFile(folder / WEIGHTS) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(folder / WEIGHTS, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data if not name.endswith("data/0") else bytes(10**7))
    assert (folder / WEIGHTS).stat().st_size < 10**6
    with pytest.raises(CorruptArtifact, match="parts larger than itself"):
        open_sae(folder)


def test_cut_or_changed_files_end_in_one_of_our_errors(folder_of):
    folder = folder_of("gated")
    whole, picks, refused = (folder / WEIGHTS).read_bytes(), torch.Generator().manual_seed(0), 0
    for _ in range(80):
        at, value, cut = (int(torch.randint(n, (), generator=picks)) for n in (len(whole), 256, 4))
        (folder / WEIGHTS).write_bytes(whole[:at] if cut == 0 else whole[:at] + bytes([value]) + whole[at + 1 :])
        try:
            open_sae(folder)
        except (ConfigError, CorruptArtifact, NotAnArtifact):
            refused += 1
    assert refused > 20
