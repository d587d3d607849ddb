"""What the page says of its run."""

import shlex
from dataclasses import replace

import pytest

import tiny_run
from saescope.cli._common import parse
from saescope.cli.run import RunOptions, model_first
from saescope.pipeline.page import command_line
from saescope.pipeline.subject import open_subject, resolved


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sae": {"sae": "relu", "l1": 0.3}, "train": {"seed": 4, "lr": 1e-4}},
        {"sae": {"sae": "topk", "expansion": 2}, "text": {"bos": False, "context": 16, "packing": "stream", "documents": 90}},
        {"cache": "a folder/acts", "text": {"holdout": "it's.txt:5"}},
    ],
    ids=str,
)
def test_its_command_makes_the_same_run(model, stories, changes):
    cfg = tiny_run.config(model, stories, **changes)
    holdout, cfg = cfg.text.holdout, replace(cfg, text=replace(cfg.text, holdout=None))
    full = resolved(cfg, open_subject(cfg))
    full = replace(full, text=replace(full.text, holdout=holdout))
    program, verb, *words = shlex.split(command_line(full))
    assert (program, verb) == ("saescope", "run")
    assert parse(model_first(words), RunOptions, prog="saescope run").config == full
