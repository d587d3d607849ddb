import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saescope.data.readers import JsonlReader, ParquetReader, TextReader, reader_of
from saescope.errors import UnreadableText


def texts(reader):
    return [text for _, _, text in reader.scan()]


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("a\nb\n<|endoftext|>\nc", ["a\nb", "c"]),
        ("a\n<|endoftext|>\nb\n<|endoftext|>\n", ["a", "b"]),
        ("a\r\n\r\nb\r\n<|endoftext|>  \r\nc\r\n", ["a\n\nb", "c"]),
        ("\n \n  indented\n\n<|endoftext|>\n\n<|endoftext|>\nb", ["  indented", "", "b"]),
        ("no <|endoftext|> boundary inside a line", ["no <|endoftext|> boundary inside a line"]),
        ("\ufeffwith a byte order mark", ["with a byte order mark"]),
        ("", []),
        (" \n", [""]),
        ("١٢٣\n<|endoftext|>\n한국어", ["١٢٣", "한국어"]),
    ],
)
def test_text_documents_lie_between_boundary_lines(tmp_path, data, expected):
    assert texts(TextReader(write(tmp_path / "a.txt", data))) == expected


def test_every_reader_reads_again_what_it_scanned(tmp_path):
    documents = ["one\ntwo", "", "déjà vu", "x" * 5000, "  left"]
    write(tmp_path / "a.txt", "\n<|endoftext|>\n".join(documents))
    write(tmp_path / "a.jsonl", "\n\n".join(json.dumps({"text": text}, ensure_ascii=i % 2 == 0) for i, text in enumerate(documents)))
    pq.write_table(pa.table({"n": [1, 2, 3, 4, 5], "text": documents}), tmp_path / "a.parquet", row_group_size=2)
    for name, kind in [("a.txt", TextReader), ("a.jsonl", JsonlReader), ("a.parquet", ParquetReader)]:
        reader = reader_of(tmp_path / name, "text")
        assert type(reader) is kind
        scanned = list(reader.scan())
        assert [text for _, _, text in scanned] == documents
        assert [reader.read(start, stop) for start, stop, _ in reversed(scanned)] == documents[::-1]


@pytest.mark.parametrize(("data", "encoding"), [(b"good\n<|endoftext|>\nbad \xff\n", "LATIN1"), ("hello".encode("utf-16"), "UTF-16")])
def test_undecodable_bytes_are_named_by_offset(tmp_path, data, encoding):
    path = write(tmp_path / "bad.txt", data)
    offset = data.index(b"\xff")
    with pytest.raises(UnreadableText, match=rf"bad\.txt is not UTF-8 at byte {offset}\..*-f {encoding}"):
        texts(TextReader(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut', r"a\.jsonl, line 3, is not JSON"),
        ('"only a string"', r"line 3, is a JSON string\. Expected one JSON object per line"),
        ("[1]", r"line 3, is a JSON array"),
        ('{"txt": "x", "id": 1}', r"line 3, has no column 'text'\. Did you mean 'txt'\? Columns: 'txt', 'id'"),
        ('{"text": 5}', r"line 3: column 'text' holds a number, but text was expected"),
        ('{"text": "\\ud800"}', r"line 3: the text has half of a surrogate pair at character 0"),
        (b'{"text": "\xff"}', r"a\.jsonl is not UTF-8 at byte 28"),
    ],
)
def test_bad_jsonl_lines_are_named(tmp_path, line, message):
    data = b'{"text": "good"}\n\n' + (line if isinstance(line, bytes) else line.encode())
    with pytest.raises(UnreadableText, match=message):
        texts(JsonlReader(write(tmp_path / "a.jsonl", data), "text"))


def test_null_is_an_empty_document(tmp_path):
    assert texts(JsonlReader(write(tmp_path / "a.jsonl", '{"body": null}\n{"body": "b"}'), "body")) == ["", "b"]
    pq.write_table(pa.table({"body": [None, "b"]}), tmp_path / "a.parquet")
    assert texts(ParquetReader(tmp_path / "a.parquet", "body")) == ["", "b"]


def test_parquet_names_its_columns_and_faults(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1], "body": ["x"], "tags": [["y"]]}), path)
    with pytest.raises(UnreadableText, match=r"no column 'text'.*Columns: 'id', 'body', 'tags'"):
        texts(ParquetReader(path, "text"))
    for column in ("id", "tags"):
        with pytest.raises(UnreadableText, match=rf"column '{column}' .* text was expected\. Columns of text: 'body'\."):
            texts(ParquetReader(path, column))
    with pytest.raises(UnreadableText, match="not a readable Parquet file"):
        texts(ParquetReader(write(path, b"PAR1 but not really"), "text"))


def test_parquet_of_categories_is_text(tmp_path):
    pq.write_table(pa.table({"text": pa.array(["a", "b", "a"]).dictionary_encode()}), tmp_path / "a.parquet")
    assert texts(ParquetReader(tmp_path / "a.parquet", "text")) == ["a", "b", "a"]


def test_a_file_cut_after_the_scan_is_an_error(tmp_path):
    reader = TextReader(write(tmp_path / "a.txt", "a long text"))
    ((start, stop, _),) = reader.scan()
    write(tmp_path / "a.txt", "a")
    with pytest.raises(UnreadableText, match="became shorter"):
        reader.read(start, stop)


def test_scanning_keeps_one_document_in_memory(tmp_path):
    path = write(tmp_path / "big.txt", ("word " * 200 + "\n<|endoftext|>\n") * 10_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in TextReader(path).scan()) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000 < path.stat().st_size / 10
    finally:
        tracemalloc.stop()
