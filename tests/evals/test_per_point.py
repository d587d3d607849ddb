"""Evaluation where what is read is not what is written (transcoders), or is several hook points (crosscoders)."""

import copy

import pytest
import torch

from saescope import errors
from saescope.evals import EvalConfig, evaluate
from saescope.evals.controls import Moments, Rescaled, control, impossible
from saescope.evals.geometry import geometry
from saescope.models.route import Route
from saescope.saes.fold import fold
from saescope.saes.registry import build

MLP = ("blocks.1.resid_mid", "blocks.1.mlp_out")
BOTH = "blocks.*.resid_post"
FIRST, LAST = "sae@blocks.0.resid_post", "sae@blocks.1.resid_post"
CFG = EvalConfig(fidelity_tokens=200, activation_tokens=300, select_tokens=300, n_resamples=20, controls=())


class Exact:
    """The MLP of a block itself, or another function, as a dictionary that reads before the norm and writes what the MLP adds."""

    d_in = d_out = d_sae = 16

    def __init__(self, f):
        self.f = f

    def encode(self, x):
        return x

    def decode(self, latents):
        return self.f(latents)


@pytest.fixture(scope="module")
def mlp(lm):
    block = copy.deepcopy(lm.hf.model.layers[1])  # the model's own carries hooks while it is edited
    return Exact(lambda x: block.mlp(block.post_attention_layernorm(x)))


def test_the_mlp_itself_is_a_perfect_transcoder(lm, corpus, pack, mlp):
    got = evaluate({"sae": mlp}, lm, Route.of(lm, *MLP), corpus, CFG, pack=pack)
    assert got.value("sae", "reconstruction.fvu") == pytest.approx(0, abs=1e-9)
    assert got.value("sae", "fidelity.delta_ce") == pytest.approx(0, abs=1e-6)
    assert got.value("sae", "fidelity.delta_ce.with_bos") == pytest.approx(0, abs=1e-6)
    assert got.value("sae", "fidelity.recovered.zero") == pytest.approx(1, abs=1e-4)
    assert got.provenance["hook_point"] == "blocks.1.resid_mid -> blocks.1.mlp_out"
    assert "takes the place of blocks.1.mlp_out" in got.provenance["spliced"]


def test_a_transcoder_of_nothing_is_the_ablation_of_its_target(lm, corpus, pack):
    got = evaluate({"sae": Exact(torch.zeros_like)}, lm, Route.of(lm, *MLP), corpus, CFG, pack=pack)
    assert got.value("sae", "fidelity.recovered.zero") == 0
    assert got.value("sae", "fidelity.ce.sae") == got.value("sae", "fidelity.ce.zero")
    at_target = evaluate({"sae": Exact(torch.zeros_like)}, lm, MLP[1], corpus, CFG, pack=pack)
    for key in ("fidelity.ce.zero", "fidelity.ce.mean", "reconstruction.mse", "reconstruction.fvu"):
        assert got.value("sae", key) == pytest.approx(at_target.value("sae", key)), key


def test_a_transcoder_that_gives_back_what_it_reads_is_compared_with_its_target(lm, corpus, pack):
    got = evaluate({"sae": Exact(lambda x: x)}, lm, Route.of(lm, *MLP), corpus, CFG, pack=pack)
    assert got.value("sae", "reconstruction.fvu") > 0.5


def test_no_control_rebuilds_another_hook_point(lm, corpus, pack):
    names = ("neurons", "neurons_topk", "pca", "untrained", "random_dictionary")
    sae = build("transcoder", 16, 24, {"k": 3})
    assert all(impossible(name, sae) for name in names)
    got = evaluate({"sae": sae}, lm, Route.of(lm, *MLP), corpus, EvalConfig(**vars(CFG) | {"controls": names}), pack=pack)
    assert all("transcoder" in got.missing(name) or "target" in got.missing(name) for name in names)


@pytest.mark.parametrize(
    ("sae", "at", "message"),
    [
        (
            build("transcoder", 16, 24, {"k": 3}, d_out=32),
            MLP,
            r"row 'sae' writes d_out=32, but blocks\.1\.mlp_out of .* is 16 wide.*--target",
        ),
        (build("transcoder", 32, 24, {"k": 3}, d_out=16), MLP, r"row 'sae' reads d_in=32, but blocks\.1\.resid_mid of .* is 16 wide"),
        (build("crosscoder", 48, 24, {"k": 3}), (BOTH,), r"d_in=48, but blocks\.0\.resid_post,blocks\.1\.resid_post of .* is 32 wide"),
    ],
)
def test_widths_are_checked_on_both_sides(lm, corpus, pack, sae, at, message):
    with pytest.raises(errors.WidthMismatch, match=message):
        evaluate({"sae": sae}, lm, Route.of(lm, *at), corpus, CFG, pack=pack)


def test_every_hook_point_of_a_crosscoder_has_a_row(lm, corpus, pack, fixed):
    got = evaluate({"sae": fixed(32)}, lm, BOTH, corpus, CFG, pack=pack)
    assert list(got.rows)[:3] == ["sae", FIRST, LAST]
    for row in ("sae", FIRST, LAST):
        assert got.value(row, "reconstruction.fvu") == 0
        assert got.value(row, "fidelity.delta_ce") == pytest.approx(0, abs=1e-6)
    assert "fidelity.recovered.zero" in got.rows["sae"]
    assert not any("zero" in key or ".mean" in key for key in got.rows[FIRST])
    assert "together" in got.provenance["spliced"]


def test_a_fault_at_one_hook_point_shows_in_its_row_alone(lm, corpus, pack, fixed):
    def lose_the_last(x):
        return torch.cat([x[..., :16], torch.zeros_like(x[..., 16:])], -1)

    got = evaluate({"sae": fixed(32, lose_the_last)}, lm, BOTH, corpus, CFG, pack=pack)
    assert got.value(FIRST, "reconstruction.fvu") == 0
    assert got.value(FIRST, "fidelity.delta_ce") == pytest.approx(0, abs=1e-6)
    assert got.value(LAST, "reconstruction.fvu") >= 1
    assert got.value("sae", "reconstruction.mse") == pytest.approx(got.value(LAST, "reconstruction.mse"))
    assert got.value("sae", "fidelity.ce.sae") == pytest.approx(got.value(LAST, "fidelity.ce.sae"), abs=1e-6)
    # The last block's output is 0, whatever came before it: the same as ablating both.
    assert got.value("sae", "fidelity.ce.sae") == pytest.approx(got.value("sae", "fidelity.ce.zero"), abs=1e-6)


def test_what_a_crosscoder_is_spliced_from_is_the_unedited_pass(lm, corpus, pack, fixed):
    """With the first hook point lost and the last one exact, nothing is lost: the last does not see the first one's edit."""

    def lose_the_first(x):
        return torch.cat([torch.zeros_like(x[..., :16]), x[..., 16:]], -1)

    got = evaluate({"sae": fixed(32, lose_the_first)}, lm, BOTH, corpus, CFG, pack=pack)
    assert got.value("sae", "fidelity.delta_ce.with_bos") == pytest.approx(0, abs=1e-6)
    assert abs(got.value(FIRST, "fidelity.delta_ce")) > 1e-3


def test_reconstruction_of_a_crosscoder_weighs_its_hook_points_alike(lm, corpus, pack):
    """Twice the scale of one hook point is twice its share; the rows of single points do not know of it."""
    sae = build("crosscoder", 32, 64, {"k": 8, "widths": (16, 16)})
    results = {}
    for s in (1.0, 2.0):
        scales = torch.cat([torch.full((16,), s), torch.ones(16)])
        own = fold(sae, scales)
        own.load_state_dict(sae.state_dict() | {"scales": scales})
        results[s] = evaluate({"sae": own}, lm, BOTH, corpus, CFG, pack=pack)
    for s, got in results.items():
        first, last = (got.value(row, "reconstruction.mse") for row in (FIRST, LAST))
        assert got.value("sae", "reconstruction.mse") == pytest.approx(s**2 * first + last, rel=1e-4)
    assert "scaled alike" in results[1.0].provenance["spliced"]


def test_controls_of_a_crosscoder_weigh_its_hook_points_alike(chunk, normal):
    """Coordinates of the second point are a thousand times those of the first, and no more important."""
    scales = torch.tensor([1.0] * 4 + [1e-3] * 4)
    sae = fold(build("crosscoder", 8, 16, {"k": 2, "widths": (4, 4)}), scales)
    fit = Moments(8)
    x = normal(500, 8) / scales
    fit.add(chunk(x, latents=normal(500, 16).relu() * (normal(500, 16) > 1)))
    fit.active_latents = 2 * fit.n
    for name in ("neurons_topk", "pca", "untrained"):
        row = control(name, sae, fit)
        assert isinstance(row, Rescaled)
        left = (x - row.decode(row.encode(x))).mul(scales).square()
        assert 0.5 < left[:, :4].sum() / left[:, 4:].sum() < 2, name
        assert (row.encode(x) > 0).sum(1).float().mean() <= 2
    exact = control("neurons", sae, fit)
    assert torch.equal(exact.decode(exact.encode(x)), x)


def test_geometry_of_a_crosscoder_is_in_scaled_units():
    sae = build("crosscoder", 8, 16, {"k": 2, "widths": (4, 4)})
    with torch.no_grad():
        sae.W_dec[3, :4].zero_()
    raw = fold(sae, torch.tensor([1.0] * 4 + [1e-3] * 4))
    (expected, _), (found, columns) = geometry(sae), geometry(raw)
    assert {key: metric.value for key, metric in found.items()} == pytest.approx({key: metric.value for key, metric in expected.items()})
    assert columns["block_norm_0"][3] == 0
    assert columns["block_norm_1"][3] == 1
    assert columns["block_norm_0"][0] == pytest.approx(1)


def test_the_encoder_of_a_transcoder_is_not_compared_with_its_decoder():
    metrics, columns = geometry(build("transcoder", 16, 24, {"k": 3}))
    assert metrics["geometry.enc_dec_cos"].status == "skipped"
    assert "enc_dec_cos" not in columns
