"""The main job as a Python call: text -> activations -> SAE -> result -> features -> page, in one run directory.

from saescope.pipeline import RunConfig, run
"""

from saescope.pipeline.config import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.pipeline.main_job import run

__all__ = ["ModelConfig", "RunConfig", "SAEConfig", "TextConfig", "run"]
