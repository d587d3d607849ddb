import itertools
import json
from collections import Counter

import pytest

from saescope.data import Corpus, Document
from saescope.data.babel.document import document as babel_document
from saescope.data.babel.document import part_of
from saescope.data.babel.families import FAMILIES
from saescope.draws import draws
from saescope.errors import ConfigError, NoTokens, UnreadableText

BOUNDARY = "\n<|endoftext|>\n"


@pytest.fixture
def folder(tmp_path):
    """400 stories in two files; the held-out file's first stories occur again in the other one."""
    (tmp_path / "test.txt").write_text(BOUNDARY.join(f"test story {i}" for i in range(100)))
    main = [f"story {i}" for i in range(297)] + ["test story 0", "  test story 7\n", "test story 50"]
    (tmp_path / "main.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in main))
    return tmp_path


def numbers(corpus, part, **options):
    return [document.index for document in corpus.documents(part, **options)]


def test_parts_are_disjoint_and_complete(folder):
    corpus = Corpus.open(folder)
    parts = {part: numbers(corpus, part) for part in ("train", "select", "report")}
    assert sorted(number for part in parts.values() for number in part) == list(range(400)) == numbers(corpus, "all")
    assert parts["select"] == sorted(parts["select"])
    assert parts["report"] == sorted(parts["report"])
    assert corpus.n_train == len(parts["train"])
    assert (corpus.n_documents, corpus.streaming, corpus.n_empty) == (400, False, 0)


def test_train_is_in_the_order_of_draws(folder):
    corpus = Corpus.open(folder)
    in_order = sorted(numbers(corpus, "train"))
    for epoch, seed in [(0, 0), (1, 0), (0, 3)]:
        order = draws(seed, "documents", epoch).permutation(len(in_order))
        assert numbers(corpus, "train", epoch=epoch, seed=seed) == [in_order[i] for i in order]


def test_the_number_finds_the_text(folder):
    corpus = Corpus.open(folder)
    texts = [document.text for document in corpus.documents("all")]
    assert all(texts[document.index] == document.text for document in corpus.documents("train"))
    assert Document(0, "story 0") in list(corpus.documents("all"))[:1]


def test_held_out_documents_never_train(folder):
    corpus = Corpus.open(folder, holdout=f"{folder / 'test.txt'}:20")
    held = [document.text for document in corpus.documents("report")]
    assert held == [f"test story {i}" for i in range(20)]
    for part in ("train", "select"):
        assert not {document.text.strip() for document in corpus.documents(part)} & set(held)
    # copies elsewhere in the corpus are in no part; "test story 50" is not held out and stays
    rest = Counter(document.text.strip() for part in ("train", "select") for document in corpus.documents(part))
    assert sum(rest.values()) == 400 - 20 - 2
    assert rest["test story 50"] == 2
    assert corpus.n_train == len(numbers(corpus, "train"))


def test_held_out_documents_keep_their_corpus_numbers(folder, tmp_path_factory):
    corpus = Corpus.open(folder / "test.txt", holdout=f"{folder / 'test.txt'}:20")
    assert numbers(corpus, "report") == list(range(20))
    other = tmp_path_factory.mktemp("other") / "other.txt"
    other.write_text(BOUNDARY.join(["never seen", "story 5"]))
    assert numbers(Corpus.open(folder, holdout=str(other)), "report") == [400, 5]


def test_n_documents_cuts_in_file_order(folder):
    corpus = Corpus.open(folder, n_documents=40)
    assert [document.text for document in corpus.documents("all")] == [f"story {i}" for i in range(40)]


def test_several_texts_are_one_corpus_and_overlaps_count_once(folder):
    both = Corpus.open([folder / "test.txt", folder])
    assert (both.n_documents, both.name) == (400, f"test.txt + {folder.name}")
    assert next(both.documents("all")).text == "test story 0"


def test_sha256_tells_what_was_read(folder):
    digests = [
        Corpus.open(folder, **options).sha256
        for options in [{}, {"n_documents": 400}, {"holdout": str(folder / "test.txt")}, {"holdout": f"{folder / 'test.txt'}:5"}]
    ]
    assert len({*digests}) == 4
    assert Corpus.open(folder).sha256 == digests[0]
    (folder / "test.txt").write_text("changed")
    assert Corpus.open(folder).sha256 != digests[0]


def test_a_string_that_is_a_path_here_is_local(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "org").mkdir()
    (folder / "org" / "name").write_text("a file without a suffix is plain text")
    corpus = Corpus.open("org/name")
    assert (corpus.name, corpus.n_documents, corpus.streaming) == ("name", 1, False)


def test_ten_megabytes_in_one_document_and_empty_ones(tmp_path, words):
    (tmp_path / "a.txt").write_text(BOUNDARY.join(["", "short story", "word " * 2_000_000, "", ""]))
    corpus = Corpus.open(tmp_path / "a.txt")
    assert (corpus.n_documents, corpus.n_empty) == (2, 2)
    assert [len(document.text) for document in corpus.documents("all")] == [11, 9_999_999]


def test_a_part_without_documents_says_why(tmp_path):
    (tmp_path / "book.txt").write_text("one long book")
    with pytest.raises(
        NoTokens,
        match=r"book\.txt is one document \(documents end at a line <\|endoftext\|>; --piece N .*\), and none of it is in the 'report'",
    ):
        Corpus.open(tmp_path / "book.txt").documents("report")
    with pytest.raises(NoTokens, match="'train' part"):
        Corpus.open(tmp_path / "book.txt", holdout=str(tmp_path / "book.txt")).documents("train")


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("main.jsonl", {"n_documents": 0}, ConfigError, "n_documents=0 leaves no text"),
        ("main.jsonl", {"n_documents": -3}, ConfigError, "Expected at least 1"),
        ("main.jsonl", {"column": "txt"}, UnreadableText, "Did you mean 'text'"),
        ("main.json", {}, UnreadableText, r"Did you mean 'main\.jsonl'"),
        ("", {}, ConfigError, "names nothing"),
        ([], {}, ConfigError, "names nothing"),
        (["main.jsonl", "roneneldan/TinyStories"], {}, ConfigError, "only one Hub data set"),
    ],
)
def test_bad_input(folder, monkeypatch, text, options, error, message):
    monkeypatch.chdir(folder)
    with pytest.raises(error, match=message):
        Corpus.open(text, **options)


def test_unknown_part(folder):
    with pytest.raises(ConfigError, match=r"Did you mean 'train'\?"):
        Corpus.open(folder).documents("trian")


@pytest.mark.real
def test_tinystories_has_the_documents_it_has(real):
    """6,233 boundary lines in val and test, and one story after the last boundary of each."""
    text = real / "text" / "tinystories"
    assert Corpus.open([text / "val.txt", text / "test.txt"]).n_documents == 6_233 + 2
    corpus = Corpus.open(text, holdout=f"{text / 'test.txt'}:200")
    assert (corpus.n_documents, corpus.n_empty) == (6_235 + 2_317, 0)
    held = list(corpus.documents("report"))
    assert [document.index for document in held] == list(range(200))
    texts = {document.text for document in held}
    assert not any(document.text in texts for part in ("train", "select") for document in corpus.documents(part))


@pytest.mark.real
def test_every_real_text_opens(real):
    for folder in sorted((real / "text").iterdir()):
        assert Corpus.open(sorted(folder.iterdir())).n_documents >= 1


def test_long_files_are_cut_into_documents(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"line {i:03}\n" for i in range(100)))
    (tmp_path / "b.txt").write_text("short\n" + BOUNDARY.strip() + "\n" + "x" * 50 + "\nlast")
    corpus = Corpus.open(tmp_path, piece=30)
    texts = [document.text for document in corpus.documents("all")]
    assert texts[0] == "line 000\nline 001\nline 002\nline 003"
    assert texts[25:] == ["short", "x" * 50, "last"]
    assert "\n".join(texts[:25]) + "\n" == (tmp_path / "a.txt").read_text()
    assert Corpus.open(tmp_path).sha256 != corpus.sha256 != Corpus.open(tmp_path, piece=31).sha256
    with pytest.raises(ConfigError, match="piece=0 leaves no text"):
        Corpus.open(tmp_path, piece=0)


def test_sources_are_the_folders_below_the_one_that_holds_them_all(tmp_path):
    for name in ("x/one.txt", "x/two.txt", "y/z/three.txt", "four.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    labelling = Corpus.open(tmp_path).labelling
    names = labelling.families["source"]
    assert sorted(names) == ["x", "y"]
    for document in Corpus.open(tmp_path).documents("all"):
        label = labelling.byte_labels(document)[-1]
        beside = document.text == "four.txt"  # files beside each other are parts of one text: train, val, test
        assert set(label.tolist()) == {0 if beside else 1 + names.index(document.text[0])}
    for path in ("four.txt", "x"):
        assert "source" not in Corpus.open(tmp_path / path).labelling.families


class TestBabel:
    def test_parts_are_those_of_the_generator(self):
        corpus = Corpus.open("babel")
        for part in ("train", "select", "report"):
            for document in itertools.islice(corpus.documents(part), 20):
                assert part_of(0, document.index) == part
                assert document.text == babel_document(0, document.index).text
        assert (corpus.streaming, corpus.n_documents, corpus.name) == (True, None, "babel")

    def test_a_preset_ends_and_a_seed_changes_the_text(self):
        tiny = Corpus.open("babel:tiny")
        assert sum(1 for _ in tiny.documents("all")) == 310
        assert 150_000 < sum(len(document.text.encode()) for document in tiny.documents("all")) < 250_000
        first, other = (next(Corpus.open(name).documents("all")).text for name in ("babel:tiny", "babel:tiny:3"))
        assert first != other
        assert len({Corpus.open(name).sha256 for name in ("babel", "babel:3", "babel:tiny")}) == 3
        assert sum(1 for _ in Corpus.open("babel", n_documents=7).documents("all")) == 7

    @pytest.mark.parametrize("name", ["babel:tinny", "babel:", "babel:-1"])
    def test_another_word_is_refused(self, name):
        with pytest.raises(ConfigError, match=r"asks babel for .*babel:SEED, or one of babel:tiny, babel:eval"):
            Corpus.open(name)

    def test_a_path_of_that_name_comes_first(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "babel").write_text("mine")
        assert next(Corpus.open("babel").documents("all")).text == "mine"

    def test_its_labels_are_its_own(self):
        corpus = Corpus.open("babel")
        for document in itertools.islice(corpus.documents("all"), 60):
            made = babel_document(0, document.index)
            if made.kind == "python":
                labels = corpus.labelling.byte_labels(document)
                row = list(FAMILIES).index("format")
                assert (labels[row] == 1 + FAMILIES["format"].index("python")).mean() > 0.9
                return
        pytest.fail("no python document")
