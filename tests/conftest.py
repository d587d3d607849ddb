"""What every test shares: checked shapes, offline hubs, one thread, real data where there is some."""

import os
from pathlib import Path

# Before saescope is imported: shapes of public signatures are checked while the tests run, and no test waits for a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# One thread: the tests' matrices are tiny, and the last bits of a product depend on the number of threads, which forked processes
# cannot have more of than one. So results of the tests' own process and of those it starts can be compared bit for bit.
os.environ["OMP_NUM_THREADS"] = "1"
if not Path("/dev/nvidia0").exists():
    os.environ["TRITON_INTERPRET"] = "1"  # the Triton kernels, step by step on the CPU

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("saescope", "shape_checker.check")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real models and texts: $SAESCOPE_REAL, or shared/real beside the repository. Skips where it is absent."""
    path = Path(os.environ.get("SAESCOPE_REAL", ROOT.parent / "shared" / "real"))
    if not (path / "models").is_dir():
        pytest.skip(f"no real models in {path} (set SAESCOPE_REAL)")
    return path


@pytest.fixture(scope="session")
def tiny_lm():
    """A LanguageModel around a tiny random llama: 2 layers, d_model 16, MLP 32, context 32. Shared: tests must not change it."""
    import tiny

    return tiny.tiny_lm()


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """The folder of a tiny saved model."""
    import tiny_run

    return tiny_run.save_model(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def stories(tmp_path_factory) -> Path:
    """A file of tiny stories."""
    import tiny_run

    return tiny_run.write_stories(tmp_path_factory.mktemp("text") / "stories.txt")
