"""What every test shares: checked shapes, offline hubs, two threads, real data where there is some."""

import os
from pathlib import Path

# Before saescope is imported: shapes of public signatures are checked while the tests run, and no test waits for a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("saescope", "shape_checker.check")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _few_threads():
    """Two threads at most: more of them only fight over a small machine, and the last bits of sums depend on their number."""
    torch.set_num_threads(min(2, os.cpu_count() or 1, int(os.environ.get("OMP_NUM_THREADS", "2"))))


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
