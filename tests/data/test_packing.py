import pytest
import torch

from saescope.data import Corpus, Document, PackConfig, choose_packing, pack
from saescope.draws import draws
from saescope.errors import ConfigError, NoTokens

BOS = 1


def some_documents(n=200, longest=40, seed=0):
    """Documents of distinct words; every seventh holds a special token in its text."""
    rng = draws(seed, "documents", "test")
    texts = (" ".join("<s>" if j == 4 and i % 7 == 0 else f"w{i}x{j}" for j in range(int(rng.integers(1, longest)))) for i in range(n))
    return [Document(10 * i, text) for i, text in enumerate(texts)]


def config(**changes):
    return PackConfig(**({"context": 16, "packing": "documents", "bos": True, "batch_sequences": 4} | changes))


def sequences(batches):
    """row -> (tokens, documents) without padding."""
    return {
        int(batch.rows[b]): (batch.tokens[b][batch.mask[b]].tolist(), batch.doc_ids[b][batch.mask[b]].tolist())
        for batch in batches
        for b in range(len(batch.rows))
    }


def same(a, b):
    return len(a) == len(b) and all(torch.equal(getattr(x, name), getattr(y, name)) for x, y in zip(a, b, strict=True) for name in vars(x))


@pytest.mark.parametrize("bos", [True, False])
def test_documents_are_whole_sequences_cut_at_the_context(words, bos):
    documents = some_documents()
    rows = sequences(pack(documents, words, config(bos=bos), first_row=7))
    assert sorted(rows) == list(range(7, 7 + len(documents))), "one sequence per document, numbered in their order"
    for row, document in enumerate(documents, 7):
        tokens = ([BOS] if bos else []) + words.encode_batch([document.text])[0]
        assert rows[row] == (tokens[:16], [document.index] * min(16, len(tokens)))


@pytest.mark.parametrize("bos", [True, False])
def test_stream_joins_documents_without_padding(words, bos):
    documents = some_documents()
    batches = list(pack(documents, words, config(packing="stream", bos=bos), first_row=3))
    tokens = [(t, d.index) for d in documents for t in ([BOS] if bos else []) + words.encode_batch([d.text])[0]]
    n = len(tokens) // 16
    assert all(batch.mask.all() and batch.tokens.shape[1] == 16 for batch in batches)
    assert [len(batch.rows) for batch in batches[:-1]] == [4] * (len(batches) - 1)
    rows = sequences(batches)
    assert list(rows) == list(range(3, 3 + n))
    assert [pair for row in rows.values() for pair in zip(*row, strict=True)] == tokens[: 16 * n]


@pytest.mark.parametrize("packing", ["documents", "stream"])
@pytest.mark.parametrize("bos", [True, False])
def test_flags_are_their_definitions(words, packing, bos):
    for batch in pack(some_documents(), words, config(packing=packing, bos=bos)):
        B, P = batch.tokens.shape
        for b in range(B):
            for t in range(P):
                real = bool(batch.doc_ids[b, t] >= 0)
                special = int(batch.tokens[b, t]) in words.special_ids
                following = (
                    t + 1 < P and batch.doc_ids[b, t + 1] == batch.doc_ids[b, t] and int(batch.tokens[b, t + 1]) not in words.special_ids
                )
                assert batch.mask[b, t] == real
                assert batch.counted[b, t] == (real and not special and t > 0)
                assert batch.predicts[b, t] == (real and not special and t > 0 and following)
                assert batch.predicts_with_bos[b, t] == (real and following)


def test_a_loss_never_crosses_a_document_edge(words_without_bos):
    """Without BOS nothing but the documents' numbers tells where one ends."""
    (batch,) = pack([Document(0, "a b c d"), Document(1, "e f g h")], words_without_bos, config(context=8, packing="stream"))
    assert batch.predicts_with_bos.tolist() == [[True, True, True, False, True, True, True, False]]
    assert batch.counted.tolist() == [[False] + [True] * 7]


def test_bos_is_left_out_where_there_is_none(words_without_bos):
    ((tokens, _),) = sequences(pack([Document(0, "a b")], words_without_bos, config(bos=True))).values()
    assert len(tokens) == 2


@pytest.mark.parametrize("packing", ["documents", "stream"])
def test_pack_is_a_pure_function(words, packing):
    documents, cfg = some_documents(1000), config(packing=packing)
    assert same(list(pack(iter(documents), words, cfg)), list(pack(documents, words, cfg)))


def test_batching_changes_neither_sequences_nor_numbers(words):
    documents = some_documents(1000)
    assert sequences(pack(documents, words, config(batch_sequences=4))) == sequences(pack(documents, words, config(batch_sequences=32)))


def test_similar_lengths_share_a_batch(words):
    documents = some_documents(2000)
    batches = list(pack(documents, words, config(context=64, batch_sequences=8)))
    padding = 1 - sum(int(b.mask.sum()) for b in batches) / sum(b.mask.numel() for b in batches)
    assert padding < 0.03
    assert [len(b.rows) for b in batches].count(8) == 250
    lengths = [b.tokens.shape[1] for b in batches[:64]]
    assert lengths not in (sorted(lengths), sorted(lengths, reverse=True)), "a window is not read from short to long"
    rows = torch.cat([b.rows for b in batches[:64]])
    assert sorted(rows.tolist()) == list(range(64 * 8)), "only sequences of one window are mixed"


def test_documents_without_tokens_take_no_row(words):
    rows = sequences(pack([Document(0, "a b"), Document(1, " "), Document(2, "c d")], words, config()))
    assert {row: documents[0] for row, (_, documents) in rows.items()} == {0: 0, 1: 2}


def test_texts_are_encoded_many_at_a_time_but_never_too_many_characters(words):
    calls = []
    encoder = type("Encoder", (), {"bos_id": BOS, "special_ids": words.special_ids})()
    encoder.encode_batch = lambda texts: calls.append(len(texts)) or [[5, 6] for _ in texts]
    list(pack([Document(i, "a b") for i in range(600)], encoder, config()))
    assert calls == [256, 256, 88]
    calls.clear()
    list(pack([Document(i, "x" * 3_000_000) for i in range(5)], encoder, config(packing="stream", context=8)))
    assert calls == [2, 2, 1]


@pytest.mark.parametrize("packing", ["documents", "stream"])
def test_a_long_document_among_short_ones(words, packing):
    documents = [Document(0, "a b c"), Document(1, "word " * 2_000_000), Document(2, "d e f")]
    batches = list(pack(documents, words, config(context=512, packing=packing)))
    assert sum(int(batch.mask.sum()) for batch in batches) == (520 if packing == "documents" else (2_000_009 // 512) * 512)


def test_of_a_long_document_only_the_beginning_is_encoded(words):
    characters = []
    encoder = type("Encoder", (), {"bos_id": BOS, "special_ids": words.special_ids})()
    encoder.encode_batch = lambda texts: characters.extend(map(len, texts)) or words.encode_batch(texts)
    long, long_words = Document(0, "word " * 100_000), Document(1, " ".join(c * 700 for c in "abcdefghijklmnopqrstuvwxyz"))
    rows = sequences(pack([long, long_words], encoder, config()))
    assert characters == [960, 960, len(long_words.text)], "all of it only where the beginning has too few tokens"
    assert [rows[row][0] for row in (0, 1)] == [[BOS, *words.encode_batch([document.text])[0][:15]] for document in (long, long_words)]


def test_stream_shorter_than_one_sequence(words):
    with pytest.raises(NoTokens, match=r"the text has 4 tokens, shorter than one sequence of 16\."):
        list(pack([Document(0, "a b c")], words, config(packing="stream")))


@pytest.mark.parametrize("documents", [[], [Document(0, " ")], [Document(0, "<s> <s>")]])
def test_text_without_a_token_that_counts(words, documents):
    with pytest.raises(NoTokens, match="no token that counts"):
        list(pack(documents, words, config()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"context": 1}, "context=1"), ({"batch_sequences": 0}, "batch_sequences=0"), ({"packing": "rows"}, "'stream'")],
)
def test_bad_configs(changes, message):
    with pytest.raises(ConfigError, match=message):
        config(**changes)


def test_choose_packing_by_what_a_cut_would_drop(tmp_path, words):
    def corpus(*lengths):
        (tmp_path / "a.txt").write_text("\n<|endoftext|>\n".join("word " * n for n in lengths))
        return Corpus.open(tmp_path / "a.txt")

    assert choose_packing(corpus(*[10] * 50), words, 11) == "documents"
    assert choose_packing(corpus(*[10] * 50), words, 9) == "stream"
    assert choose_packing(corpus(*[10] * 50, 60), words, 16) == "documents", "45 of 560 tokens are 8 %"
    assert choose_packing(corpus(*[10] * 50, 80), words, 16) == "stream", "65 of 580 tokens are 11 %"
    assert choose_packing(corpus(*[10] * 200, 10_000), words, 16) == "documents", "only the first 200 documents are asked"


@pytest.fixture(scope="module")
def stories3m(real):
    transformers = pytest.importorskip("transformers")
    tokenizer = pytest.importorskip("saescope.models.tokenizer")
    return tokenizer.Tokenizer(transformers.AutoTokenizer.from_pretrained(real / "models" / "stories3M"))


@pytest.mark.real
def test_tinystories_in_stories3m_tokens(real, stories3m):
    corpus = Corpus.open(real / "text" / "tinystories")
    assert choose_packing(corpus, stories3m, 512) == "documents"
    cfg = PackConfig(context=512, packing="documents", bos=True, batch_sequences=16)
    n_real = n_padded = 0
    for batch in pack(corpus.documents("all"), stories3m, cfg):
        n_real, n_padded = n_real + int(batch.mask.sum()), n_padded + batch.mask.numel()
    assert 1 - n_real / n_padded < 0.02, "padding share"
    stream = PackConfig(context=512, packing="stream", bos=True, batch_sequences=16)
    n_stream = sum(batch.tokens.numel() for batch in pack(corpus.documents("all"), stories3m, stream))
    assert n_stream == (1_804_292 + 8_552) // 512 * 512, "the tokens of all documents, and a BOS before each"
