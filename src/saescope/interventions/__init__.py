"""Changing a model through its features, and what its features do to its predictions."""

from saescope.interventions.edits import Ablate, Patch, Replace
from saescope.interventions.effects import logit_effects

__all__ = ["Ablate", "Patch", "Replace", "logit_effects"]
