"""Documents to packed token sequences: where text comes from, what is held out, how it is laid into sequences."""

from saescope.data.corpus import Corpus, Document
from saescope.data.packing import PackConfig, TokenBatch, choose_packing, pack

__all__ = ["Corpus", "Document", "PackConfig", "TokenBatch", "choose_packing", "pack"]
