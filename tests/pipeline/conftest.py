"""A saved tiny model, a text, and one finished run of them."""

import pytest

import tiny_run
from saescope.pipeline import run


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_run.save_model(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def stories(tmp_path_factory):
    return tiny_run.write_stories(tmp_path_factory.mktemp("text") / "stories.txt")


@pytest.fixture(scope="session")
def cfg(model, stories):
    return tiny_run.config(model, stories)


@pytest.fixture(scope="session")
def finished(cfg, tmp_path_factory):
    """The outcome of an uninterrupted run. Shared: tests must not change its folder."""
    return run(cfg, tmp_path_factory.mktemp("runs") / "demo")
