"""Published coefficients in our units: squared error summed over d, inputs scaled to E||x||^2 = d.

"Unit norm" is E||x||^2 = 1 and a sum over d (DeepMind, dictionary_learning with normalisation); "raw" are inputs as they come,
which our scale s = sqrt(d / E||x||^2) relates to ours.
"""

import math


def l1_of_unit_norm(coefficient: float, d: int) -> float:
    """lambda sqrt(d): squared errors grow by d, latents by sqrt(d)."""
    return coefficient * math.sqrt(d)


def l0_of_unit_norm(coefficient: float, d: int) -> float:
    """lambda d: squared errors grow by d, a count does not grow."""
    return coefficient * d


def threshold_of_unit_norm(value: float, d: int) -> float:
    """theta sqrt(d), and so bandwidths: they are in units of a latent."""
    return value * math.sqrt(d)


def clip_of_summed(norm: float, d: int) -> float:
    """norm / d: published for the gradient of a loss summed over d at E||x||^2 = d; ours is of loss / d."""
    return norm / d


def l1_of_raw_mean(coefficient: float, d: int, s: float) -> float:
    """lambda d s: published for raw inputs and a mean over d."""
    return coefficient * d * s
