"""The subject of study: any Hugging Face causal language model, untouched."""

from saescope.models.edit import Edit, Positions
from saescope.models.hook_point import HookPoint
from saescope.models.language_model import LanguageModel, Run
from saescope.models.module_map import ModuleMap
from saescope.models.points import HookInfo
from saescope.models.tokenizer import Tokenizer

__all__ = ["Edit", "HookInfo", "HookPoint", "LanguageModel", "ModuleMap", "Positions", "Run", "Tokenizer"]
