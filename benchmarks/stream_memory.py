"""Memory of a long stream: 50M tokens of a Hub data set (a local stand-in) through Corpus and pack, with a tokenizer that costs nothing.

    python benchmarks/stream_memory.py [n_tokens]

Prints the peak resident memory at 10 %, 50 % and 100 % of the tokens: flat means that the last line equals the first.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from saescope.data import Corpus, PackConfig, hub, pack

WORDS_PER_STORY, STORIES_PER_FILE = 200, 50_000


def write_stories(folder: Path, n_tokens: int) -> None:
    for i in range(-(-n_tokens // (WORDS_PER_STORY * STORIES_PER_FILE))):
        with pq.ParquetWriter(folder / f"{i:03}.parquet", pa.schema({"text": pa.string()})) as file:
            for start in range(0, STORIES_PER_FILE, 1000):
                file.write_table(pa.table({"text": [f"story {i} {start + j} " + "word " * WORDS_PER_STORY for j in range(1000)]}))


def stand_in_for_the_hub(folder: Path) -> None:
    load = datasets.load_dataset
    hub.hub_revision = lambda name, revision: "main"
    datasets.load_dataset = lambda name, config, *, split, revision, streaming: load(
        "parquet", data_files=str(folder / "*.parquet"), split=split, streaming=streaming
    )


def main(n_tokens: int) -> None:
    ids = list(range(3, 3 + WORDS_PER_STORY))
    tokenizer = SimpleNamespace(bos_id=1, special_ids=frozenset({1}), encode_batch=lambda texts: [ids for _ in texts])
    with tempfile.TemporaryDirectory() as folder:
        write_stories(Path(folder), int(n_tokens * 1.2))  # a tenth of the documents is held out
        stand_in_for_the_hub(Path(folder))
        cfg = PackConfig(context=128, packing="stream", bos=True, batch_sequences=32)
        start, done, marks = time.perf_counter(), 0, [0.1, 0.5, 1.0]
        for batch in pack(Corpus.open("org/stories").documents("train"), tokenizer, cfg):
            done += batch.tokens.numel()
            if done >= marks[0] * n_tokens:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                seconds = time.perf_counter() - start
                print(json.dumps({"tokens": done, "peak_mib": round(peak, 1), "tokens_per_s": round(done / seconds)}), flush=True)
                marks.pop(0)
            if not marks:
                return
        raise SystemExit(f"the text ended after {done:,} tokens")


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 50_000_000)
