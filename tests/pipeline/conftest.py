"""A saved tiny model and a text."""

import pytest

import tiny_run


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_run.save_model(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def stories(tmp_path_factory):
    return tiny_run.write_stories(tmp_path_factory.mktemp("text") / "stories.txt")
