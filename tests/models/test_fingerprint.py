import time

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import tiny
from saescope.models import LanguageModel, fingerprint
from saescope.models.fingerprint import weights_sha256


def test_the_same_model_has_the_same_hash():
    assert weights_sha256(tiny.tiny_model("llama")) == weights_sha256(tiny.tiny_model("llama"))
    assert len(weights_sha256(tiny.tiny_model("llama"))) == 12


@pytest.mark.parametrize("whole_below", [fingerprint.WHOLE_BELOW, 0])
def test_every_weight_of_a_small_tensor_counts(monkeypatch, whole_below):
    monkeypatch.setattr(fingerprint, "WHOLE_BELOW", whole_below)
    hf = tiny.tiny_model("llama")
    before = weights_sha256(hf)
    hf.model.layers[1].mlp.up_proj.weight.data[3, 4] += 1e-3
    assert weights_sha256(hf) != before


def test_large_tensors_are_sampled_throughout(monkeypatch):
    monkeypatch.setattr(fingerprint, "WHOLE_BELOW", 0)
    monkeypatch.setattr(fingerprint, "SAMPLE", 8)
    layer = torch.nn.Linear(40, 40)
    before = weights_sha256(layer)
    layer.weight.data[20:] += 1
    assert weights_sha256(layer) != before


def test_the_architecture_counts_and_the_place_of_the_files_does_not():
    hf, other = tiny.tiny_model("llama"), tiny.tiny_model("llama", rms_norm_eps=1e-4)
    hf.config._name_or_path = "/somewhere/else"
    assert weights_sha256(hf) == weights_sha256(tiny.tiny_model("llama"))
    assert weights_sha256(hf) != weights_sha256(other)


def test_precision_counts():
    assert weights_sha256(tiny.tiny_model("llama").half()) != weights_sha256(tiny.tiny_model("llama"))
    assert weights_sha256(tiny.tiny_model("llama").bfloat16())


def test_loading_a_saved_model_keeps_the_hash(tmp_path):
    hf = tiny.tiny_model("gpt2")
    hf.save_pretrained(tmp_path)
    tiny.tiny_tokenizer().save_pretrained(tmp_path)
    assert LanguageModel.load(tmp_path, device="cpu").fingerprint["weights_sha256"] == weights_sha256(hf)


@pytest.mark.slow
def test_a_model_of_the_size_of_gpt2_takes_no_time():
    hf = GPT2LMHeadModel(GPT2Config(n_layer=2))
    start = time.perf_counter()
    weights_sha256(hf)
    assert time.perf_counter() - start < 2
