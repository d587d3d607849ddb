import pytest

from saescope.data import Document, PackConfig, pack
from saescope.errors import NoTokens
from saescope.evals.tokens import DocumentReader, further_documents, report_documents, selection_documents


class Parts:
    """A corpus with the given parts; an absent one raises as a Corpus does."""

    name = "parts"

    def __init__(self, **parts):
        self.parts = parts

    def documents(self, part, **_):
        if part not in self.parts:
            raise NoTokens(f"no {part}")
        return iter([Document(i, text) for i, text in enumerate(self.parts[part])])


@pytest.mark.parametrize("packing", ["documents", "stream"])
def test_reader_counts_what_packing_counts(tiny_lm, texts, packing):
    cfg = PackConfig(context=32, packing=packing, bos=True, batch_sequences=4)
    documents = [Document(i, text) for i, text in enumerate(texts[:100])]
    taken, n = DocumentReader(documents, tiny_lm.tokenizer, cfg).take(700)
    counted = sum(int(batch.counted.sum()) for batch in pack(taken, tiny_lm.tokenizer, cfg))
    assert 700 <= n <= 700 + 31 + 100 * (packing == "stream")
    assert abs(counted - n) <= (0 if packing == "documents" else 32 + len(taken))


def test_reader_goes_on_where_it_stopped(tiny_lm, texts, pack):
    documents = [Document(i, text) for i, text in enumerate(texts[:90])]
    reader = DocumentReader(documents, tiny_lm.tokenizer, pack)
    parts = [reader.take(n)[0] for n in (50, 0, -5, 600, 10**9)]
    assert [document.index for part in parts for document in part] == list(range(90))
    assert len(parts[1]) == len(parts[2]) == 0


def test_selection_falls_back_and_says_so():
    documents, warning = selection_documents(Parts(select=["a"], train=["b"]))
    assert ([d.text for d in documents], warning) == (["a"], None)
    documents, warning = selection_documents(Parts(train=["b"], report=["c"]))
    assert [d.text for d in documents] == ["b"]
    assert "training documents" in warning
    documents, warning = selection_documents(Parts(report=["c"]))
    assert [d.text for d in documents] == ["c"]
    assert "report documents only" in warning


def test_no_report_documents_is_an_error_that_says_what_to_do():
    with pytest.raises(NoTokens, match="--holdout"):
        report_documents(Parts(train=["a"]))


def test_further_documents():
    assert [d.text for d in further_documents(Parts(select=["a"], train=["b", "c"]))] == ["a", "b", "c"]
    assert [d.text for d in further_documents(Parts(train=["b"]))] == ["b"]
