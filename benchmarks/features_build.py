"""Seconds the feature build takes beside the model and the SAE: reducers, windows, tables, on a synthetic stream of chunks.

    python benchmarks/features_build.py [--tokens 1000000] [--features 4096] [--l0 32]

Shaped like stories3M at blocks.3.mlp_post: 4,096 latents of power-law density, L0 32, rows of 200 tokens, vocabulary 4,096.
"""

import argparse
import json
import resource
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from saescope.activations.encode import Chunk, Code
from saescope.features import bundle, weights
from saescope.features.build import _write
from saescope.features.near_miss import NearMisses
from saescope.features.neurons import NeuronCorrelation
from saescope.features.spool import Spool
from saescope.features.tables import bundle_content

D, V, ROW, CHUNK_ROWS = 512, 4096, 200, 10


def chunks(rng: np.random.Generator, n_tokens: int, n_features: int, l0: int):
    weight = 1 / np.arange(1, n_features + 1) ** 0.7
    edges = np.cumsum(weight / weight.sum())
    for first in range(0, n_tokens // ROW, CHUNK_ROWS):
        n = CHUNK_ROWS * ROW
        latent = np.searchsorted(edges, rng.random((n, l0 + 4))).clip(0, n_features - 1)
        code = np.zeros((n, n_features), bool)
        code[np.repeat(np.arange(n), l0 + 4), latent.ravel()] = True
        token, latent = code.nonzero()
        value = rng.exponential(1.0, len(token)).astype(np.float32)
        rows = np.repeat(np.arange(first, first + CHUNK_ROWS), ROW)
        position = np.tile(np.arange(ROW), CHUNK_ROWS)
        x = torch.from_numpy(rng.standard_normal((n, D), dtype=np.float32))
        ids = torch.from_numpy(np.minimum(V - 1, rng.zipf(1.3, n)).astype(np.int64))
        parts = [torch.from_numpy(a) for a in (rows, rows, position)]
        flat = Code(*(torch.from_numpy(a) for a in (token, latent, value)), n, n_features)
        yield Chunk(ids, *parts, torch.from_numpy(position > 0), x, x, x[:, :1], flat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=4096)
    parser.add_argument("--l0", type=int, default=32)
    args = parser.parse_args()
    rng = np.random.Generator(np.random.Philox(key=0))
    W = torch.from_numpy(rng.standard_normal((args.features, D), dtype=np.float32))
    sae = SimpleNamespace(d_in=D, d_sae=args.features, W_dec=W, W_enc=W.T.contiguous(), pre_acts=lambda x: x @ W.T - 60)
    tokenizer = SimpleNamespace(vocab_size=V, special_ids=frozenset([0]), token_bytes=lambda i: b"x%d" % i)
    lm = SimpleNamespace(d_vocab=V, tokenizer=tokenizer)
    unembedding = torch.from_numpy(rng.standard_normal((D, V), dtype=np.float32))
    weights.logit_columns = lambda lm, at, W_dec: weights._extremes(W_dec @ unembedding)
    spent = {"wall": Clock(time.perf_counter), "cpu": Clock(time.process_time)}

    @contextmanager
    def measured(name: str):
        for clock in spent.values():
            clock.start()
        yield
        for clock in spent.values():
            clock.stop(name)

    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        others = {"near_misses": NearMisses(sae, 0, 0.1), "neurons": NeuronCorrelation(W, 0, 0.1)}
        spool = Spool(Path(folder) / "parts", args.features, others, {})
        n = 0
        for chunk in chunks(rng, args.tokens, args.features, args.l0):
            for name, sink in {"spool": spool, **others}.items():
                with measured(name):
                    sink.add(chunk)
            n += int(chunk.counted.sum())
            with measured("commit"):
                if spool.full:
                    spool.commit(1, n)
        spool.commit(1, n)
        with measured("reduce"):
            content = bundle_content(sae, lm, "blocks.3.mlp_post", W, spool, 0, 100_000)
        with measured("write"):
            _write(Path(folder), {}, {}, content)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = {name: {**clock.rounded(), "total": round(sum(clock.seconds.values()), 1)} for name, clock in spent.items()}
    print(json.dumps({"schema": bundle.SCHEMA, **vars(args), "seconds": seconds, "peak_gib": round(peak, 2)}))


class Clock:
    def __init__(self, now):
        self.now, self.seconds = now, {}

    def start(self) -> None:
        self.since = self.now()

    def stop(self, name: str) -> None:
        self.seconds[name] = self.seconds.get(name, 0) + self.now() - self.since

    def rounded(self) -> dict[str, float]:
        return {name: round(value, 2) for name, value in self.seconds.items()}


if __name__ == "__main__":
    main()
