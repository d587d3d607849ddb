"""A whole run that takes about a second: a saved tiny model, a small text, and a config; the same as flags of `saescope run`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import tiny
from saescope.files import read_manifest
from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.training.config import TrainConfig

AT = "blocks.1.mlp_post"
WIDTH = 32
TRAIN = {"tokens": 4096, "batch_tokens": 128, "checkpoint_steps": 10, "log_steps": 8}
REST = {"silent_tokens": 1000, "feature_tokens": 1000, "label_tokens": 0, "cards": 2}
FLAGS = ["--at", AT, "--d-sae", "64", "--k", "4"]
FLAGS += [word for name, value in (TRAIN | REST).items() for word in (f"--{name.replace('_', '-')}", str(value))]
WORDS = ["the", "cat", "and", "the", "dog", "ran", "on", "and", "on", "in", "the", "rain", "then", "a", "bird", "sang", "another", "song"]


def save_model(folder: Path, model: Any = None) -> Path:
    """A tiny llama and its tokenizer as a Hugging Face folder."""
    (model or tiny.tiny_model("llama")).save_pretrained(folder)
    tiny.tiny_tokenizer().save_pretrained(folder)
    return folder


def write_stories(path: Path, n: int = 200) -> Path:
    """n short documents, no two of neighbouring numbers alike."""
    stories = (" ".join(WORDS[(i * j) % len(WORDS)] for j in range(1, 4 + i % 9)) for i in range(1, n + 1))
    path.write_text("\n<|endoftext|>\n".join(stories))
    return path


def config(
    model: Path, stories: Path, *, sae: dict[str, Any] | None = None, train: dict[str, Any] | None = None, **changes: Any
) -> RunConfig:
    """The run that FLAGS describe, changed; sae=, train= and text= are fields of these parts."""
    return RunConfig(
        model=ModelConfig(model=str(model), device="cpu"),
        text=TextConfig(text=str(stories), **changes.pop("text", {})),
        at=changes.pop("at", AT),
        sae=SAEConfig(**({"d_sae": 64, "k": 4} if sae is None else sae)),
        train=TrainConfig(**TRAIN | (train or {})),
        **REST | changes,
    )


def content(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file below a folder by its path: time of its last change, and digest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


def outcome_of(folder: Path) -> dict[str, Any]:
    """What a run amounts to, without when and where it was made: equal for two runs of one config, interrupted or not."""
    result = json.loads((folder / "result.json").read_text())
    result.pop("environment")
    return {
        "sae": read_manifest(folder / "sae", "saescope.sae", 1).digest(),
        "result": result,
        "features": read_manifest(folder / "features", "saescope.features", 1).digest(),
        "page": hashlib.sha256((folder / "index.html").read_bytes()).hexdigest(),
        "metrics": (folder / "metrics.jsonl").read_text(),
    }
