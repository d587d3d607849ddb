"""The whole job on a tiny model: what it leaves, and that leaving it at any point and coming back changes nothing."""

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny_run
from saescope import disk, errors
from saescope.activations import cache
from saescope.activations.stream import StreamSource
from saescope.features import spool
from saescope.features.store import FeatureStore
from saescope.files import read_manifest
from saescope.pipeline import main_job, run, stages, subject
from saescope.run_folder import RunFolder
from saescope.saes.storage import load, read_provenance

pytestmark = pytest.mark.usefixtures("small_batches")

STAGES = ["harvesting", "training", "evaluating", "describing features"]


class Listener:
    """A reporter that notes the stages (the parts of the evaluation as one), and fails in the n-th tick of one."""

    def __init__(self, fail_in: str | None = None, tick: int = 1):
        self.fail_in, self.at_tick, self.said = fail_in, tick, []
        self.ticks: Counter[str] = Counter()

    @property
    def stages(self) -> list[str]:
        return list(self.ticks)

    @contextmanager
    def stage(self, title, total, done=0):
        stage = title.partition(":")[0]
        self.ticks[stage] += 0

        def tick(done, **facts):
            self.ticks[stage] += 1
            if (stage, self.ticks[stage]) == (self.fail_in, self.at_tick):
                raise KeyboardInterrupt

        yield tick

    def say(self, sentence):
        self.said.append(sentence)


@pytest.fixture(scope="module")
def cfg(model, stories):
    return tiny_run.config(model, stories)


@pytest.fixture(scope="module")
def finished(cfg, small_batches, tmp_path_factory):
    """The outcome of an uninterrupted run. Shared: tests must not change its folder."""
    return run(cfg, tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture
def small_pieces(monkeypatch):
    """Several shards and several parts, so that there is something in between to stop at."""
    monkeypatch.setattr(cache, "SHARD_BYTES", 2**15)
    monkeypatch.setattr(spool, "PART_TOKENS", 300)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def sae_bits(folder: Path) -> str:
    return read_manifest(folder / "sae", "saescope.sae", 1).file("weights")


# --- what it leaves ---


def test_a_run_leaves_the_whole_folder_and_nothing_else(finished):
    folder = finished.folder.path
    assert finished.state == "new"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "metrics.jsonl", "index.html", "sae", "result.json", "eval", "features"
    }  # fmt: skip
    assert not [name for name in names(folder) if "tmp-" in name or "parts" in name]
    config = json.loads((folder / "config.json").read_text())
    assert config["schema"] == "saescope.run/1"
    assert (config["text"]["context"], config["text"]["packing"]) == (32, "documents")
    assert config["train"]["lr"] > 0
    assert config["train"]["dead_tokens"] == 204
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == [8, 16, 24, 32]


def test_its_artifacts_belong_together(finished):
    folder, sae = finished.folder.path, finished.sae
    assert torch.equal(load(folder / "sae").W_dec, sae.W_dec)
    assert finished.result.provenance["sae_sha256"] == finished.features.provenance["sae_sha256"]
    provenance = read_provenance(folder / "sae")
    assert provenance["model"] == "tiny-llama"
    assert provenance["hook_points"] == [tiny_run.AT]
    assert provenance["corpus"] == "stories.txt"
    assert (provenance["n_tokens"], provenance["context_length"], provenance["seed"]) == (4096, 32, 0)
    assert provenance["training"]["steps"] == 32
    assert str(folder) not in json.dumps([provenance, finished.result.to_json()])
    assert 1000 <= finished.features.n_tokens < 2000
    assert finished.result.value("sae", "sparsity.l0") == pytest.approx(4, rel=0.25)
    page = (folder / "index.html").read_text()
    assert all(word in page for word in ("tiny-llama", tiny_run.AT, "neurons_topk", finished.result.provenance["sae_sha256"]))


def test_a_second_call_is_done_and_writes_nothing(cfg, finished):
    before = tiny_run.content(finished.folder.path)
    listener = Listener()
    again = run(cfg, finished.folder.path, reporter=listener)
    assert again.state == "done"
    assert listener.stages == []
    assert tiny_run.content(finished.folder.path) == before
    assert again.result.to_json() == finished.result.to_json()
    assert torch.equal(again.sae.W_enc, finished.sae.W_enc)
    assert again.features.table(["n_active"]) == finished.features.table(["n_active"])


def test_done_needs_neither_the_model_nor_the_text(cfg, finished, monkeypatch):
    monkeypatch.setattr(main_job, "open_subject", lambda cfg: pytest.fail("opened"))
    assert run(cfg, finished.folder.path).state == "done"


def test_done_under_another_name_of_the_hook_point(model, stories, finished):
    alias = tiny_run.config(model, stories, at="blocks.1.mlp.hook_post")
    assert run(alias, finished.folder.path, resume=True).state == "done"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sae": {"d_sae": 32, "k": 4}}, r"sae\.d_sae: 64 -> 32"),
        ({"sae": {"expansion": 4, "k": 4}}, r"sae\.d_sae: 64 -> 128; sae\.expansion: null -> 4"),
        ({"sae": {"d_sae": 64, "sae": "relu"}}, r'sae\.sae: "batch_topk" -> "relu"; sae\.k: 4 -> null; sae\.l1: null -> 5'),
        ({"train": {"seed": 1}}, r"train\.seed: 0 -> 1"),
        ({"train": {"tokens": 2048}}, r"train\.tokens: 4096 -> 2048"),
        ({"text": {"context": 16}}, r"text\.context: 32 -> 16"),
        ({"at": "blocks.0.mlp_post"}, r'at: "blocks.1.mlp_post" -> "blocks.0.mlp_post"'),
        ({"cards": 3}, r"cards: 2 -> 3"),
    ],
)
def test_another_config_is_refused_by_the_fields(model, stories, finished, changes, field):
    before = tiny_run.content(finished.folder.path)
    with pytest.raises(errors.ProvenanceMismatch, match=rf"{field}.*--replace.*--out"):
        run(tiny_run.config(model, stories, **changes), finished.folder.path)
    assert tiny_run.content(finished.folder.path) == before


def test_replace_starts_anew(model, stories, cfg, finished, tmp_path):
    run(tiny_run.config(model, stories, sae={"d_sae": 8, "k": 2}), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    replaced = run(cfg, tmp_path, replace=True)
    assert replaced.state == "new"
    assert tiny_run.outcome_of(tmp_path) == tiny_run.outcome_of(finished.folder.path)
    assert names(tmp_path) - names(finished.folder.path) == {"notes.txt"}


def test_a_mistake_found_before_the_start_replaces_nothing(model, stories, finished):
    before = tiny_run.content(finished.folder.path)
    for changes in ({"at": "blocks.7.mlp_post"}, {"sae": {"d_sae": 3, "k": 4}}, {"text": {"context": 33}}):
        with pytest.raises(errors.SaescopeError):
            run(tiny_run.config(model, stories, **changes), finished.folder.path, replace=True)
    assert tiny_run.content(finished.folder.path) == before


@pytest.mark.parametrize("sae", [{"sae": "topk", "k": 4}, {"sae": "relu", "l1": 0.3}], ids=["topk", "relu"])
def test_the_other_architectures(model, stories, tmp_path, sae):
    outcome = run(tiny_run.config(model, stories, sae={"d_sae": 64, **sae}), tmp_path)
    assert outcome.sae.architecture == sae["sae"]
    assert outcome.result.value("sae", "reconstruction.fvu") < outcome.result.value("untrained", "reconstruction.fvu")
    assert len(FeatureStore.open(tmp_path / "features")) == 64
    assert f"{'k = 4' if 'k' in sae else 'l1 = 0.3'}" in (tmp_path / "index.html").read_text()


# --- where activations come from ---


def test_stream_and_cache_give_the_same_sae(model, stories, finished, tmp_path, small_pieces):
    bits = {}
    for name, kept in (("never", "never"), ("kept", str(tmp_path / "acts"))):
        listener = Listener()
        run(tiny_run.config(model, stories, cache=kept), tmp_path / name, until="sae", reporter=listener)
        assert listener.stages == (["training"] if name == "never" else ["harvesting", "training"])
        bits[name] = sae_bits(tmp_path / name)
    assert set(bits.values()) == {sae_bits(finished.folder.path)}
    assert len(list((tmp_path / "acts" / "shards").iterdir())) > 3


def test_a_kept_cache_is_used_again(model, stories, tmp_path, small_pieces):
    acts = tmp_path / "acts"
    run(tiny_run.config(model, stories, cache=str(acts)), tmp_path / "a", until="sae")
    shards = tiny_run.content(acts / "shards")
    run(tiny_run.config(model, stories, cache=str(acts), sae={"d_sae": 16, "k": 2}), tmp_path / "b", until="sae")
    assert tiny_run.content(acts / "shards") == shards
    with pytest.raises(errors.ProvenanceMismatch, match=r"another model, text, hook point or seed.*--cache"):
        run(tiny_run.config(model, stories, cache=str(acts), train={"seed": 1}), tmp_path / "c", until="sae")
    assert tiny_run.content(acts / "shards") == shards


def test_text_that_is_read_once_is_not_cached(model, stories, tmp_path):
    once = tiny_run.config(model, stories, train={"tokens": 2048})
    opened = subject.open_subject(once)
    stream = StreamSource(opened.lm, opened.at, opened.corpus, opened.pack)
    assert stages.activations(RunFolder(tmp_path), stream, once, Listener()) is stream
    assert stages.activations(RunFolder(tmp_path), stream, replace(once, cache="never"), Listener()) is stream
    twice = replace(once, train=replace(once.train, tokens=4096))
    assert stages.activations(RunFolder(tmp_path), stream, twice, Listener()).folder == tmp_path / "cache"


# --- leaving and coming back ---


def test_until_sae_then_the_rest(cfg, finished, tmp_path):
    first = run(cfg, tmp_path, until="sae")
    assert (first.state, first.result, first.features) == ("new", None, None)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "metrics.jsonl", "sae"}
    assert run(cfg, tmp_path, until="sae").state == "done"
    listener = Listener()
    rest = run(cfg, tmp_path, reporter=listener)
    assert rest.state == "continue"
    assert listener.stages == STAGES[2:]
    assert tiny_run.outcome_of(tmp_path) == tiny_run.outcome_of(finished.folder.path)


def test_an_evaluation_of_other_options_is_not_taken_for_the_runs_own(cfg, finished, tmp_path):
    first = run(cfg, tmp_path, until="sae")
    stages.eval_stage(first.folder, first.sae, subject.open_subject(cfg), replace(cfg, silent_tokens=100), Listener())
    own = run(cfg, tmp_path).result
    assert own.provenance["config"]["dead_tokens"] == 1000
    assert own.to_json()["rows"] == finished.result.to_json()["rows"]


@pytest.mark.parametrize(
    ("stage", "tick", "left"),
    [
        ("harvesting", 3, {"cache/items/000001.json"}),
        ("training", 3, {"cache/manifest.json"}),
        ("training", 17, {"checkpoints/step-000000010/manifest.json"}),
        ("training", 32, {"checkpoints/step-000000030/manifest.json"}),
        ("evaluating", 2, {"sae/manifest.json"}),
        ("describing features", 9, {"result.json", "features/parts/manifest.json"}),
    ],
)
def test_interrupted_and_continued_is_uninterrupted(cfg, finished, tmp_path, small_pieces, stage, tick, left):
    with pytest.raises(KeyboardInterrupt):
        run(cfg, tmp_path, reporter=Listener(stage, tick))
    assert left <= names(tmp_path)
    assert "run.lock" not in names(tmp_path)
    listener = Listener()
    outcome = run(cfg, tmp_path, resume=True, reporter=listener)
    assert outcome.state == "continue"
    done = {"evaluating": 2, "describing features": 3}.get(stage, 0)
    assert listener.stages == STAGES[done:]
    assert tiny_run.outcome_of(tmp_path) == tiny_run.outcome_of(finished.folder.path)
    assert names(tmp_path) == names(finished.folder.path)


def test_how_often_to_log_and_save_may_change_on_the_way(model, stories, cfg, finished, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(cfg, tmp_path, reporter=Listener("training", 17))
    other = tiny_run.config(model, stories, train={"log_steps": 2, "checkpoint_steps": 3})
    assert run(other, tmp_path, until="sae", resume=True).state == "continue"
    assert sae_bits(tmp_path) == sae_bits(finished.folder.path)
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [8, *range(12, 33, 2)]
    assert run(other, finished.folder.path).state == "done"


def test_interrupted_before_the_page(cfg, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(main_job, "write_run_page", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(cfg, tmp_path)
    monkeypatch.undo()
    assert {"result.json", "features/manifest.json"} <= names(tmp_path)
    run(cfg, tmp_path)
    assert tiny_run.outcome_of(tmp_path) == tiny_run.outcome_of(finished.folder.path)


KILLED_AT = ["shard.rename:2", "item.manifest:3", "ckpt.swap:3", "sae.swap:1", "eval.swap:1", "bundle.swap:1"]
KILLER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
import tiny_run
from pathlib import Path
from saescope.activations import cache
from saescope.features import spool
from saescope.pipeline import run, subject
import transformers, duckdb, scipy.linalg  # before the forks: each of them then starts warm
cache.SHARD_BYTES, spool.PART_TOKENS, subject.FORWARD_TOKENS = 2**15, 300, 128
model, stories, folder, *sites = sys.argv[2:]
codes = []
for site in sites:
    pid = os.fork()
    if pid == 0:
        os.environ["SAESCOPE_FAULT"] = site + ":kill"
        run(tiny_run.config(Path(model), Path(stories)), Path(folder) / site.split(":")[0])
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def killed(model, stories, tmp_path_factory):
    """A folder of runs, each killed where it was about to write, rename or commit something; a fork each."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", KILLER, str(Path(tiny_run.__file__).parent), str(model), str(stories), str(folder), *KILLED_AT]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [137] * len(KILLED_AT)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:skipped an unusable checkpoint")
@pytest.mark.parametrize("site", KILLED_AT)
def test_killed_and_continued_is_uninterrupted(cfg, finished, killed, small_pieces, site):
    folder = killed / site.split(":")[0]
    assert (folder / "run.lock").exists()
    assert not RunFolder(folder).is_finished()
    assert run(cfg, folder, resume=True).state == "continue"
    assert tiny_run.outcome_of(folder) == tiny_run.outcome_of(finished.folder.path)
    assert names(folder) == names(finished.folder.path)


def test_a_corrupt_checkpoint_is_skipped(cfg, finished, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(cfg, tmp_path, reporter=Listener("training", 25))
    newest = next((tmp_path / "checkpoints" / "step-000000020").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="skipped an unusable checkpoint"):
        run(cfg, tmp_path)
    assert tiny_run.outcome_of(tmp_path) == tiny_run.outcome_of(finished.folder.path)


def test_nobody_else_may_work_in_the_folder(cfg, tmp_path):
    class Meddler(Listener):
        @contextmanager
        def stage(self, title, total, done=0):
            with pytest.raises(errors.RunLocked, match=f"process {os.getpid()}"):
                run(cfg, tmp_path)
            with super().stage(title, total, done) as tick:
                yield tick

    run(cfg, tmp_path, until="sae", reporter=Meddler())


def test_resume_needs_a_run(cfg, tmp_path):
    with pytest.raises(errors.NotAnArtifact, match="nothing to resume"):
        run(cfg, tmp_path, resume=True)
    assert not names(tmp_path)


def test_a_disk_that_is_full_loses_nothing(cfg, finished, tmp_path, small_pieces, monkeypatch):
    monkeypatch.setattr(disk, "_fault_hits", {})
    monkeypatch.setenv("SAESCOPE_FAULT", "shard.write:3:enospc")
    with pytest.raises(errors.DiskFull, match="--out"):
        run(cfg, tmp_path)
    monkeypatch.delenv("SAESCOPE_FAULT")
    assert {"cache/items/000000.json", "cache/items/000001.json"} <= names(tmp_path)
    assert not [name for name in names(tmp_path) if "tmp-" in name or name == "run.lock"]
    run(cfg, tmp_path)
    assert tiny_run.outcome_of(tmp_path) == tiny_run.outcome_of(finished.folder.path)


# --- small texts: what is missing is said before anything is trained ---


@pytest.mark.parametrize("packing", ["documents", "stream"])
def test_a_text_without_report_documents_is_refused_at_once(model, tmp_path, packing):
    few = tiny_run.write_stories(tmp_path / "few.txt", 1)
    with pytest.raises(errors.NoTokens, match=r"few\.txt.*(holdout|too few)"):
        run(tiny_run.config(model, few, text={"packing": packing}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_text_without_selection_documents_takes_training_documents(model, tmp_path):
    few, held_out = tiny_run.write_stories(tmp_path / "few.txt", 4), tmp_path / "held-out.txt"
    held_out.write_text("a bird and a cat in another rain")
    outcome = run(tiny_run.config(model, few, text={"holdout": str(held_out)}), tmp_path / "out")
    assert outcome.result.warnings[0].startswith("the text has no selection documents")
    assert outcome.result.value("sae", "sparsity.l0") > 0


def test_training_alone_needs_no_report_documents(model, tmp_path):
    few = tiny_run.write_stories(tmp_path / "few.txt", 1)
    assert run(tiny_run.config(model, few), tmp_path / "out", until="sae").result is None
