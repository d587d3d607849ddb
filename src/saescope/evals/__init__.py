"""How good a dictionary is: reducers of the encode pass, spliced forwards, and the control rows beside every number."""

from saescope.evals.evaluate import EvalConfig, evaluate
from saescope.evals.result import EvalResult, Metric

__all__ = ["EvalConfig", "EvalResult", "Metric", "evaluate"]
