import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saescope.data.local_files import LocalTexts, find_files
from saescope.errors import NoTokens, UnreadableText


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b.txt").write_text("b1\n<|endoftext|>\n\n<|endoftext|>\nb2")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.jsonl").write_text('{"text": "c1"}\n{"text": " "}\n{"text": "c2"}\n')
    pq.write_table(pa.table({"text": ["a1", None, "a2"]}), tmp_path / "a.parquet")
    (tmp_path / "README.md").write_text("not text to learn")
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "d.txt").write_text("hidden")
    return tmp_path


def test_folder_is_read_sorted_and_without_hidden_or_other_files(folder):
    assert [path.name for path in find_files(folder)] == ["a.parquet", "b.txt", "c.jsonl"]


def test_documents_are_numbered_in_file_order_without_empty_ones(folder):
    texts = LocalTexts("t", find_files(folder), column="text")
    assert list(texts) == list(enumerate(["a1", "a2", "b1", "b2", "c1", "c2"]))
    assert (len(texts), texts.n_empty, texts[3], texts[0]) == (6, 3, "b2", "a1")


def test_limit_stops_the_scan_before_later_files(folder):
    (folder / "z.txt").write_bytes(b"\xff")
    assert len(LocalTexts("t", find_files(folder), column="text", limit=6)) == 6
    with pytest.raises(UnreadableText, match=r"z\.txt"):
        LocalTexts("t", find_files(folder), column="text", limit=7)


def test_sha256_depends_on_contents_not_on_places(folder, tmp_path_factory):
    first = LocalTexts("t", [folder / "b.txt"], column="text").sha256()
    moved = tmp_path_factory.mktemp("elsewhere") / "other.txt"
    moved.write_bytes((folder / "b.txt").read_bytes())
    assert LocalTexts("u", [moved], column="text").sha256() == first
    moved.write_text("b1\n<|endoftext|>\n\n<|endoftext|>\nb3")
    assert LocalTexts("u", [moved], column="text").sha256() != first


def test_missing_paths_name_their_neighbours(folder):
    with pytest.raises(UnreadableText, match=r"no file or folder 'b\.tx' in .*Did you mean 'b\.txt'\?"):
        find_files(folder / "b.tx")
    with pytest.raises(UnreadableText, match=r"That folder holds 'README\.md', 'a\.parquet'"):
        find_files(folder / "quite_another")
    with pytest.raises(UnreadableText, match="the path is right up to"):
        find_files(folder / "nope" / "deeper" / "b.txt")


@pytest.mark.parametrize("content", ["", "\n \n", "<|endoftext|>\n<|endoftext|>\n"])
def test_files_without_text(tmp_path, content):
    (tmp_path / "empty.txt").write_text(content)
    with pytest.raises(NoTokens, match=r"empty\.txt holds no text"):
        LocalTexts("empty.txt", find_files(tmp_path / "empty.txt"), column="text")


def test_folder_without_text_files(tmp_path):
    (tmp_path / "image.png").write_bytes(b"")
    with pytest.raises(NoTokens, match=r"no text files\. Expected files that end in \.txt"):
        find_files(tmp_path)
