"""Tiny random models of any family, and a tiny tokenizer: everything a test of the rooms above needs of a language model."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import torch

SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 32, "n_positions": 32},
    "gpt_neo": {
        "hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32,
        "attention_types": [[["global", "local"], 1]], "window_size": 8,
    },
    "gptj": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 32, "n_positions": 32, "rotary_dim": 4},
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "falcon": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_hidden_size": 32},
    "opt": {
        "hidden_size": 16, "word_embed_proj_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32,
        "max_position_embeddings": 32,
    },
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    "mixtral": {"num_local_experts": 2, "num_experts_per_tok": 1},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {"head_dim": 8, "query_pre_attn_scalar": 8},
    "qwen3": {"head_dim": 8},
}  # fmt: skip
"""Sizes by family: 2 layers, d_model 16, 2 heads, MLP 32, context 32; families not listed take COMMON."""

COMMON = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 32,
    "max_position_embeddings": 32,
}  # fmt: skip
SPECIALS = {"pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0}
OWN_SIZES = ("gpt2", "gpt_neo", "gptj", "bloom", "falcon", "opt", "mamba")


def tiny_model(model_type: str, **overrides: Any) -> Any:
    """Random causal language model of a family, float32, in eval mode; the same numbers every time.

    Weights are larger than a fresh initialisation and no bias or norm gain is trivial, so that a wrong hook shows.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = SIZES.get(model_type, {}) if model_type in OWN_SIZES else COMMON | SIZES.get(model_type, {})
    config = AutoConfig.for_model(model_type, **(sizes | SPECIALS | {"vocab_size": len(tiny_tokenizer())} | overrides))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter) * (0.15 if parameter.ndim > 1 else 0.1)
    return model


@cache
def tiny_tokenizer() -> Any:
    """Byte-level BPE tokenizer with a BOS: id 0 is `<s>`, ids 1..256 are the bytes, then a few merges of English words."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ġ", "a"), ("a", "n"), ("an", "d"), ("Ġ", "and"), ("i", "n"), ("e", "r"), ("o", "n")]
    vocab = {piece: i for i, piece in enumerate(["<s>", *alphabet, *(a + b for a, b in merges)])}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="<s>", model_max_length=32)


def tiny_lm(model_type: str = "llama", **overrides: Any) -> Any:
    """LanguageModel around `tiny_model(model_type)` and `tiny_tokenizer()`."""
    from saescope.models import LanguageModel

    return LanguageModel(tiny_model(model_type, **overrides), tiny_tokenizer())


@contextmanager
def meta_lm(model_type: str = "llama", **overrides: Any):
    """LanguageModel whose tensors have no storage (device "meta"): any CPU tensor that meets them raises.

    Inside the block transformers believes it is being traced, since it otherwise looks at values while it builds its masks.
    """
    from saescope.models import LanguageModel

    with mock.patch("transformers.masking_utils.is_tracing", return_value=True):
        yield LanguageModel(tiny_model(model_type, **overrides).to("meta"), tiny_tokenizer())
