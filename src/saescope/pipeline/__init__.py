"""The main job as a Python call: text -> activations -> SAE -> result -> features -> page, in one run directory.

from saescope.pipeline import RunConfig, run
"""

from saescope.pipeline.config import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.pipeline.main_job import run
from saescope.pipeline.sweep_config import GridConfig, SweepConfig
from saescope.pipeline.sweep_job import sweep

__all__ = ["GridConfig", "ModelConfig", "RunConfig", "SAEConfig", "SweepConfig", "TextConfig", "run", "sweep"]
