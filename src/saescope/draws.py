"""Every random number of the package: a function of (seed, stream, counters), never of a global generator's state."""

import hashlib
import json

import numpy as np


def draws(seed: int, stream: str, *counters: int | str) -> np.random.Generator:
    """Generator of the draws named by (seed, stream, counters).

    The same name gives the same numbers on every machine, in every order of calls: resuming needs a cursor, not a state.
    Streams in use: "init", "documents", "pool", "examples", "untrained", "bootstrap", "packing", "resample", "synthetic",
    "generate".
    """
    name = json.dumps([seed, stream, *counters], separators=(",", ":"), ensure_ascii=False)
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def hash64(*parts: int | str) -> int:
    """64 bits that depend on the parts alone: which documents are held out, which tokens are sampled."""
    name = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
