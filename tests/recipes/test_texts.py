"""What trains and what is held out, of babel and of folders."""

from itertools import islice

import pytest

from saescope.data import Corpus
from saescope.data.babel.document import document, part_of
from saescope.errors import ConfigError, NoTokens, UnreadableText
from saescope.recipes.texts import PIECE, BabelTexts, FolderTexts, open_texts


def test_babel_trains_on_its_training_documents_alone():
    trained = [text for _, text in islice(BabelTexts(3).train(), 20)]
    numbers = [i for i in range(200) if part_of(3, i) == "train"][:20]
    assert trained == [document(3, i).text for i in numbers]


def test_babel_reports_on_every_kind_and_on_no_training_document():
    texts = BabelTexts(0)
    found = [kind for kind, _ in islice(texts.report(2), 4)]
    assert found == ["story", "story", "python", "python"]
    kind, text = next(iter(texts.prompts()))
    first = next(i for i in range(1000) if part_of(0, i) == "report")
    assert (kind, text) == (document(0, first).kind, document(0, first).text)


@pytest.fixture
def folder(tmp_path):
    for name, word, n in (("english", "word", 30_000), ("arabic", "كلمة", 20_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("\n".join(f"{word} {i}" for i in range(n)))
    (tmp_path / "README.md").write_text("not a text")
    (tmp_path / "last.txt").write_text("one more file")
    return tmp_path


def test_a_folder_of_few_files_holds_out_pieces_of_each(folder):
    texts = FolderTexts(folder)
    train, report = list(texts.train()), list(texts.report(100))
    assert {source for source, _ in train} >= {"english", "arabic"}
    assert {"english", "arabic"} <= {kind for kind, _ in report}
    assert not {text for _, text in train} & {text for _, text in report}
    assert all(text.startswith("كلمة") == (source == "arabic") for source, text in train if source != "last")


def test_what_is_held_out_is_held_out_of_a_run_too(folder):
    corpus = Corpus.open(folder, piece=PIECE)
    assert {text for _, text in FolderTexts(folder).train()} == {document.text for document in corpus.documents("train")}
    assert [text for _, text in FolderTexts(folder).prompts()] == [document.text for document in corpus.documents("report")]


def test_a_single_file_is_its_own_source(tmp_path):
    (tmp_path / "a.txt").write_text("\n<|endoftext|>\n".join(f"document {i}" for i in range(1200)))
    assert {source for source, _ in FolderTexts(tmp_path / "a.txt").train()} == {"a.txt"}


def test_the_tokenizer_reads_what_it_should():
    documents = list(islice(BabelTexts(0).train(), 100))
    assert list(BabelTexts(0).tokenizer_texts(5000)) == [text for _, text in documents][: len(list(BabelTexts(0).tokenizer_texts(5000)))]
    assert 5000 <= sum(len(text.encode()) for text in BabelTexts(0).tokenizer_texts(5000)) < 7000


def test_the_tokenizer_reads_no_more_than_a_share_of_each_source(folder):
    texts = FolderTexts(folder)
    assert list(texts.tokenizer_texts(10**9)) == [text for _, text in texts.train()]
    some = list(texts.tokenizer_texts(3 * 100_000))
    english = sum(len(text) for text in some if text.startswith("word"))
    share = 3 * 100_000 / len({source for source, _ in texts.train()})
    assert 0.6 * share < english < 1.4 * share


def test_refuses_what_is_no_text(tmp_path):
    with pytest.raises(NoTokens):
        open_texts(str(tmp_path))
    (tmp_path / "a.txt").write_bytes(b"\x00\xff\xfe" * 100)
    with pytest.raises(UnreadableText):
        open_texts(str(tmp_path))
    with pytest.raises(ConfigError, match="babel:1"):
        open_texts("babel:x")
    with pytest.raises(UnreadableText):
        open_texts(str(tmp_path / "nowhere"))
