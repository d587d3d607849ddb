"""Several dictionaries measured together get the numbers that each gets alone."""

import pytest
import torch

from saescope import errors
from saescope.evals import EvalConfig, evaluate
from saescope.evals.evaluate_each import evaluate_each
from saescope.saes.registry import build

AT = "blocks.1.mlp_post"
CFG = EvalConfig(fidelity_tokens=200, activation_tokens=300, select_tokens=300, dead_tokens=900, n_resamples=20, controls=())


@pytest.fixture(scope="module")
def saes():
    return {"a": build("topk", 32, 64, {"k": 4}, seed=1), "b": build("relu", 32, 64, seed=2), "c": build("topk", 32, 64, {"k": 8}, seed=3)}


def test_each_has_the_result_it_has_alone(lm, corpus, pack, saes):
    together = evaluate_each(saes, lm, AT, corpus, CFG, pack=pack)
    assert list(together) == list(saes)
    for name, sae in saes.items():
        alone = evaluate({"sae": sae}, lm, AT, corpus, CFG, pack=pack)
        assert together[name].rows == alone.rows
        assert together[name].provenance == alone.provenance
        for kind in ("latents", "tables"):
            mine, others = getattr(together[name], kind), getattr(alone, kind)
            assert mine.keys() == others.keys()
            assert all(torch.equal(mine[key].nan_to_num(-1), others[key].nan_to_num(-1)) for key in mine)
    assert together["a"].warnings is not together["b"].warnings


def test_each_part_of_the_text_is_read_once(lm, corpus, pack, saes):
    parts = []
    evaluate_each(saes, lm, AT, corpus, CFG, pack=pack, progress=lambda part, done, total: parts.append((part, done)))
    for part in ("select", "activations", "dead", "fidelity"):
        done = [n for name, n in parts if name == part]
        assert done == sorted(done)


def test_controls_and_nothing_are_refused(lm, corpus, pack, saes):
    with pytest.raises(errors.ConfigError, match="no control rows"):
        evaluate_each(saes, lm, AT, corpus, EvalConfig(controls=("pca",)), pack=pack)
    with pytest.raises(errors.ConfigError, match="needs a dictionary"):
        evaluate_each({}, lm, AT, corpus, CFG, pack=pack)


def test_another_width_is_refused_by_name(lm, corpus, pack, saes):
    with pytest.raises(errors.WidthMismatch, match="row 'wide' reads d_in=16"):
        evaluate_each({**saes, "wide": build("topk", 16, 64, {"k": 4})}, lm, AT, corpus, CFG, pack=pack)


def test_transcoders_too(lm, corpus, pack):
    from saescope.models.route import Route

    route = Route.of(lm, "blocks.1.resid_mid", "blocks.1.mlp_out")
    made = {name: build("transcoder", 16, 32, {"k": 4}, d_out=16, seed=seed) for name, seed in (("a", 0), ("b", 1))}
    together = evaluate_each(made, lm, route, corpus, CFG, pack=pack)
    assert together["b"].rows == evaluate({"sae": made["b"]}, lm, route, corpus, CFG, pack=pack).rows
