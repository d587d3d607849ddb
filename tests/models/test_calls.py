import pytest
import torch
from torch import nn

import tiny
from saescope import errors
from saescope.models import calls

LEFT = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]], dtype=torch.bool)


class Plain(nn.Module):
    def forward(self, tokens, attention_mask=None):
        return tokens


class Open(nn.Module):
    def forward(self, *args, **kwargs):
        return args


def test_only_options_that_the_model_takes():
    assert calls.options_of(Plain()) == {"attention_mask"}
    assert calls.options_of(Open()) == calls.OPTIONS
    assert calls.options_of(tiny.tiny_model("llama")) == calls.OPTIONS


def test_right_pads_need_nothing_and_left_pads_need_mask_and_positions():
    assert calls.padding_options(None, 0, "cpu") == {}
    assert calls.padding_options(LEFT.flip(1), 0, "cpu") == {}
    options = calls.padding_options(LEFT, 0, "cpu")
    assert options["attention_mask"].tolist() == LEFT.int().tolist()
    assert options["position_ids"].tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]
    assert calls.padding_options(LEFT, 3, "cpu")["position_ids"].tolist() == [[1], [3]]


def test_columns_of_somebody_elses_call():
    tokens = torch.zeros(2, 4, dtype=torch.long)
    assert torch.equal(calls.columns_of_call((), {"input_ids": tokens, "attention_mask": LEFT.long()})[0], LEFT)
    everything = torch.ones(2, 4, dtype=torch.bool)
    for args, kwargs in [
        ((tokens,), {}),
        ((), {"inputs_embeds": torch.zeros(2, 4, 8)}),
        ((), {"input_ids": tokens, "attention_mask": torch.zeros(2, 1, 4, 4)}),
    ]:
        real, past = calls.columns_of_call(args, kwargs)
        assert past == 0
        assert torch.equal(real, everything)


def test_real_columns_cover_the_past():
    tokens = torch.zeros(2, 1, dtype=torch.long)
    assert calls.real_columns(tokens, None, past=3).tolist() == [[True] * 4] * 2
    assert torch.equal(calls.real_columns(tokens, LEFT, past=3), LEFT)
    with pytest.raises(errors.ConfigError, match=r"mask is \[2, 4\]"):
        calls.real_columns(tokens, LEFT)


def test_logits_in_whatever_a_forward_returns():
    logits = torch.zeros(1)
    output = tiny.tiny_model("llama")(torch.zeros(1, 2, dtype=torch.long))
    assert calls.logits_of(logits) is logits
    assert calls.logits_of((logits, None)) is logits
    assert calls.logits_of(output) is output.logits


def test_left_padded_generation_is_that_of_the_row_alone():
    from saescope.interventions import Ablate

    lm = tiny.tiny_lm("gpt2")
    lm.hf.double()
    row = torch.tensor([[5, 90, 33, 120]])
    padded = torch.cat([torch.tensor([[0, 0]]), row], 1)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1]])
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    for positions in ("all", 1, slice(2, 6)):
        with lm.edit(Ablate(None, at="blocks.0.resid_post", positions=positions)):
            alone = lm.hf.generate(row, attention_mask=torch.ones_like(row), **options)
            assert torch.equal(lm.hf.generate(padded, attention_mask=mask, **options)[:, 2:], alone)
