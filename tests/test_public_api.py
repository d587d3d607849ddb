"""The public names are a contract: adding one is a decision, losing one breaks somebody."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import saescope

PUBLIC = {
    *("LanguageModel", "HookPoint", "Corpus", "TensorSource", "StreamSource", "CachedSource"),
    *("SAE", "TopKSAE", "TopKConfig", "BatchTopKSAE", "BatchTopKConfig", "ReLUSAE", "ReLUConfig", "save_sae", "load_sae"),
    *("GatedSAE", "GatedConfig", "JumpReLUSAE", "JumpReLUConfig", "MatryoshkaSAE", "MatryoshkaConfig", "Autoencoder", "AutoencoderConfig"),
    *("EndToEnd", "LastTokens", "ObjectiveConfig", "fit_scale", "fine_tune", "FineTuneConfig"),
    *("train", "Job", "TrainConfig", "evaluate", "EvalConfig", "EvalResult"),
    *("SyntheticTruth", "SyntheticConfig", "recovery"),
    *("concepts", "ConceptConfig", "before_after", "BeforeAfterConfig"),
    *("build_features", "FeatureConfig", "FeatureStore", "Replace", "Ablate", "logit_effects"),
    *("RunConfig", "run", "SweepConfig", "GridConfig", "sweep", "SaescopeError", "__version__"),
    *("Transcoder", "Crosscoder", "build_sae", "Route", "Patch"),
}
HEAVY = ("torch", "numpy", "transformers", "datasets", "duckdb", "scipy", "sklearn", "tyro", "rich", "fastapi", "jinja2")


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running some code."""
    program = f"{code}\nimport sys\nprint('\\n' + ' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return set(out.splitlines()[-1].split())


def test_all_is_the_contract():
    assert set(saescope.__all__) == PUBLIC
    assert len(saescope.__all__) == len(PUBLIC)
    assert set(dir(saescope)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_is_importable(name):
    value = getattr(saescope, name)
    if name != "__version__":
        module, attribute = saescope._PUBLIC[name]
        assert value is getattr(importlib.import_module(module), attribute)
        assert value.__module__.startswith("saescope.")
        assert (value.__doc__ or "").strip(), f"{name} has no docstring"


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(saescope.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname or alias.name: (node.module, alias.name) for node in imports for alias in node.names}
    assert seen == saescope._PUBLIC


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="'saescope' has no attribute 'Trainer'"):
        _ = saescope.Trainer


def test_import_is_light():
    assert loaded_after("import saescope").isdisjoint(HEAVY)


def test_help_and_version_are_light():
    assert loaded_after("from saescope.cli import main; assert main(['--help']) == 0; assert main(['--version']) == 0").isdisjoint(HEAVY)
