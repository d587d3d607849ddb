"""Trackers: off by default, told each step once however often a run stops, never a reason to stop one, and never told a secret."""

import dataclasses
import importlib.machinery
import json
import math
import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest

import tiny_run
from saescope import errors
from saescope.config import to_dict
from saescope.pipeline import main_job, run, trackers
from saescope.pipeline.metrics import Metrics, read_records
from saescope.pipeline.trackers import Trackers, numbers, outward, redacted, require_trackers, tracker_names

PLANTED = "planted-0123456789-abcdef"


class Fake:
    """A service in memory: what it was opened with, and the steps it has, across processes."""

    rewinds = False
    opened: ClassVar[list] = []
    steps: ClassVar[list] = []
    fail_at: ClassVar[int | None] = None

    def __init__(self, folder, run_id, config):
        type(self).opened.append((run_id, config))

    def begin(self, first_step, *, resumed):
        if self.rewinds and resumed:
            type(self).steps = [step for step in type(self).steps if step < first_step]

    def show(self, step, common, saes):
        if step == type(self).fail_at:
            raise RuntimeError(f"quota of {PLANTED} exceeded")
        assert set(common) == {"tokens", "skipped_steps"}
        assert set(saes["sae"]) == {"fvu"}
        type(self).steps.append(step)

    def close(self, *, failed):
        type(self).opened.append(("closed", failed))


@pytest.fixture
def services(monkeypatch):
    """wandb (cannot rewind) and tensorboard (can), replaced by fakes that are always installed."""
    made = {}
    for name, rewinds in (("wandb", False), ("tensorboard", True)):
        made[name] = type(name, (Fake,), {"rewinds": rewinds, "opened": [], "steps": []})
        monkeypatch.setitem(trackers.OPENERS, name, made[name])
    monkeypatch.setattr(trackers, "_installed", lambda name: True)
    return SimpleNamespace(**made)


def process(folder, log, steps, *, say=lambda sentence: None):
    """One process of a run that records these steps."""
    with Metrics(folder / "metrics.jsonl", Trackers(log, folder, {}, say)) as metrics:
        for step in steps:
            facts = {"fvu": 0.5, "l0": math.nan, "dead": math.inf}
            metrics({"step": step, "tokens": 100 * step, "skipped_steps": 0, "saes": {"sae": facts}})


# --- names and extras ---


def test_a_list_of_names():
    assert tracker_names("") == ()
    assert tracker_names("wandb, tensorboard,wandb") == ("wandb", "tensorboard")
    with pytest.raises(errors.ConfigError, match=r"--log wandbb.*Did you mean 'wandb'.*metrics\.jsonl is always written"):
        tracker_names("wandbb")


def test_a_missing_extra_is_one_sentence_before_anything_is_computed(model, stories, tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    monkeypatch.setattr(main_job, "open_subject", lambda cfg: pytest.fail("the model was opened"))
    with pytest.raises(errors.MissingExtra, match=r"^--log trackio needs trackio.*pip install 'saescope\[trackio\]'$"):
        run(tiny_run.config(model, stories, log="trackio"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_wandb_left_is_not_wandb(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    sys.modules.pop("wandb", None)
    with pytest.raises(errors.MissingExtra):
        require_trackers("wandb")


def test_a_module_that_is_there_is_enough(monkeypatch):
    module = ModuleType("trackio")
    module.__spec__ = importlib.machinery.ModuleSpec("trackio", None, origin="somewhere.py")
    monkeypatch.setitem(sys.modules, "trackio", module)
    require_trackers("trackio")


# --- every step once ---


def test_nothing_is_opened_or_written_unless_asked_for(services, tmp_path):
    process(tmp_path, "", [10, 20])
    assert services.wandb.opened == services.tensorboard.opened == []
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_what_a_resumed_run_repeats_is_there_once(services, tmp_path, name):
    service = getattr(services, name)
    process(tmp_path, name, [10, 20, 30, 40])
    process(tmp_path, name, [30, 40, 50])
    process(tmp_path, name, [20, 30, 40, 50, 60])
    assert service.steps == [10, 20, 30, 40, 50, 60]
    ids = {entry[0] for entry in service.opened if entry[0] != "closed"}
    assert len(ids) == 1


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_a_tracker_that_joins_late_or_was_away_is_shown_what_it_missed(services, tmp_path, name):
    service = getattr(services, name)
    process(tmp_path, "", [10, 20, 30])
    process(tmp_path, name, [30, 40])
    assert service.steps == [10, 20, 30, 40]
    process(tmp_path, "", [40, 50, 60])
    process(tmp_path, name, [60, 70])
    assert service.steps == [10, 20, 30, 40, 50, 60, 70]


def test_a_process_that_was_killed_before_its_first_record_keeps_the_id(services, tmp_path):
    process(tmp_path, "wandb", [])
    process(tmp_path, "wandb", [10])
    assert services.wandb.opened[0][0] == services.wandb.opened[2][0]
    assert services.wandb.steps == [10]


def test_another_folder_is_another_run(services, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        process(tmp_path / name, "wandb", [10])
    assert services.wandb.opened[0][0] != services.wandb.opened[2][0]


# --- failures ---


def test_a_service_that_fails_is_dropped_with_a_word_and_training_goes_on(services, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", PLANTED)
    services.wandb.fail_at = 20
    said = []
    process(tmp_path, "wandb,tensorboard", [10, 20, 30], say=said.append)
    assert services.wandb.steps == [10]
    assert services.tensorboard.steps == [10, 20, 30]
    assert [entry["step"] for entry in read_records(tmp_path / "metrics.jsonl")] == [10, 20, 30]
    assert said == ["wandb no longer follows this run (RuntimeError: quota of *** exceeded). metrics.jsonl is complete."]


def test_a_service_that_does_not_start_is_an_error_that_closes_the_others(services, tmp_path, monkeypatch):
    def refuse(folder, run_id, config):
        raise OSError(f"no login with {PLANTED}\n  at all")

    monkeypatch.setenv("SOME_TOKEN", PLANTED)
    monkeypatch.setitem(trackers.OPENERS, "wandb", refuse)
    with pytest.raises(errors.ConfigError, match=r"^--log wandb: wandb did not start \(OSError: no login with \*\*\* at all\)") as failed:
        process(tmp_path, "tensorboard,wandb", [10])
    assert failed.value.__suppress_context__
    assert services.tensorboard.opened[-1] == ("closed", True)


def test_an_interruption_is_told(services, tmp_path):
    with pytest.raises(KeyboardInterrupt), Trackers("wandb", tmp_path, {}, print):
        raise KeyboardInterrupt
    assert services.wandb.opened[-1] == ("closed", True)


# --- what they see ---


def test_numbers_of_a_record():
    facts = {"step": 3, "tokens": 5, "fvu": None, "l0": math.inf, "ok": True, "name": "x", "fvus": [0.5, None, 0.25], "scales": {"a": 2}}
    assert numbers(facts) == {"tokens": 5.0, "fvus/0": 0.5, "fvus/2": 0.25, "scales/a": 2.0}
    assert numbers({"saes": {"a": {"fvu": 1.0}}, "skipped_steps": 0}) == {"skipped_steps": 0.0}


def test_services_see_no_paths_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "stories.txt").write_text("x")
    config = {"model": {"model": str(tmp_path / "gpt"), "revision": None}, "text": "texts/stories.txt", "hub": "org/name", "k": 16, "e": ""}
    seen = outward(config)
    assert seen.pop("saescope")
    assert seen == {"model": {"model": "gpt", "revision": None}, "text": "stories.txt", "hub": "org/name", "k": 16, "e": ""}


def test_only_what_is_named_like_a_secret_is_redacted(monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", "correct-horse")
    monkeypatch.setenv("EMPTY_TOKEN", "")
    monkeypatch.setenv("HARMLESS", "battery")
    assert redacted("correct-horse battery") == "*** battery"


def test_no_output_of_a_run_holds_a_key_of_the_environment(services, model, stories, tmp_path, monkeypatch, capfd):
    for name in ("WANDB_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "TRACKIO_WRITE_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, PLANTED)
    services.wandb.fail_at = 16
    monkeypatch.setattr(Fake, "show", _fail_with_the_key)
    cfg = tiny_run.config(model, stories, log="wandb,tensorboard", train={"tokens": 2048})
    sentences = []
    run(cfg, tmp_path / "run", reporter=_Listener(sentences))
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {"config.json", "metrics.jsonl", "trackers.json", "index.html"} <= {path.name for path in files}
    assert [path for path in files if PLANTED.encode() in path.read_bytes()] == []
    printed = capfd.readouterr()
    told = [printed.out, printed.err, *sentences, json.dumps(services.wandb.opened), json.dumps(services.tensorboard.opened)]
    assert len(sentences) == 2
    assert "***" in sentences[0]
    assert PLANTED not in "".join(told)
    assert str(tmp_path) not in json.dumps(services.wandb.opened)


def test_who_follows_may_change_when_a_run_is_continued(services, model, stories, tmp_path):
    cfg = tiny_run.config(model, stories, train={"tokens": 2048})
    run(cfg, tmp_path, until="sae")
    again = run(dataclasses.replace(cfg, log="wandb"), tmp_path, until="sae")
    assert again.state == "done"
    assert "log" in to_dict(cfg)
    assert services.wandb.opened == []


def _fail_with_the_key(self, step, common, saes):
    raise RuntimeError(f"the service said {PLANTED}")


class _Listener:
    def __init__(self, said):
        self.said = said

    def stage(self, title, total, done=0):
        from saescope.pipeline.reporter import Silent

        return Silent().stage(title, total, done)

    def say(self, sentence):
        self.said.append(sentence)
