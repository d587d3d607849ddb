"""Many SAEs on one stream: each ends as it would have ended alone, however often the sweep is left and continued."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny_run
from saescope import errors
from saescope.config import to_dict
from saescope.evals.result import EvalResult
from saescope.files import read_manifest
from saescope.interop import open_sae
from saescope.pipeline import GridConfig, SweepConfig, run, sweep, sweep_job
from saescope.pipeline.config import ModelConfig, TextConfig
from saescope.run_folder import RunFolder
from saescope.saes.storage import load
from saescope.training.config import TrainConfig

pytestmark = pytest.mark.usefixtures("small_batches")

GRID = {"sae": ("topk", "relu", "batch_topk"), "d_sae": (32,), "l0": (4.0,), "seeds": (0, 1)}
NAMES = [f"{architecture}-s{seed}" for architecture in GRID["sae"] for seed in GRID["seeds"]]
TRAIN = {"tokens": 2048, "batch_tokens": 128, "checkpoint_steps": 6, "log_steps": 4}


class Listener:
    """A reporter that notes stages and sentences, and fails in the n-th tick of a stage."""

    def __init__(self, fail_in: str = "", tick: int = 1):
        self.fail_in, self.left, self.stages, self.said = fail_in, tick, [], []

    @contextmanager
    def stage(self, title, total, done=0):
        self.stages.append(title)

        def tick(done, **facts):
            self.left -= bool(self.fail_in) and title.startswith(self.fail_in)
            if self.left == 0:
                raise KeyboardInterrupt

        yield tick

    def say(self, sentence):
        self.said.append(sentence)


@pytest.fixture(scope="module")
def cfg(model, stories):
    return config(model, stories)


def config(model, stories, *, grid=None, **changes) -> SweepConfig:
    return SweepConfig(
        model=ModelConfig(model=str(model), device="cpu"), text=TextConfig(text=str(stories)),
        grid=GridConfig(**GRID | (grid or {})), train=TrainConfig(**TRAIN | changes.pop("train", {})),
        **{"at": tiny_run.AT, "silent_tokens": 300, "feature_tokens": 500, "label_tokens": 0} | changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(cfg, small_batches, tmp_path_factory):
    """An uninterrupted sweep and what it said. Shared: tests must not change its folder."""
    listener = Listener()
    return sweep(cfg, tmp_path_factory.mktemp("runs") / "sweep", reporter=listener), listener


@pytest.fixture
def outcome(finished):
    return finished[0]


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def of(folder: Path) -> dict:
    """What a sweep amounts to, without when and where it was made."""
    results = {}
    for path in sorted((folder / "saes").glob("*/result.json")):
        results[path.parent.name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "environment"}
    saes = {path.parent.parent.name: json.loads(path.read_text()) for path in sorted((folder / "saes").glob("*/sae/manifest.json"))}
    texts = {name: (folder / name).read_text() for name in ("pareto.json", "pareto.svg", "index.html", "metrics.jsonl", "saes/index.json")}
    return {"results": results, "saes": {name: sae["files"] for name, sae in saes.items()}, **texts}


# --- what it leaves ---


def test_every_sae_has_a_run_of_its_own(outcome):
    folder = outcome.folder.path
    assert outcome.state == "new"
    assert list(outcome.runs) == NAMES
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "metrics.jsonl", "saes", "pareto.json", "pareto.svg", "index.html"
    }  # fmt: skip
    assert {path.name for path in (folder / "saes").iterdir()} == {*NAMES, "index.json"}
    for run_folder in outcome.runs.values():
        assert {path.name for path in run_folder.path.iterdir()} == {"config.json", "metrics.jsonl", "sae", "result.json", "eval"}
    assert not [name for name in names(folder) if "tmp-" in name or name.endswith("run.lock")]


@pytest.mark.parametrize("name", ["topk-s0", "relu-s1", "batch_topk-s1"])
def test_an_sae_beside_others_is_the_sae_alone(cfg, outcome, name, tmp_path):
    inner = outcome.runs[name]
    alone = run(cfg.runs([tiny_run.AT])[name], tmp_path, until="sae")
    assert json.loads(inner.config_file.read_text()) == json.loads(alone.folder.config_file.read_text())
    assert read_manifest(inner.sae, "saescope.sae", 1).digest() == read_manifest(alone.folder.sae, "saescope.sae", 1).digest()
    assert inner.metrics.read_text() == alone.folder.metrics.read_text()
    assert run(cfg.runs([tiny_run.AT])[name], inner.path, until="sae").state == "done"


def test_seeds_are_of_the_initial_weights_alone(outcome):
    first, second = (load(outcome.runs[name].sae) for name in ("topk-s0", "topk-s1"))
    assert not torch.equal(first.W_enc, second.W_enc)
    configs = [json.loads(outcome.runs[name].config_file.read_text()) for name in ("topk-s0", "topk-s1")]
    assert [config["sae"].pop("init_seed") for config in configs] == [0, 1]
    assert configs[0] == configs[1]


def test_the_text_is_read_by_the_model_once(finished):
    listener = finished[1]
    training = [title for title in listener.stages if not title.startswith("evaluating")]
    assert training == [f"training {len(NAMES)} SAEs"]
    assert len([sentence for sentence in listener.said if sentence.startswith("memory beside the model: ")]) == 1
    evaluated = [title for title in listener.stages if title.startswith("evaluating")]
    assert evaluated == [f"evaluating {len(NAMES)} SAEs: {part}" for part in ("select", "activations", "dead", "fidelity")]


def test_points_are_those_of_the_results(outcome):
    said = json.loads((outcome.folder.path / "pareto.json").read_text())
    assert [point["name"] for point in said["points"]] == [point.name for point in outcome.points]
    assert sorted(point.name for point in outcome.points) == sorted(NAMES)
    for point in outcome.points:
        result = EvalResult.load(outcome.runs[point.name].path)
        assert (point.l0, point.delta_ce) == (result.value("sae", "sparsity.l0"), result.value("sae", "fidelity.delta_ce"))
        assert (point.tokens, point.d_sae, point.at) == (2048, 32, tiny_run.AT)
        assert f"-s{point.seed}" in point.name
        assert set(result.rows) == {"sae", "frozen_decoder", "shuffled_model"}
    assert [setting["name"] for setting in said["settings"]] == ["batch_topk", "relu", "topk"]


def test_the_page_and_the_figure_show_them(outcome):
    page, svg = (outcome.folder.path / "index.html").read_text(), (outcome.folder.path / "pareto.svg").read_text()
    for word in (
        "tiny-llama",
        tiny_run.AT,
        "batch_topk",
        "saescope sweep ",
        "--seeds 0 1",
        "--sae topk relu batch_topk",
        '<svg class="plot"',
    ):
        assert word in page
    said = [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]
    assert {"topk", "relu", "batch_topk", "L0, latents per token"} <= set(said)
    assert svg.count('class="dot"') == 12


def test_a_second_call_is_done_and_writes_nothing(cfg, outcome, monkeypatch):
    before = tiny_run.content(outcome.folder.path)
    monkeypatch.setattr(sweep_job, "_open", lambda cfg: pytest.fail("opened"))
    again = sweep(cfg, outcome.folder.path)
    assert (again.state, again.points, list(again.runs)) == ("done", outcome.points, NAMES)
    assert tiny_run.content(outcome.folder.path) == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"grid": {"l0": (8.0,)}}, r"grid\.l0: \[4\.0\] -> \[8\.0\]"),
        ({"grid": {"sae": ("topk",)}}, r"grid\.sae"),
        ({"at": "blocks.0.mlp_post"}, "at: "),
        ({"features": True}, "features: false -> true"),
    ],
)
def test_another_sweep_is_refused_by_the_fields(model, stories, outcome, changes, field):
    before = tiny_run.content(outcome.folder.path)
    with pytest.raises(errors.ProvenanceMismatch, match=rf"{field}.*--replace.*--out"):
        sweep(config(model, stories, **changes), outcome.folder.path)
    assert tiny_run.content(outcome.folder.path) == before


def test_each_opens_as_any_run_and_the_sweep_says_so(outcome):
    opened = open_sae(outcome.runs["relu-s0"].path)
    assert (opened.sae.architecture, opened.provenance["hook_points"]) == ("relu", [tiny_run.AT])
    assert opened.run.read_config()["sae"]["sae"] == "relu"
    with pytest.raises(errors.NotAnArtifact, match=r"several SAEs.*saes"):
        open_sae(outcome.folder.path)


# --- several hook points, and all that a run leaves ---


@pytest.fixture(scope="module")
def layers(model, stories, small_batches, tmp_path_factory):
    """A run at every MLP, with features."""
    cfg = tiny_run.config(model, stories, at="blocks.*.mlp_post", train={"tokens": 2048}, sae={"d_sae": 16, "k": 2})
    return cfg, sweep(cfg, tmp_path_factory.mktemp("runs") / "layers")


def test_a_run_at_several_hook_points_is_a_run_at_each(layers, tmp_path):
    cfg, outcome = layers
    assert list(outcome.runs) == ["blocks.0.mlp_post", "blocks.1.mlp_post"]
    for at, inner in outcome.runs.items():
        run(replace(cfg, at=at), tmp_path / at)
        assert tiny_run.outcome_of(inner.path) == tiny_run.outcome_of(tmp_path / at)
    page = outcome.folder.index.read_text()
    assert 'href="saes/blocks.0.mlp_post/index.html"' in page
    assert "saescope run " in page


def test_its_figure_has_the_hook_points_on_the_axis(layers):
    svg = (layers[1].folder.path / "pareto.svg").read_text()
    assert "hook point: blocks.0.mlp_post .. blocks.1.mlp_post" in svg


def test_training_alone_then_the_rest(model, stories, layers, tmp_path):
    cfg, outcome = layers
    first = sweep(cfg, tmp_path, until="sae")
    assert (first.state, first.points) == ("new", [])
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "metrics.jsonl", "saes"}
    assert sweep(cfg, tmp_path, until="sae").state == "done"
    rest = sweep(cfg, tmp_path)
    assert rest.state == "continue"
    for name, inner in outcome.runs.items():
        assert tiny_run.outcome_of(tmp_path / "saes" / name) == tiny_run.outcome_of(inner.path)


def test_one_run_does_not_take_several_hook_points(layers, tmp_path):
    with pytest.raises(errors.ConfigError, match=r"several hook points.*batch_topk reads one.*sweep"):
        run(layers[0], tmp_path)


def test_hook_points_and_settings_together(model, stories, tmp_path):
    both = config(model, stories, at="blocks.0.mlp_post,blocks.1.mlp_post", grid={"sae": ("topk",), "l0": (2.0, 4.0), "seeds": ()})
    outcome = sweep(both, tmp_path)
    assert list(outcome.runs) == [f"blocks.{layer}.mlp_post-topk-l0-{l0}" for layer in (0, 1) for l0 in (2, 4)]
    assert [point.at for point in outcome.points] == ["blocks.0.mlp_post"] * 2 + ["blocks.1.mlp_post"] * 2
    assert open_sae(outcome.runs["blocks.0.mlp_post-topk-l0-2"].path).provenance["hook_points"] == ["blocks.0.mlp_post"]


# --- leaving and coming back ---


@pytest.mark.parametrize(("stage", "tick", "left"), [
    ("training", 9, {"checkpoints/step-000000006/manifest.json"}),
    ("evaluating", 2, {"saes/index.json", "saes/topk-s0/sae/manifest.json"}),
])  # fmt: skip
def test_interrupted_and_continued_is_uninterrupted(cfg, outcome, tmp_path, stage, tick, left):
    with pytest.raises(KeyboardInterrupt):
        sweep(cfg, tmp_path, reporter=Listener(stage, tick))
    assert left <= names(tmp_path)
    again = sweep(cfg, tmp_path, resume=True)
    assert again.state == "continue"
    assert of(tmp_path) == of(outcome.folder.path)
    assert names(tmp_path) == names(outcome.folder.path)


def test_interrupted_between_two_saes(cfg, outcome, tmp_path, monkeypatch):
    real, calls = sweep_job.save, []

    def failing(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(sweep_job, "save", failing)
    with pytest.raises(KeyboardInterrupt):
        sweep(cfg, tmp_path)
    monkeypatch.undo()
    assert not RunFolder(tmp_path).names_of_several()
    sweep(cfg, tmp_path)
    assert of(tmp_path) == of(outcome.folder.path)


KILLED_AT = ["ckpt.swap:2", "sae.swap:3", "saes.swap:1"]
KILLER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from pathlib import Path
from saescope.config import from_dict
from saescope.pipeline import SweepConfig, subject, sweep
import transformers, duckdb, scipy.linalg  # before the forks: each of them then starts warm
subject.FORWARD_TOKENS = 128
cfg, folder, *sites = from_dict(SweepConfig, json.loads(sys.argv[2])), *sys.argv[3:]
codes = []
for site in sites:
    pid = os.fork()
    if pid == 0:
        os.environ["SAESCOPE_FAULT"] = site + ":kill"
        sweep(cfg, Path(folder) / site.split(":")[0])
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(codes))
"""


@pytest.mark.slow
def test_killed_and_continued_is_uninterrupted(cfg, outcome, tmp_path):
    words = [str(Path(tiny_run.__file__).parent), json.dumps(to_dict(cfg)), str(tmp_path), *KILLED_AT]
    done = subprocess.run(
        [sys.executable, "-c", KILLER, *words], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [137] * len(KILLED_AT)
    for site in KILLED_AT:
        folder = tmp_path / site.split(":")[0]
        assert sweep(cfg, folder, resume=True).state == "continue"
        assert of(folder) == of(outcome.folder.path)
        assert names(folder) == names(outcome.folder.path)


def test_replace_starts_anew_and_keeps_what_is_the_visitors(model, stories, cfg, outcome, tmp_path):
    sweep(config(model, stories, grid={"sae": ("topk", "gated"), "seeds": (0, 1)}), tmp_path)
    for name in ("topk-s0", "gated-s0"):
        (tmp_path / "saes" / name / "reports").mkdir()
        (tmp_path / "saes" / name / "reports" / "mine.txt").write_text("mine")
    assert sweep(cfg, tmp_path, replace=True).state == "new"
    assert of(tmp_path) == of(outcome.folder.path)
    extra = names(tmp_path) - names(outcome.folder.path)
    assert extra == {f"saes/{name}" for name in ("gated-s0",)} | {
        f"saes/{name}/reports{file}" for name in ("topk-s0", "gated-s0") for file in ("", "/mine.txt")
    }


# --- bad input ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at": "blocks.*.mlp_pst"}, "fits no hook point"),
        ({"at": "blocks.7.mlp_post"}, "blocks.7.mlp_post"),
        ({"grid": {"l0": (64.0,)}}, "at most d_sae"),
        ({"grid": {"sae": ("topk", "transcoder")}}, "--sae transcoder reconstructs another hook point"),
        ({"text": TextConfig(text="nowhere.txt")}, "nowhere.txt"),
    ],
)
def test_mistakes_are_found_before_anything_is_made(model, stories, tmp_path, changes, message):
    with pytest.raises(errors.SaescopeError, match=message):
        sweep(replace(config(model, stories, grid=changes.pop("grid", {})), **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_resume_needs_a_sweep(cfg, tmp_path):
    with pytest.raises(errors.NotAnArtifact, match="nothing to resume"):
        sweep(cfg, tmp_path, resume=True)
