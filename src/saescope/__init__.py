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
    "Route": ("saescope.models.route", "Route"),
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
    "GatedSAE": ("saescope.saes.gated", "GatedSAE"),
    "GatedConfig": ("saescope.saes.gated", "GatedConfig"),
    "JumpReLUSAE": ("saescope.saes.jumprelu", "JumpReLUSAE"),
    "JumpReLUConfig": ("saescope.saes.jumprelu", "JumpReLUConfig"),
    "MatryoshkaSAE": ("saescope.saes.matryoshka", "MatryoshkaSAE"),
    "MatryoshkaConfig": ("saescope.saes.matryoshka", "MatryoshkaConfig"),
    "Autoencoder": ("saescope.saes.autoencoder", "Autoencoder"),
    "AutoencoderConfig": ("saescope.saes.autoencoder", "AutoencoderConfig"),
    "Transcoder": ("saescope.saes.transcoder", "Transcoder"),
    "Crosscoder": ("saescope.saes.crosscoder", "Crosscoder"),
    "build_sae": ("saescope.saes.registry", "build"),
    "save_sae": ("saescope.saes.storage", "save"),
    "load_sae": ("saescope.saes.storage", "load"),
    "train": ("saescope.training.loop", "train"),
    "Job": ("saescope.training.loop", "Job"),
    "TrainConfig": ("saescope.training.config", "TrainConfig"),
    "EndToEnd": ("saescope.training.end_to_end", "EndToEnd"),
    "LastTokens": ("saescope.training.last_tokens", "LastTokens"),
    "fit_scale": ("saescope.training.fine_tune", "fit_scale"),
    "evaluate": ("saescope.evals.evaluate", "evaluate"),
    "EvalConfig": ("saescope.evals.evaluate", "EvalConfig"),
    "EvalResult": ("saescope.evals.result", "EvalResult"),
    "recovery": ("saescope.evals.truth", "recovery"),
    "SyntheticTruth": ("saescope.toys.synthetic", "SyntheticTruth"),
    "SyntheticConfig": ("saescope.toys.synthetic", "SyntheticConfig"),
    "concepts": ("saescope.evals.concepts", "concepts"),
    "ConceptConfig": ("saescope.evals.concepts", "ConceptConfig"),
    "before_after": ("saescope.evals.before_after", "before_after"),
    "BeforeAfterConfig": ("saescope.evals.before_after", "BeforeAfterConfig"),
    "build_features": ("saescope.features.build", "build_features"),
    "FeatureConfig": ("saescope.features.build", "FeatureConfig"),
    "FeatureStore": ("saescope.features.store", "FeatureStore"),
    "Replace": ("saescope.interventions.edits", "Replace"),
    "Ablate": ("saescope.interventions.edits", "Ablate"),
    "Patch": ("saescope.interventions.edits", "Patch"),
    "logit_effects": ("saescope.interventions.effects", "logit_effects"),
    "RunConfig": ("saescope.pipeline", "RunConfig"),
    "SweepConfig": ("saescope.pipeline", "SweepConfig"),
    "GridConfig": ("saescope.pipeline", "GridConfig"),
    "sweep": ("saescope.pipeline", "sweep"),
    "ObjectiveConfig": ("saescope.pipeline.objectives", "ObjectiveConfig"),
    "FineTuneConfig": ("saescope.pipeline.fine_tune", "FineTuneConfig"),
    "fine_tune": ("saescope.pipeline.fine_tune", "fine_tune"),
    "run": ("saescope.pipeline", "run"),
    "SaescopeError": ("saescope.errors", "SaescopeError"),
}

__all__ = [
    "SAE",
    "Ablate",
    "Autoencoder",
    "AutoencoderConfig",
    "BatchTopKConfig",
    "BatchTopKSAE",
    "BeforeAfterConfig",
    "CachedSource",
    "ConceptConfig",
    "Corpus",
    "Crosscoder",
    "EndToEnd",
    "EvalConfig",
    "EvalResult",
    "FeatureConfig",
    "FeatureStore",
    "FineTuneConfig",
    "GatedConfig",
    "GatedSAE",
    "GridConfig",
    "HookPoint",
    "Job",
    "JumpReLUConfig",
    "JumpReLUSAE",
    "LanguageModel",
    "LastTokens",
    "MatryoshkaConfig",
    "MatryoshkaSAE",
    "ObjectiveConfig",
    "Patch",
    "ReLUConfig",
    "ReLUSAE",
    "Replace",
    "Route",
    "RunConfig",
    "SaescopeError",
    "StreamSource",
    "SweepConfig",
    "SyntheticConfig",
    "SyntheticTruth",
    "TensorSource",
    "TopKConfig",
    "TopKSAE",
    "TrainConfig",
    "Transcoder",
    "__version__",
    "before_after",
    "build_features",
    "build_sae",
    "concepts",
    "evaluate",
    "fine_tune",
    "fit_scale",
    "load_sae",
    "logit_effects",
    "recovery",
    "run",
    "save_sae",
    "sweep",
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
    from saescope.evals.truth import recovery
    from saescope.features.build import FeatureConfig, build_features
    from saescope.features.store import FeatureStore
    from saescope.interventions.edits import Ablate, Patch, Replace
    from saescope.interventions.effects import logit_effects
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel
    from saescope.models.route import Route
    from saescope.pipeline import GridConfig, RunConfig, SweepConfig, run, sweep
    from saescope.pipeline.fine_tune import FineTuneConfig, fine_tune
    from saescope.pipeline.objectives import ObjectiveConfig
    from saescope.saes.autoencoder import Autoencoder, AutoencoderConfig
    from saescope.saes.base import SAE
    from saescope.saes.batch_topk import BatchTopKConfig, BatchTopKSAE
    from saescope.saes.crosscoder import Crosscoder
    from saescope.saes.gated import GatedConfig, GatedSAE
    from saescope.saes.jumprelu import JumpReLUConfig, JumpReLUSAE
    from saescope.saes.matryoshka import MatryoshkaConfig, MatryoshkaSAE
    from saescope.saes.registry import build as build_sae
    from saescope.saes.relu import ReLUConfig, ReLUSAE
    from saescope.saes.storage import load as load_sae
    from saescope.saes.storage import save as save_sae
    from saescope.saes.topk import TopKConfig, TopKSAE
    from saescope.saes.transcoder import Transcoder
    from saescope.toys.synthetic import SyntheticConfig, SyntheticTruth
    from saescope.training.config import TrainConfig
    from saescope.training.end_to_end import EndToEnd
    from saescope.training.fine_tune import fit_scale
    from saescope.training.last_tokens import LastTokens
    from saescope.training.loop import Job, train
