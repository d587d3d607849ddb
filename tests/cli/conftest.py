"""One finished run made by the command line, and the command line itself."""

import json

import pytest

import tiny_run
from saescope import cli


@pytest.fixture(scope="session")
def flags(model, stories):
    """`saescope run *flags --out DIR` is the tiny run."""
    return [str(model), "--text", str(stories), "--device", "cpu", *tiny_run.FLAGS]


@pytest.fixture(scope="session")
def run_folder(flags, tmp_path_factory):
    """A finished run. Shared: tests must not change it."""
    folder = tmp_path_factory.mktemp("runs") / "demo"
    assert cli.main(["run", *flags, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def saescope(capsys):
    """The standard output of one call, as text, or as JSON where it was asked for."""

    def call(*words):
        capsys.readouterr()
        code = cli.main([str(word) for word in words])
        said = capsys.readouterr()
        assert code == 0, said.err
        return json.loads(said.out) if "--json" in words else said.out

    return call
