import time
import warnings

import pytest
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

import tiny
from saescope import errors
from saescope.models import LanguageModel, loading


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "toy-llama"
    tiny.tiny_model("llama").save_pretrained(path)
    tiny.tiny_tokenizer().save_pretrained(path)
    return path


def load(path, **options):
    return LanguageModel.load(path, device="cpu", **options)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_local_folder(folder, kind):
    lm, hf = load(kind(folder)), tiny.tiny_model("llama")
    tokens = torch.arange(12).view(2, 6)
    assert torch.equal(lm.run(tokens).logits, hf(tokens).logits)
    assert (lm.name, lm.revision) == ("toy-llama", "local")
    assert str(folder) not in str(lm.fingerprint)
    assert lm.tokenizer.encode("the and") == tiny.tiny_lm().tokenizer.encode("the and")


@pytest.mark.parametrize("dtype", ["bf16", "bfloat16", torch.bfloat16, "torch.bfloat16"])
def test_dtype(folder, dtype):
    assert load(folder, dtype=dtype).dtype == torch.bfloat16


def test_auto_is_the_dtype_of_the_weights(tmp_path):
    tiny.tiny_model("gpt2").half().save_pretrained(tmp_path)
    tiny.tiny_tokenizer().save_pretrained(tmp_path)
    assert load(tmp_path).dtype == torch.float16


def test_safetensors_are_preferred(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")
    assert load(tmp_path).n_layers == 2


def test_nothing_is_drawn_or_said_in_a_log(folder, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(folder)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float8"}, r"dtype='float8' is not known. Choose auto, float32"),
        ({"device": "gpu"}, r"device='gpu' is not a device. Choose auto, cpu"),
        ({"device": "xla:0"}, r"device='xla:0' is not supported"),
    ],
)
def test_wrong_options(folder, options, message):
    with pytest.raises(errors.ConfigError, match=message):
        LanguageModel.load(folder, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a cuda device")
def test_a_device_that_is_not_there(folder):
    with pytest.raises(errors.ConfigError, match=r"sees 0 cuda. Choose --device auto or cpu"):
        LanguageModel.load(folder, device="cuda")


def test_a_revision_of_a_local_folder_is_refused(folder):
    with pytest.raises(errors.ConfigError, match="only Hub names have revisions"):
        load(folder, revision="main")


# --- names that lead nowhere ---------------------------------------------------------------------------------------------------------


def test_a_mistyped_folder_names_the_nearest(folder):
    with pytest.raises(errors.UnknownModel, match=r"there is no folder .*toy-lama. Did you mean 'toy-llama'\?"):
        load(folder.parent / "toy-lama")
    with pytest.raises(errors.UnknownModel, match=r"Folders in .*: toy-llama\."):
        load(folder.parent / "something else" / "deeper")


def test_a_hub_name_offline_fails_soon_and_says_what_to_do():
    start = time.perf_counter()
    with pytest.raises(
        errors.HubUnreachable, match=r"gpt2 is no folder here .*https://huggingface.co could not be reached .*local model folder"
    ):
        load("gpt2")
    assert time.perf_counter() - start < 5


def test_an_unreachable_hub_is_the_same(monkeypatch):
    class Refused(HfHubHTTPError):
        def __init__(self):
            Exception.__init__(self, "503 Service Unavailable\nrequest 17")

    def fail(*_, **options):
        assert options["timeout"] <= 10
        raise Refused

    monkeypatch.setattr(HfApi, "model_info", fail)
    with pytest.raises(errors.HubUnreachable, match=r"someone/model .*\(503 Service Unavailable\)"):
        load("someone/model")


def test_a_model_in_the_cache_needs_no_hub(folder, monkeypatch, tmp_path):
    commit = "0123456789012345678901234567890123456789"
    snapshot = tmp_path / "models--someone--toy" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (tmp_path / "models--someone--toy" / "refs").mkdir()
    (tmp_path / "models--someone--toy" / "refs" / "main").write_text(commit)
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert loading._cached_commit("someone/toy", None) == commit
    assert loading._commit("someone/toy", None) == (commit, True)


@pytest.mark.parametrize("name", ["two words", "a//b", "x" * 200])
def test_what_is_neither_folder_nor_hub_name(name):
    with pytest.raises(errors.UnknownModel):
        load(name)


# --- folders that hold something else ------------------------------------------------------------------------------------------------


def test_a_file(folder):
    with pytest.raises(errors.UnknownModel, match=r"is a file. Give the folder"):
        load(folder / "config.json")


def test_a_folder_of_models(folder):
    with pytest.raises(errors.UnknownModel, match=r"holds no config.json.* Folders in it that do: toy-llama"):
        load(folder.parent)


def test_an_empty_folder(tmp_path):
    with pytest.raises(errors.UnknownModel, match=r"holds no config.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"model_type": "no_such_family"}', "cannot be loaded"),
        ('{"model_type": "t5"}', r"cannot be loaded.*Give a causal language model"),
        ("not json", "cannot be loaded"),
        ('{"model_type": "new", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}}', r"pass --trust-remote-code"),
    ],
)
def test_a_config_that_is_no_causal_language_model(tmp_path, config, message):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(errors.UnknownModel, match=message):
        load(tmp_path)


def copy_without(folder, target, *names):
    for file in folder.iterdir():
        if file.name not in names:
            (target / file.name).write_bytes(file.read_bytes())
    return target


def test_no_weights(folder, tmp_path):
    with pytest.raises(errors.UnknownModel, match=r"the model of .* cannot be loaded"):
        load(copy_without(folder, tmp_path, "model.safetensors"))


def test_no_tokenizer(folder, tmp_path):
    with pytest.raises(errors.UnknownModel, match=r"the tokenizer of .* cannot be loaded"):
        load(copy_without(folder, tmp_path, "tokenizer.json", "tokenizer_config.json"))


def test_cut_weights(folder, tmp_path):
    copy_without(folder, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(errors.CorruptArtifact, match=r"the weights of .* cannot be read"):
        load(tmp_path)


def test_weights_that_are_not_all_there_are_not_made_up(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    copy_without(folder, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(errors.UnknownModel, match=r"lack 1 tensors of LlamaForCausalLM, such as model.layers.1.mlp.down_proj.weight"):
        load(tmp_path)


@pytest.mark.real
def test_real_models_load(real):
    lm = load(real / "models" / "stories260K")
    assert (lm.name, lm.n_layers, lm.d_model, lm.d_vocab, lm.context_length) == ("stories260K", 5, 64, 512, 512)
    assert lm.width("blocks.3.mlp.hook_post") == 172
    tokens = torch.tensor([[1, *lm.tokenizer.encode("Once upon a time, there was a little girl")]])
    assert torch.equal(lm.run(tokens).logits, lm.hf(tokens).logits)


@pytest.mark.real
def test_a_real_folder_mistyped(real):
    with pytest.raises(errors.UnknownModel, match="Did you mean 'stories3M'"):
        load(real / "models" / "stories3m")
