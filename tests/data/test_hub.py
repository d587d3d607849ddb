import socket
import time
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saescope.data import Corpus, PackConfig, hub, pack
from saescope.data.holdout import BEYOND_THE_STREAM
from saescope.data.hub import is_hub_name
from saescope.errors import HubUnreachable, NoTokens, UnreadableText

real_load = datasets.load_dataset


@pytest.fixture
def stand_in(monkeypatch):
    """Makes the Hub hold one data set: rows from a generator, or local Parquet files through the same streaming."""

    def install(rows=None, parquet=None):
        def load_dataset(name, config, *, split, revision, streaming):
            assert (name, config, revision, streaming) == ("org/stories", None, "c0ffee", True)
            if parquet:
                return real_load("parquet", data_files=str(parquet), split=split, streaming=True)
            return datasets.IterableDataset.from_generator(rows)

        monkeypatch.setattr(hub, "hub_revision", lambda name, revision: revision or "c0ffee")
        monkeypatch.setattr(datasets, "load_dataset", load_dataset)

    return install


def stories(n):
    return lambda: ({"text": "" if i % 10 == 3 else f"story {i}", "id": i} for i in range(n))


@pytest.mark.parametrize("name", ["gpt2", "roneneldan/TinyStories", "Salesforce/wikitext:wikitext-2-raw-v1", "org/data-v1.5"])
def test_hub_names(name):
    assert is_hub_name(name)


@pytest.mark.parametrize(
    "name", ["stories.txt", "org/stories.jsonl", "./stories", "/data/stories", "a/b/c", "C:\\stories", "~/stories", "here/stories"]
)
def test_paths_are_not_hub_names(name, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not is_hub_name(name)


def test_stream_skips_and_counts_empty_rows_and_repeats(stand_in):
    stand_in(stories(400))
    corpus = Corpus.open("org/stories")
    assert (corpus.streaming, corpus.n_train, corpus.n_documents, corpus.name) == (True, None, None, "org/stories")
    everything = list(corpus.documents("all"))
    assert [document.index for document in everything] == list(range(360))
    assert everything[3].text == "story 4"
    assert corpus.n_empty == 40
    assert list(corpus.documents("all")) == everything
    assert corpus.n_empty == 40, "a second pass counts the same rows"


def test_stream_has_the_parts_of_a_local_corpus(stand_in, tmp_path):
    stand_in(stories(400))
    (tmp_path / "a.txt").write_text("\n<|endoftext|>\n".join(row["text"] for row in stories(400)()))
    stream, local = Corpus.open("org/stories"), Corpus.open(tmp_path / "a.txt")
    for part in ("train", "select", "report", "all"):
        assert list(stream.documents(part, epoch=1)) == sorted(local.documents(part), key=lambda document: document.index)


def test_stream_with_a_holdout(stand_in, tmp_path):
    stand_in(stories(100))
    (tmp_path / "held.txt").write_text("story 5\n<|endoftext|>\nnever seen")
    corpus = Corpus.open("org/stories", holdout=str(tmp_path / "held.txt"))
    assert [document.index for document in corpus.documents("report")] == [BEYOND_THE_STREAM, BEYOND_THE_STREAM + 1]
    rest = [document.text for part in ("train", "select") for document in corpus.documents(part)]
    assert "story 5" not in rest
    assert len(rest) == 89


def test_n_documents_stops_the_stream(stand_in):
    def endless():
        i = 0
        while True:
            yield {"text": f"story {i}"}
            i += 1

    stand_in(endless)
    assert len(list(Corpus.open("org/stories", n_documents=50).documents("all"))) == 50


def test_sha256_is_name_and_commit(stand_in):
    stand_in(stories(5))
    first = Corpus.open("org/stories")
    assert first.sha256 == Corpus.open("org/stories").sha256 != Corpus.open("org/stories", n_documents=3).sha256
    assert Corpus.open("org/stories", column="text").sha256 == first.sha256


@pytest.mark.parametrize("kind", ["generator", "parquet"])
def test_columns_are_checked_at_the_door(stand_in, tmp_path, kind):
    pq.write_table(pa.table({"text": ["a"], "id": [1]}), tmp_path / "a.parquet")
    stand_in(**({"rows": stories(3)} if kind == "generator" else {"parquet": tmp_path / "a.parquet"}))
    with pytest.raises(UnreadableText, match=r"'org/stories' has no column 'txt'\. Did you mean 'text'\? Columns: 'text', 'id'"):
        Corpus.open("org/stories", column="txt")
    with pytest.raises(UnreadableText, match=r"column 'id' of the data set 'org/stories' holds int"):
        Corpus.open("org/stories", column="id")


def test_unknown_split_lists_the_splits(stand_in, tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    stand_in(parquet=tmp_path / "a.parquet")
    with pytest.raises(UnreadableText, match=r"split 'test'.*\['train'\]"):
        Corpus.open("org/stories", split="test")


def test_a_data_set_without_rows(stand_in):
    stand_in(stories(0))
    with pytest.raises(NoTokens, match="no rows in split 'train'"):
        Corpus.open("org/stories")


def test_a_connection_lost_on_the_way(stand_in):
    def cut():
        yield from stories(10)()
        raise ConnectionError("server closed the connection")

    stand_in(cut)
    corpus = Corpus.open("org/stories")
    with pytest.raises(HubUnreachable, match=r"after 10 documents \(server closed the connection\)"):
        list(corpus.documents("all"))


def test_offline_fails_within_seconds_and_says_what_to_do(monkeypatch):
    def no_network(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    start = time.monotonic()
    with pytest.raises(
        HubUnreachable, match=r"'roneneldan/TinyStories' is no path here.*huggingface\.co could not be reached.*--text path/to/folder"
    ):
        Corpus.open("roneneldan/TinyStories")
    assert time.monotonic() - start < 5


def test_a_local_name_nearly_right_is_suggested(tmp_path, monkeypatch):
    (tmp_path / "tinystories").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable, match=r"Did you mean 'tinystories'\?"):
        Corpus.open("tinystory")


def test_retries_of_the_library_are_bounded(stand_in):
    stand_in(stories(3))
    Corpus.open("org/stories")
    config = datasets.config
    assert config.STREAMING_OPEN_MAX_RETRIES * config.STREAMING_OPEN_RETRY_INTERVAL <= 10
    assert (
        config.STREAMING_READ_MAX_RETRIES * max(config.STREAMING_READ_RETRY_INTERVAL, config.STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL)
        <= 120
    )


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_streaming_many_documents_keeps_memory_flat(stand_in, tmp_path, words):
    """30 MB of Parquet text through the streaming reader and the packing: memory after a fifth of it is memory at the end."""
    for i in range(3):
        rows = [f"story {i} {n} " + "word " * 200 for n in range(10_000)]
        pq.write_table(pa.table({"text": rows}), tmp_path / f"{i}.parquet", row_group_size=1000)
    stand_in(parquet=tmp_path / "*.parquet")
    cfg = PackConfig(context=128, packing="stream", bos=True, batch_sequences=16)
    n_tokens, early = 0, 0
    for batch in pack(Corpus.open("org/stories").documents("all"), words, cfg):
        n_tokens += batch.tokens.numel()
        if not early and n_tokens > 30_000 * 204 / 5:
            early = resident_bytes()
    assert n_tokens > 6_000_000
    assert resident_bytes() - early < 20e6
