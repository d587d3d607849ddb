"""The shape of GPT-2 small: 12 layers, 768 wide, an MLP of 3,072 behind GELU, a vocabulary of 50,257; real tokenizer, random weights."""

import json
import shlex

import pytest

import saescope as api
from saescope import cli
from saescope.pipeline.config import ModelConfig
from saescope.pipeline.subject import open_model

pytestmark = [pytest.mark.real, pytest.mark.slow]
AT = "blocks.6.mlp_post"


@pytest.fixture(scope="module")
def gpt2(real, tmp_path_factory):
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("models") / "gpt2-shape"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    AutoTokenizer.from_pretrained(real / "tokenizers" / "gpt2").save_pretrained(folder)
    return folder


def test_a_run_from_end_to_end(gpt2, real, tmp_path, capsys):
    stories = real / "text" / "tinystories" / "test.txt"
    words = shlex.split(
        f"--holdout {stories}:3 --documents 40 --packing documents --context 32 --d-sae 512 --k 16 --tokens 4096 --batch-tokens 512 "
        f"--silent-tokens 500 --feature-tokens 500 --cards 2 --device cpu --out {tmp_path} --json"
    )
    assert cli.main(["run", str(gpt2), "--text", str(stories), "--at", AT, *words]) == 0
    result = json.loads(capsys.readouterr().out)
    sae = {key: metric["value"] for key, metric in result["rows"]["sae"].items()}
    assert result["provenance"]["bos_prepended"] is True
    assert sae["sparsity.n_latents"] == 512
    assert 8 < sae["sparsity.l0"] < 32
    assert sae["reconstruction.fvu"] < 1
    assert sae["fidelity.ce.clean"] == pytest.approx(11, abs=0.3)  # ln 50,257 = 10.82, and random weights know nothing
    store = api.FeatureStore.open(tmp_path / "features")
    assert len(store) == 512
    fired = {token.token.strip("␣· ") for i in store.alive()[:50] for token in store[i].tokens_fired}
    assert {"the", "and"} <= fired, fired
    page = (tmp_path / "index.html").read_text()
    assert AT in page
    assert "Ġ" not in page


def test_its_hook_points(gpt2):
    lm = open_model(ModelConfig(model=str(gpt2), device="cpu"))
    assert (lm.n_layers, lm.d_model, lm.context_length, lm.width(AT), lm.width("blocks.6.resid_post")) == (12, 768, 1024, 3072, 768)
    assert not lm.refused
