"""saescope: a microscope for language models.

It reads a transformer's activations, trains sparse autoencoders on them, says how good they are, shows what each feature means,
and changes the model through them. The names below are the public ones; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from saescope._version import __version__

_PUBLIC = {
    "LanguageModel": ("saescope.models.language_model", "LanguageModel"),
    "HookPoint": ("saescope.models.hook_point", "HookPoint"),
    "Corpus": ("saescope.data.corpus", "Corpus"),
    "TensorSource": ("saescope.activations.source", "TensorSource"),
    "StreamSource": ("saescope.activations.stream", "StreamSource"),
    "CachedSource": ("saescope.activations.cache", "CachedSource"),
    "SAE": ("saescope.saes.base", "SAE"),
    "TopKSAE": ("saescope.saes.topk", "TopKSAE"),
    "TopKConfig": ("saescope.saes.topk", "TopKConfig"),
    "BatchTopKSAE": ("saescope.saes.batch_topk", "BatchTopKSAE"),
    "BatchTopKConfig": ("saescope.saes.batch_topk", "BatchTopKConfig"),
    "ReLUSAE": ("saescope.saes.relu", "ReLUSAE"),
    "ReLUConfig": ("saescope.saes.relu", "ReLUConfig"),
    "save_sae": ("saescope.saes.storage", "save"),
    "load_sae": ("saescope.saes.storage", "load"),
    "train": ("saescope.training.loop", "train"),
    "Job": ("saescope.training.loop", "Job"),
    "TrainConfig": ("saescope.training.config", "TrainConfig"),
    "evaluate": ("saescope.evals.evaluate", "evaluate"),
    "EvalConfig": ("saescope.evals.evaluate", "EvalConfig"),
    "EvalResult": ("saescope.evals.result", "EvalResult"),
    "concepts": ("saescope.evals.concepts", "concepts"),
    "ConceptConfig": ("saescope.evals.concepts", "ConceptConfig"),
    "before_after": ("saescope.evals.before_after", "before_after"),
    "BeforeAfterConfig": ("saescope.evals.before_after", "BeforeAfterConfig"),
    "build_features": ("saescope.features.build", "build_features"),
    "FeatureConfig": ("saescope.features.build", "FeatureConfig"),
    "FeatureStore": ("saescope.features.store", "FeatureStore"),
    "Replace": ("saescope.interventions.edits", "Replace"),
    "Ablate": ("saescope.interventions.edits", "Ablate"),
    "logit_effects": ("saescope.interventions.effects", "logit_effects"),
    "RunConfig": ("saescope.pipeline", "RunConfig"),
    "run": ("saescope.pipeline", "run"),
    "SaescopeError": ("saescope.errors", "SaescopeError"),
}

__all__ = [
    "SAE",
    "Ablate",
    "BatchTopKConfig",
    "BatchTopKSAE",
    "BeforeAfterConfig",
    "CachedSource",
    "ConceptConfig",
    "Corpus",
    "EvalConfig",
    "EvalResult",
    "FeatureConfig",
    "FeatureStore",
    "HookPoint",
    "Job",
    "LanguageModel",
    "ReLUConfig",
    "ReLUSAE",
    "Replace",
    "RunConfig",
    "SaescopeError",
    "StreamSource",
    "TensorSource",
    "TopKConfig",
    "TopKSAE",
    "TrainConfig",
    "__version__",
    "before_after",
    "build_features",
    "concepts",
    "evaluate",
    "load_sae",
    "logit_effects",
    "run",
    "save_sae",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'saescope' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


if TYPE_CHECKING:  # the same names once more, for editors and type checkers, which do not run __getattr__
    from saescope.activations.cache import CachedSource
    from saescope.activations.source import TensorSource
    from saescope.activations.stream import StreamSource
    from saescope.data.corpus import Corpus
    from saescope.errors import SaescopeError
    from saescope.evals.before_after import BeforeAfterConfig, before_after
    from saescope.evals.concepts import ConceptConfig, concepts
    from saescope.evals.evaluate import EvalConfig, evaluate
    from saescope.evals.result import EvalResult
    from saescope.features.build import FeatureConfig, build_features
    from saescope.features.store import FeatureStore
    from saescope.interventions.edits import Ablate, Replace
    from saescope.interventions.effects import logit_effects
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel
    from saescope.pipeline import RunConfig, run
    from saescope.saes.base import SAE
    from saescope.saes.batch_topk import BatchTopKConfig, BatchTopKSAE
    from saescope.saes.relu import ReLUConfig, ReLUSAE
    from saescope.saes.storage import load as load_sae
    from saescope.saes.storage import save as save_sae
    from saescope.saes.topk import TopKConfig, TopKSAE
    from saescope.training.config import TrainConfig
    from saescope.training.loop import Job, train
