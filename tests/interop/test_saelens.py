"""SAELens' folders: both schemas of the config, what is folded, what is refused, and what is written."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from interop import recorded
from saescope.errors import ConfigError, CorruptArtifact, NotAnArtifact
from saescope.interop import open_sae, saelens
from saescope.saes.registry import build


@pytest.fixture
def folder_of(tmp_path):
    """A copy of a recorded folder, its config changed."""

    def copied(case, changes=None, drop=()):
        folder = tmp_path / case
        shutil.copytree(recorded.folder("saelens", case), folder)
        config = json.loads((folder / saelens.CONFIG).read_text()) | (changes or {})
        (folder / saelens.CONFIG).write_text(json.dumps({k: v for k, v in config.items() if k not in drop}))
        return folder

    return copied


def change_weights(folder, change):
    tensors = load_file(folder / saelens.WEIGHTS)
    change(tensors)
    save_file(tensors, folder / saelens.WEIGHTS)


def x_of(case):
    return recorded.of("saelens", "encode", case)["x"]


# --- configs -----------------------------------------------------------------------------------------------------------


def test_the_schema_before_6_0(folder_of):
    """Everything at the top, other names for some fields."""
    new = open_sae(recorded.folder("saelens", "standard"))
    old = {"hook_point": "blocks.3.hook_resid_post", "hook_point_layer": 3, "model_name": "gpt2-small", "context_size": 64,
           "prepend_bos": True, "dataset_path": "some/corpus", "activation_fn_str": "relu", "activation_fn_kwargs": {},
           "finetuning_scaling_factor": False, "sae_lens_training_version": None, "normalize_activations": False,
           "dtype": "torch.float32", "hook_point_head_index": None}  # fmt: skip
    opened = open_sae(folder_of("standard", old, drop=("metadata", "architecture", "reshape_activations", "apply_b_dec_to_input")))
    assert torch.equal(opened.sae(x_of("standard")), new.sae(x_of("standard")))
    assert opened.provenance | {"source": None} == new.provenance | {"source": None}
    assert new.provenance["hook_points"] == ["blocks.3.resid_post"]
    assert (new.provenance["model"], new.provenance["context_length"], new.provenance["bos"]) == ("gpt2-small", 64, "first")


def test_topk_was_an_activation_once(folder_of):
    old = {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}
    opened = open_sae(folder_of("topk", old, drop=("k",)))
    assert opened.sae.architecture == "topk"
    assert torch.equal(opened.sae(x_of("topk")), open_sae(recorded.folder("saelens", "topk")).sae(x_of("topk")))


@pytest.mark.parametrize(
    ("metadata", "points"),
    [
        ({"hook_name": "blocks.3.attn.hook_z"}, ["blocks.3.attn_z"]),
        ({"hook_name": "blocks.3.attn.hook_z", "hook_head_index": 2}, None),  # one head of a point is no point
        ({"hook_name": "blocks.3.ln2.hook_normalized"}, None),
        ({"hook_name": "hook_embed"}, None),
        ({"hook_name": "transformer.h.3.mlp"}, ["transformer.h.3.mlp"]),
        ({"hook_name": 7, "context_size": "64", "prepend_bos": "yes", "model_name": "x" * 1000}, None),
    ],
)
def test_hook_points_in_our_names(folder_of, metadata, points):
    provenance = open_sae(folder_of("standard", {"metadata": metadata})).provenance
    assert provenance.get("hook_points") == points
    assert provenance.keys() <= {"hook_points", "source"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalize_activations": "layer_norm"}, "layer_norm.*each token by itself.*no weights can stand for"),
        ({"normalize_activations": "constant_norm_rescale"}, "constant_norm_rescale.*by its own norm"),
        ({"normalize_activations": "covariance_whitening"}, "covariance_whitening.*SAELens folds it when training ends"),
        ({"normalize_activations": "sphere"}, "'sphere'.*does not know it"),
        ({"normalize_activations": True}, "activation_scaler.json is missing.*save again"),
        ({"architecture": "temporal"}, r"'temporal'.*no equal of\. It reads: standard, gated"),
        ({"architecture": "jumprelu_"}, "Did you mean 'jumprelu'"),
        ({"architecture": ["x"]}, "no equal of"),
        ({"activation_fn": "tanh-relu"}, "activation 'tanh-relu'.*It reads: relu, topk"),
    ],
)
def test_what_has_no_equal_is_refused_in_words(folder_of, changes, message):
    with pytest.raises(ConfigError, match=message):
        open_sae(folder_of("standard", changes))


@pytest.mark.parametrize("value", [10**9, 0, -12, 12.5, float("nan"), float("inf"), True, "12", None, [12], 10**400])
@pytest.mark.parametrize("name", ["d_in", "d_sae"])
def test_widths_that_are_none_or_do_not_fit_the_file(folder_of, name, value):
    with pytest.raises(CorruptArtifact, match=rf"{name}|shape"):
        open_sae(folder_of("standard", {name: value}))


@pytest.mark.parametrize("k", [0, -1, "3", 3.5, None, 10**9, 13])
def test_a_k_that_does_not_fit(folder_of, k):
    with pytest.raises((CorruptArtifact, ConfigError), match=r"\bk\b"):
        open_sae(folder_of("topk", {"k": k}))


@pytest.mark.parametrize("widths", [None, [], [3, 3, 12], [-1, 12], ["3"], [3, 40]])
def test_matryoshka_widths_that_do_not_fit(folder_of, widths):
    with pytest.raises((CorruptArtifact, ConfigError), match="widths"):
        open_sae(folder_of("matryoshka_checkpoint", {"matryoshka_widths": widths}))


@pytest.mark.parametrize("written", ["{", "[1]", "null", "[" * 100_000, '"x"', ""])
def test_a_config_that_is_no_table(folder_of, written):
    folder = folder_of("standard")
    (folder / saelens.CONFIG).write_text(written)
    with pytest.raises(CorruptArtifact, match=r"cfg\.json"):
        open_sae(folder)


def test_a_transcoder_has_a_width_of_its_target(folder_of):
    opened = open_sae(folder_of("transcoder"))
    assert (opened.sae.d_in, opened.sae.d_out) == (6, 5)
    assert opened.provenance["hook_points"] == ["blocks.3.resid_mid"]
    assert opened.provenance["target"] == "blocks.3.mlp_out"
    with pytest.raises(CorruptArtifact, match="d_out"):
        open_sae(folder_of("skip_transcoder", {}, drop=("d_out",)))
    with pytest.raises(CorruptArtifact, match="apply_b_dec_to_input"):
        open_sae(folder_of("jumprelu_transcoder", {"apply_b_dec_to_input": True}))


# --- weights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("b_enc"), "has no b_enc, only W_dec"),
        (lambda t: t.update(W_skip=torch.ones(6, 6)), "'W_skip' that its config does not account for"),
        (lambda t: t.update(W_enc=torch.ones(12, 6)), r"W_enc of shape \[12, 6\].*needs \[6, 12\]"),
        (lambda t: t.update(b_dec=torch.ones(6, dtype=torch.int64)), "b_dec as I64, which is no weight"),
        (lambda t: t["W_dec"].__setitem__((0, 0), torch.nan), "W_dec .*holds NaN or infinity"),
    ],
)
def test_weights_that_do_not_fit(folder_of, change, message):
    folder = folder_of("standard")
    change_weights(folder, change)
    with pytest.raises(CorruptArtifact, match=message):
        open_sae(folder)


def test_half_precision_is_read_as_float32(folder_of):
    folder = folder_of("standard_unit")
    change_weights(folder, lambda t: t.update({name: value.bfloat16() for name, value in t.items()}))
    sae = open_sae(folder).sae
    assert {value.dtype for value in sae.state_dict().values()} == {torch.float32}
    assert sae.unit_decoder  # up to rounding
    assert torch.equal(sae.W_dec, load_file(folder / saelens.WEIGHTS)["W_dec"].float())


def test_a_factor_per_latent_of_a_fine_tuned_sae(folder_of):
    """Latents stay, their rows take the factor."""
    plain, x = open_sae(recorded.folder("saelens", "standard_untied")).sae, x_of("standard_untied")
    factor = torch.linspace(0.5, 2, 12)
    folder = folder_of("standard_untied", {"finetuning_scaling_factor": True})
    change_weights(folder, lambda t: t.update(scaling_factor=factor))
    tuned = open_sae(folder).sae
    assert torch.equal(tuned.encode(x), plain.encode(x))
    torch.testing.assert_close(tuned(x), plain.decode(plain.encode(x) * factor))
    shutil.rmtree(folder)
    folder = folder_of("standard_untied")
    change_weights(folder, lambda t: t.update(scaling_factor=torch.ones(12)))
    assert torch.equal(open_sae(folder).sae(x), plain(x))
    change_weights(folder, lambda t: t.update(scaling_factor=factor))
    with pytest.raises(ConfigError, match="does not say finetuning_scaling_factor"):
        open_sae(folder)


def test_thresholds_by_their_other_names(folder_of):
    sae, x = open_sae(recorded.folder("saelens", "jumprelu")).sae, x_of("jumprelu")
    folder = folder_of("jumprelu")
    change_weights(folder, lambda t: t.update(log_threshold=t.pop("threshold").log()))
    torch.testing.assert_close(open_sae(folder).sae(x), sae(x))
    change_weights(folder, lambda t: (t.pop("log_threshold"), t.update(threshold=torch.full((12,), -1.0))))
    assert torch.equal(open_sae(folder).sae.theta, torch.zeros(12))  # relu follows the threshold there
    change_weights(folder, lambda t: t.pop("threshold"))
    with pytest.raises(CorruptArtifact, match="no threshold"):
        open_sae(folder)


@pytest.mark.parametrize("factor", ["2", 0, -1, float("nan"), float("inf"), None, True])
def test_an_input_scale_that_is_none(folder_of, factor):
    folder = folder_of("scaled_checkpoint")
    (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
    with pytest.raises(CorruptArtifact, match="scaling_factor, which must be above 0"):
        open_sae(folder)


# --- pickles and damage --------------------------------------------------------------------------------------------------


def test_a_pickle_where_safetensors_are_expected(folder_of):
    folder = folder_of("standard")
    (folder / saelens.WEIGHTS).unlink()
    with pytest.raises(NotAnArtifact, match=r"sae_weights\.safetensors is missing\. Copy"):
        open_sae(folder)
    torch.save({"W_enc": torch.ones(2)}, folder / "sae_weights.pt")
    with pytest.raises(NotAnArtifact, match=r"has sae_weights\.pt instead, a pickle.*save the weights as safetensors"):
        open_sae(folder)
    (folder / "sae_weights.pt").rename(folder / saelens.WEIGHTS)
    with pytest.raises(NotAnArtifact, match="is a pickle with the name of a safetensors file"):
        open_sae(folder)


def test_a_header_whose_length_looks_like_a_pickle(tmp_path):
    """640 bytes of header start with the bytes of a pickle; what follows tells them apart."""
    saelens.write(build("gated", 4, 8), tmp_path)
    tensors = load_file(tmp_path / saelens.WEIGHTS)
    for padding in range(700):
        save_file(tensors, tmp_path / saelens.WEIGHTS, metadata={"padding": "x" * padding})
        if (head := (tmp_path / saelens.WEIGHTS).read_bytes()[:2]) in (b"\x80\x02", b"\x80\x03"):
            break
    assert head[0] == 0x80
    assert open_sae(tmp_path).sae.d_sae == 8


def test_cut_or_changed_files_end_in_one_of_our_errors(folder_of):
    folder = folder_of("jumprelu")
    picks = torch.Generator().manual_seed(0)
    for name in (saelens.CONFIG, saelens.WEIGHTS):
        whole = (folder / name).read_bytes()
        refused = 0
        for _ in range(60):
            at, value, cut = (int(torch.randint(n, (), generator=picks)) for n in (min(len(whole), 400), 256, 4))
            changed = whole[:at] if cut == 0 else whole[:at] + bytes([value]) + whole[at + 1 :]
            (folder / name).write_bytes(changed)
            try:
                open_sae(folder)
            except (ConfigError, CorruptArtifact, NotAnArtifact):
                refused += 1
        assert refused > 15
        (folder / name).write_bytes(whole)


# --- what is written -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "options", "theirs", "tied"),
    [
        ("relu", {}, "standard", True),
        ("relu", {"decoder": "free"}, "standard", False),
        ("autoencoder", {}, "standard", True),
        ("gated", {}, "gated", True),
        ("topk", {"k": 3}, "topk", True),
        ("batch_topk", {"k": 3}, "jumprelu", True),
        ("matryoshka", {"k": 3}, "jumprelu", True),
        ("jumprelu", {"sparsity": "l0"}, "jumprelu", False),
        ("transcoder", {"activation": "relu"}, "transcoder", False),
        ("transcoder", {"activation": "relu", "skip": True}, "skip_transcoder", False),
        ("transcoder", {"k": 3}, "jumprelu_transcoder", False),
        ("skip_transcoder", {"activation": "jumprelu", "sparsity": "l0"}, "jumprelu_skip_transcoder", False),
    ],
)
def test_every_architecture_is_written_as_theirs(tmp_path, architecture, options, theirs, tied):
    sae = build(architecture, 6, 12, options, d_out=5 if "transcoder" in architecture else None, seed=4)
    weights = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in sae.state_dict().items():
            if name not in ("W_dec", "W_enc"):
                value.copy_(0.3 * torch.rand(value.shape, generator=weights))
    saelens.write(sae, tmp_path)
    config = json.loads((tmp_path / saelens.CONFIG).read_text())
    assert (config["architecture"], config["apply_b_dec_to_input"]) == (theirs, tied)
    x = torch.randn(32, 6, generator=weights)
    again = open_sae(tmp_path).sae
    torch.testing.assert_close(again(x), sae(x), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(again.encode(x), sae.encode(x), atol=1e-6, rtol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [saelens.CONFIG, saelens.WEIGHTS]


def test_what_saelens_has_no_class_for(tmp_path):
    for architecture, options in (("transcoder", {"activation": "topk", "k": 2}), ("crosscoder", {"k": 2, "widths": (3, 3)})):
        with pytest.raises(ConfigError, match=r"SAELens has no .*--to saescope"):
            saelens.write(build(architecture, 6, 12, options), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_heads_of_attention_lie_side_by_side(tmp_path):
    saelens.write(build("topk", 6, 12, {"k": 2}), tmp_path, {"hook_points": ["blocks.1.attn_z"], "bos": "none"})
    config = json.loads((tmp_path / saelens.CONFIG).read_text())
    assert (config["reshape_activations"], config["metadata"]["hook_name"]) == ("hook_z", "blocks.1.attn.hook_z")
    assert config["metadata"]["prepend_bos"] is False
    assert open_sae(tmp_path).provenance["hook_points"] == ["blocks.1.attn_z"]
