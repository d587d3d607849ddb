"""A tiny bundle: a random SAE at blocks.0.mlp_post of the tiny llama, on a text of random English words."""

import sys
from pathlib import Path

from saescope.data.corpus import Corpus
from saescope.data.packing import PackConfig
from saescope.draws import draws
from saescope.features.build import FeatureConfig, build_features
from saescope.features.store import FeatureStore
from saescope.saes.topk import TopKConfig, TopKSAE

AT = "blocks.0.mlp_post"
PACK = PackConfig(context=24, packing="documents", bos=True, batch_sequences=8)
CONFIG = FeatureConfig(n_tokens=2500, sampled_share=0.5)
WORDS = ["the", "and", "on", "in", "a", "cat", "dog", "ran", "sat", "big", "small", "one", "two", "said", "home", "שלום", "🐈", "l'été"]


def write_text(path: Path, n_documents: int = 150) -> Path:
    rng = draws(0, "test text")
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 12))) for _ in range(n_documents)]
    path.write_text("\n<|endoftext|>\n".join(texts), encoding="utf-8")
    return path


def small_sae() -> TopKSAE:
    return TopKSAE(32, 48, TopKConfig(k=5))


def build(lm, text: Path, folder: Path, *, sae=None, cfg: FeatureConfig = CONFIG, **options) -> FeatureStore:
    return build_features(sae or small_sae(), lm, AT, Corpus.open(text), folder, cfg, pack=PACK, **options)


if __name__ == "__main__":  # text, folder: to be killed by $SAESCOPE_FAULT
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import tiny
    from saescope.features import spool

    spool.PART_TOKENS = 400
    build(tiny.tiny_lm(), Path(sys.argv[1]), Path(sys.argv[2]))
