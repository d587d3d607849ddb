"""The letters of every shape in the package, and the array types that signatures use.

    B sequences   P positions    N tokens, flat   D d_in (d_out where it differs)   F d_sae
    K active      V vocabulary   L layers         H heads

Signatures spell shapes out (`Float[Tensor, "n d_in"]`) and are checked by beartype in the tests. Inside a function, a suffix
of letters says the same where two shapes meet: `pre_NF`, `top_NK`.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Bool", "Float", "Int", "Tensor"]
