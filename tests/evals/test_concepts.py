"""Table H and what is read from it, on chunks whose labels and activations are known."""

import json
import math
from dataclasses import fields, replace

import pytest
import torch

from saescope import errors
from saescope.data import Corpus
from saescope.data.labels import Labeller
from saescope.data.packing import pack as packed
from saescope.draws import draws
from saescope.evals.concept_scores import at_edge, best_labels, figures, find_concepts, find_edges, purest_labels
from saescope.evals.concept_table import BINS, LOWER, Classes, ConceptTable, bin_of
from saescope.evals.concept_tokens import Chosen, DistinctTokens, TokenClasses, TokenLabels, TopTexts, token_rule
from saescope.evals.concepts import ConceptConfig, concepts, neuron_row
from saescope.evals.sparsity import Firing
from saescope.evals.tokens import DocumentReader, report_documents
from saescope.saes.storage import sae_sha256
from saescope.saes.topk import TopKConfig, TopKSAE

AT = "blocks.1.mlp_post"
FAMILIES = {"script": ("latin", "arabic", "hebrew"), "quote": ("quote",)}
NONE, LATIN, ARABIC, HEBREW, NO_QUOTE, QUOTE = range(6)
CLASSES = Classes(FAMILIES)


@pytest.fixture
def labels():
    """6,000 tokens: 3 % arabic, 3 % hebrew, the rest latin or none; a fifth in quotes; 1 % undecided in each family."""
    generator = torch.Generator().manual_seed(1)
    script = torch.rand(6000, generator=generator)
    script = torch.where(script < 0.03, 2, torch.where(script < 0.06, 3, (script < 0.8).long()))
    quote = (torch.rand(6000, generator=generator) < 0.2).long()
    both = torch.stack([script, quote], 1).to(torch.int8)
    both[torch.rand(6000, 2, generator=generator) < 0.01] = -1
    return both


@pytest.fixture
def labelled(chunk):
    """labelled(latents, labels): a chunk, tokens numbered modulo 97, in documents and sequences of 50."""

    def make(latents, labels, **changes):
        numbers = torch.arange(len(latents))
        made = chunk(torch.zeros(len(latents), 2), latents=latents, doc_ids=numbers // 50)
        return replace(made, tokens=numbers % 97, rows=numbers // 50, positions=numbers % 50, labels=labels, **changes)

    return make


def table_of(*chunks, max_F=None) -> ConceptTable:
    firing = Firing(chunks[0].code.d_sae)
    for one in chunks:
        firing.add(one)
    table = ConceptTable(CLASSES, firing.max_F if max_F is None else max_F)
    for one in chunks:
        table.add(one)
    return table


def one_hot(labels) -> torch.Tensor:
    """Latent j is on where a token has the j-th label: latin, arabic, hebrew, quote."""
    return torch.stack([labels[:, 0] == 1, labels[:, 0] == 2, labels[:, 0] == 3, labels[:, 1] == 1], 1).float()


def test_the_table_is_what_counting_one_by_one_gives(labelled, labels, normal):
    latents = normal(6000, 5).relu() * torch.tensor([1.0, 3, 0.1, 1, 1])
    latents[:, 4] = 0
    counted = torch.arange(6000) % 50 > 0
    table = table_of(labelled(latents, labels, counted=counted))
    expected, mass = torch.zeros(5, BINS, 6, dtype=torch.int32), torch.zeros(5, 6, dtype=torch.float64)
    edges = torch.tensor([*LOWER[1:], 1.0])
    for i in range(5):
        where = (latents[:, i] > 0) & counted
        top = latents[where, i].max() if where.any() else 1.0
        for t in where.nonzero().flatten().tolist():
            b = int((latents[t, i] / top > edges).sum())
            for start, label in zip((0, 4), labels[t].tolist(), strict=True):
                if label >= 0:
                    expected[i, b, start + label] += 1
                    mass[i, start + label] += latents[t, i].double()
    assert torch.equal(table.H_FBC, expected)
    torch.testing.assert_close(table.A_FC, mass)
    assert table.n_C.tolist() == [int(((labels[:, f] == j) & counted).sum()) for f, j in ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1))]


def test_bins_are_open_below_and_closed_above():
    assert [round(1 / low, 3) for low in LOWER[1:6]] == [176, 88, 44, 22, 11]
    at = torch.tensor([0.001, *LOWER[1:], 1.0, 7.0])
    assert bin_of(at, torch.ones(len(at))).tolist() == [0, *range(BINS - 1), BINS - 1, BINS - 1]
    assert bin_of(at * 1.001, torch.ones(len(at))).tolist()[1:-2] == list(range(1, BINS))
    assert bin_of(torch.ones(1), torch.zeros(1)).tolist() == [BINS - 1]  # never on where the maximum was taken


def test_one_hot_labels_are_pure(labelled, labels):
    table = table_of(labelled(one_hot(labels), labels))
    assert best_labels(table).tolist() == purest_labels(table).tolist() == [LATIN, ARABIC, HEBREW, QUOTE]
    got = figures(table, torch.arange(4), best_labels(table))
    for numbers in (got.precision, got.recall, got.purity, got.p_mass, got.n_eff):
        assert torch.equal(numbers, torch.ones(4, dtype=torch.float64))
    assert float(got.base[1]) == int(table.n_C[ARABIC]) / int(table.n_C[:4].sum())
    assert find_concepts(table)[[LATIN, ARABIC, HEBREW, QUOTE]].tolist() == [0, 1, 2, 3]
    assert find_concepts(table)[[NONE, NO_QUOTE]].tolist() == [-1, -1]  # "none" is no label


def test_permuted_labels_are_not(labelled, labels, normal):
    strength = one_hot(labels) * (0.2 + normal(6000, 4).abs())
    order = torch.argsort(normal(6000))
    table = table_of(labelled(strength, labels[order]))
    got = figures(table, torch.arange(4), purest_labels(table))
    assert got.purity.nanmean() < 0.06
    assert got.purity.max() < 0.15
    assert got.n_eff.min() > 1.5


def test_an_equal_union_of_two_rare_labels_is_half_pure(labelled, labels):
    union = ((labels[:, 0] == 2) | (labels[:, 0] == 3)).float()[:, None]
    table = table_of(labelled(union, labels))
    got = figures(table, torch.arange(1), purest_labels(table))
    assert float(got.purity) == pytest.approx(0.5, abs=0.05)
    assert float(got.n_eff) == pytest.approx(2, abs=1e-6)
    assert got.recall == 1


def test_purity_is_the_mean_of_kappa_over_intervals_with_ten_tokens(labelled):
    """Three intervals: weak ones half arabic, strong ones all, and nine of the strongest, which are too few to count."""
    labels = torch.zeros(1000, 2, dtype=torch.int8)
    labels[:100, 0] = 2
    latents = torch.zeros(1000, 1)
    latents[60:140] = 0.05  # 40 of 80 are arabic
    latents[:51] = 0.5
    latents[51:60] = 1.0
    table = table_of(labelled(latents, labels))
    got = figures(table, torch.tensor([0]), torch.tensor([ARABIC]))
    base = 0.1
    assert float(got.purity) == pytest.approx(((0.5 - base) / (1 - base) + 1) / 2)
    assert got.n[0].tolist() == [80, 0, 0, 0, 0, 51, 0, 0, 0, 0, 9]
    assert got.share[0, [0, 5, 10]].tolist() == [0.5, 1, 1]
    assert got.share[0, 1].isnan()
    assert float(got.precision) == pytest.approx(100 / 140)
    assert int(got.active) == 140
    assert float(got.p_mass) == pytest.approx((40 * 0.05 + 51 * 0.5 + 9) / (80 * 0.05 + 51 * 0.5 + 9))


def test_the_narrower_of_two_labels_names_a_latent(labelled, labels):
    """All hebrew is in quotes: a hebrew latent is as purely quotes, and purer still where a few of its tokens are not hebrew."""
    labels = labels.clamp_min(0)
    labels[labels[:, 0] == 3, 1] = 1
    hebrew, quote = labels[:, 0] == 3, labels[:, 1] == 1
    latents = (hebrew | (quote & (torch.arange(6000) % 100 == 0))).float()[:, None]
    table = table_of(labelled(latents, labels))
    assert purest_labels(table).tolist() == [QUOTE]
    assert best_labels(table).tolist() == [HEBREW]


def test_a_label_that_is_no_more_frequent_than_in_the_text_names_nothing(labelled, labels):
    table = table_of(labelled((labels[:, 0] != 1).float()[:, None] + 1, labels), max_F=torch.tensor([2.0]))
    assert best_labels(table).tolist() == [-1]  # always on: every precision is its base


def test_a_latent_that_hardly_fires_has_no_label(labelled, labels):
    latents = one_hot(labels)
    latents[:, 1] = 0
    latents[:9, 1] = 1.0
    latents[:, 2] = 0
    table = table_of(labelled(latents, labels))
    assert best_labels(table).tolist() == purest_labels(table).tolist() == [LATIN, -1, -1, QUOTE]
    got = figures(table, torch.arange(4), best_labels(table))
    assert got.purity.isnan().tolist() == [False, True, True, False]
    assert got.precision.isnan().tolist() == [False, True, True, False]


def test_undecided_tokens_leave_the_counts_of_their_family_only(labelled, labels):
    latents = one_hot(labels)
    ignored = labels.clone()
    ignored[(labels[:, 0] == 2) & (torch.arange(6000) % 2 == 0), 0] = -1
    table, whole = table_of(labelled(latents, ignored)), table_of(labelled(latents, labels))
    n_arabic = int(((labels[:, 0] == 2) & (torch.arange(6000) % 2 == 1)).sum())
    assert table.n_C[ARABIC] == table.H_FBC[1, :, :4].sum() == n_arabic < whole.n_C[ARABIC]
    assert torch.equal(table.H_FBC[..., 4:], whole.H_FBC[..., 4:])
    assert torch.equal(table.n_C[4:], whole.n_C[4:])
    assert figures(table, torch.tensor([1]), torch.tensor([ARABIC])).recall == 1


def test_halves_merged_are_one_pass(labelled, labels, normal):
    latents = normal(6000, 4).relu()
    whole = labelled(latents, labels)
    first, second = (cut(whole, part) for part in (slice(0, 2500), slice(2500, 6000)))
    largest = latents.amax(0)
    merged, rest = table_of(first, max_F=largest), table_of(second, max_F=largest)
    merged.merge(rest)
    once = table_of(whole, max_F=largest)
    assert torch.equal(merged.H_FBC, once.H_FBC)
    assert torch.equal(merged.n_C, once.n_C)
    torch.testing.assert_close(merged.A_FC, once.A_FC, rtol=1e-12, atol=0)
    chosen = Chosen(torch.tensor([1, 3]), 4)
    for make in (lambda: TopTexts(chosen, 5), lambda: DistinctTokens(chosen, 97), lambda: TokenClasses(CLASSES, 97), TokenLabels):
        one, a, b = make(), make(), make()
        one.add(whole)
        a.add(first)
        b.add(second)
        b.merge(a)
        for x, y in zip(tensors(one.result()), tensors(b.result()), strict=True):
            assert torch.equal(x, y)


def cut(whole, part):
    columns = {field.name: getattr(whole, field.name)[part] for field in fields(whole) if field.name != "code"}
    kept = (whole.code.token >= part.start) & (whole.code.token < part.stop)
    code = replace(
        whole.code,
        token=whole.code.token[kept] - part.start,
        latent=whole.code.latent[kept],
        value=whole.code.value[kept],
        n_tokens=part.stop - part.start,
    )
    return replace(whole, **columns, code=code)


def tensors(result):
    if isinstance(result, TokenClasses):
        return [result.n_VC]
    if isinstance(result, TokenLabels):
        return [*result._parts[0]]
    return [result] if isinstance(result, torch.Tensor) else result


def test_found_is_the_most_recalling_of_the_precise(labelled, labels):
    arabic, hebrew = labels[:, 0] == 2, labels[:, 0] == 3
    some = torch.arange(6000) % 4
    latents = torch.stack(
        [
            arabic & (some == 0),  # precise, recall 1/4
            arabic & (some > 0),  # precise, recall 3/4
            arabic | hebrew | (some == 0),  # recall 1, precision low
            hebrew & (some == 1) | arabic & (some == 2) | (labels[:, 0] == 1) & (some == 3) & (torch.arange(6000) % 100 == 3),
        ],
        1,
    ).float()
    table = table_of(labelled(latents, labels))
    assert find_concepts(table)[ARABIC] == 1
    assert find_concepts(table)[HEBREW] == 3  # none is precise enough: the most precise one
    latents = latents[:, :1] * 0
    assert find_concepts(table_of(labelled(latents, labels), max_F=torch.ones(1))).tolist() == [-1] * 6


def test_the_best_edge_cuts_what_is_weak(labelled, labels):
    arabic = labels[:, 0] == 2
    latents = torch.where(arabic, 1.0, 0.3)[:, None]
    table = table_of(labelled(latents, labels))
    latent, first_bin = (int(part[ARABIC]) for part in find_edges(table))
    assert latent == 0
    assert 0.3 <= LOWER[first_bin] < 1
    assert at_edge(table, 0, first_bin, ARABIC) == (1, 1)
    precision, recall = at_edge(table, 0, 0, ARABIC)
    assert precision == pytest.approx(float(table.base_C[ARABIC]))
    assert recall == 1


def test_the_token_rule_is_chosen_on_one_text_and_measured_on_another(labelled, labels, chunk):
    """Entry 7 is always arabic, 8 three times in four, 9 once in four."""
    tokens = torch.tensor([7] * 40 + [8] * 40 + [9] * 40 + [1] * 880)
    arabic = torch.zeros(1000, dtype=torch.bool)
    arabic[:40], arabic[40:70], arabic[80:90] = True, True, True

    def counts(arabic):
        labels = torch.stack([arabic.long() * 2, torch.zeros(1000, dtype=torch.long)], 1)
        words = TokenClasses(CLASSES, 20)
        words.add(replace(chunk(torch.ones(1000, 1)), tokens=tokens, labels=labels))
        return words

    select = counts(arabic)
    for recall, n, precision in ((0.3, 1, 1.0), (0.6, 2, 70 / 80), (1.0, 3, 80 / 120)):
        rule = token_rule(select, select, ARABIC, recall)
        assert (rule.n_tokens, rule.precision) == (n, pytest.approx(precision))
        assert rule.recall >= recall
    elsewhere = counts(arabic.flip(0))  # R: only entry 1 is ever arabic, which S knows nothing of
    rule = token_rule(select, elsewhere, ARABIC, 0.6)
    assert (rule.n_tokens, rule.precision, rule.recall) == (2, 0, 0)
    assert [counts.tolist()[1] for counts in select.of(ARABIC)] == [880, 0]


def test_top_texts_are_those_of_the_dense_code(labelled, labels, normal):
    latents = normal(6000, 6).relu().mul(4).round() / 4  # many ties
    whole = labelled(latents, labels)
    chosen = Chosen(torch.tensor([5, 2]), 6)
    texts = TopTexts(chosen, 7)
    for start in range(0, 6000, 970):
        texts.add(cut(whole, slice(start, min(start + 970, 6000))))
    for latent, peaks in zip((5, 2), texts.result(), strict=True):
        by_document = latents[:, latent].view(120, 50)
        strongest = by_document.amax(1)
        docs = sorted(range(120), key=lambda doc: (-strongest[doc], doc))[:7]
        assert peaks.tolist() == [doc << 32 | int(by_document[doc].argmax()) for doc in docs]


def test_a_label_is_looked_for_within_16_tokens_of_the_same_text(labelled):
    labels = torch.zeros(200, 2, dtype=torch.int8)
    labels[60, 0] = 2  # document 1, position 10
    around = TokenLabels()
    whole = labelled(torch.ones(200, 1), labels)
    for start in (100, 0):  # in any order
        around.add(cut(whole, slice(start, start + 100)))
    around.result()
    peaks = torch.tensor([1 << 32 | 26, 1 << 32 | 27, 1 << 32 | 0, 0 << 32 | 49, 3 << 32 | 49])
    assert around.near(peaks, 0, 2).tolist() == [True, False, True, False, False]
    assert not around.near(peaks, 0, 1).any()
    joined = TokenLabels()  # two documents in one sequence: the label is on the last token of the first
    joined.add(replace(whole, rows=torch.zeros(200, dtype=torch.long), positions=torch.arange(200), doc_ids=torch.arange(200) // 61))
    assert joined.result().near(torch.tensor([59, 61]), 0, 2).tolist() == [True, False]


def test_labels_are_found_by_name():
    assert CLASSES.find("arabic") == CLASSES.find("script:arabic") == CLASSES.find("script: arabic") == ARABIC
    with pytest.raises(
        errors.ConfigError, match=r"'arabik' is no label of this text. Did you mean 'arabic'.*Labels: script:latin, script:arabic"
    ):
        CLASSES.find("arabik")
    with pytest.raises(errors.ConfigError, match="'none' is no label"):
        CLASSES.find("none")
    both = Classes({"script": ("arabic",), "source": ("arabic", "legal")})
    with pytest.raises(errors.ConfigError, match="Say which: script:arabic or source:arabic"):
        both.find("arabic")
    assert both.name(both.find("source:arabic")) == ("source", "arabic")


HEBREW_WORDS = ["שלום", "בית", "ספר", "ילד"]


def write_texts(path, n, seed, *, hebrew=True):
    """Documents of English words; every fourth one is Hebrew."""
    rng = draws(seed, "concept texts")
    english = ["the", "and", "in", "on", "there", "hand", "other"]
    words = [HEBREW_WORDS if hebrew and i % 4 == 3 else english for i in range(n)]
    path.write_text("\n<|endoftext|>\n".join(" ".join(rng.choice(w, rng.integers(3, 8))) for w in words), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def searched(tiny_lm, pack, tmp_path_factory):
    """The tiny model's own coordinates and a random SAE, on one text with two different report parts."""
    folder = tmp_path_factory.mktemp("concepts")
    text = write_texts(folder / "text.txt", 900, 0)
    rows = {"sae": TopKSAE(32, 48, TopKConfig(k=5))}
    reports, corpora = {}, {}
    for name, hebrew in (("mixed", True), ("english", False)):
        held = write_texts(folder / f"{name}.txt", 60, 1, hebrew=hebrew)
        corpora[name] = corpus = Corpus.open(text, holdout=str(held))
        rows["neurons"] = neuron_row(tiny_lm, AT, corpus, pack)
        reports[name] = concepts(rows, tiny_lm, AT, corpus, ConceptConfig(select_tokens=400, report_tokens=700, top_texts=6), pack=pack)
    return rows, reports, corpora


def choices(found):
    return found.latent, found.edge.latent, found.edge.first_bin, found.select_f1


def test_every_choice_is_made_on_s_and_every_number_is_of_r(searched):
    _, reports, _ = searched
    mixed, english = reports["mixed"], reports["english"]
    for name in ("sae", "neurons"):
        a, b = mixed.rows[name], english.rows[name]
        assert torch.equal(a.best, b.best)
        assert torch.equal(a.purest, b.purest)
        assert {c: choices(f) for c, f in a.found.items()} == {c: choices(f) for c, f in b.found.items()}
        assert not torch.equal(a.figures.precision.nan_to_num(), b.figures.precision.nan_to_num())
        assert mixed.strongest(name) == english.strongest(name)
    hebrew = mixed.classes.find("hebrew")
    assert mixed.n[hebrew] > 0
    assert english.n[hebrew] == 0
    found = {name: report.rows["sae"].found[hebrew] for name, report in reports.items()}
    assert found["mixed"].recall > 0
    assert (found["english"].precision, found["english"].texts_with) == (0, 0)
    assert mixed.rules[hebrew].recall > 0
    assert math.isnan(english.rules[hebrew].recall)
    assert english.to_json()["labels"][mixed.classes.labels.index(hebrew)]["rows"]["sae"]["recall"] is None
    assert {c: r.n_tokens for c, r in mixed.rules.items()} == {c: r.n_tokens for c, r in english.rules.items()}


def test_the_numbers_are_those_of_the_dense_code(searched, tiny_lm, pack):
    rows, reports, corpora = searched
    report, corpus = reports["mixed"], corpora["mixed"]
    latents, labels, ids, labeller = [], [], [], Labeller(corpus.labelling, tiny_lm.tokenizer)
    documents = DocumentReader(report_documents(corpus), tiny_lm.tokenizer, pack).take(700)[0]
    for batch in packed(labeller.watch(documents), tiny_lm.tokenizer, pack):
        x = tiny_lm.run(batch.tokens, mask=batch.mask, read=[tiny_lm.resolve(AT)]).acts[tiny_lm.resolve(AT)]
        latents.append(rows["sae"].encode(x[batch.counted]).detach())
        labels.append(labeller(batch)[batch.counted])
        ids.append(batch.tokens[batch.counted])
    latents, labels, ids = torch.cat(latents), torch.cat(labels), torch.cat(ids)
    assert report.provenance["n_tokens_report"] == len(ids)
    script = list(corpus.labelling.families).index("script")
    hebrew = labels[:, script] == 1 + corpus.labelling.families["script"].index("hebrew")
    found = report.rows["sae"].found[report.classes.find("hebrew")]
    on, decided = latents[:, found.latent] != 0, labels[:, script] >= 0
    assert report.n[report.classes.find("hebrew")] == hebrew.sum()
    assert found.active == (on & decided).sum()
    assert found.precision == pytest.approx(int((on & hebrew).sum()) / int((on & decided).sum()))
    assert found.recall == pytest.approx(int((on & hebrew).sum()) / int(hebrew.sum()))
    assert found.distinct_tokens == len(ids[on].unique())
    assert 0 < found.texts_with <= found.texts <= 6


def test_a_report_speaks_json_and_tables(searched, tmp_path):
    rows, reports, _ = searched
    report = reports["mixed"]
    saved = json.loads(report.save(tmp_path / "out").read_text())
    assert saved["schema"] == "saescope.concepts/1"
    assert saved["provenance"]["sae_sha256"] == sae_sha256(rows["sae"])
    assert [(label["family"], label["label"]) for label in saved["labels"]] == [report.classes.name(c) for c in report.classes.labels]
    for row in saved["rows"].values():
        assert 0 <= row["purity"] <= 1
        assert row["n_measured"] + row["n_unmeasured"] <= row["n_latents"]
    columns = report.columns("sae")
    assert len(columns["feature"]) == len(columns["n"]) == 48
    assert [label for label in columns["label"] if label is not None]


def test_negative_halves_have_a_name(searched):
    rows, reports, _ = searched
    assert rows["neurons"].signed
    row = reports["mixed"].rows["neurons"]
    assert (row.name(3), row.name(32 + 3), reports["mixed"].rows["sae"].name(35)) == ("3", "−3", "35")


def test_coordinates_that_are_never_negative_are_not_halved(pack, corpus):
    import tiny

    row = neuron_row(tiny.tiny_lm("gpt2", activation_function="relu"), "blocks.0.mlp_post", corpus, pack)
    assert (row.signed, row.d_sae) == (False, 32)


def test_given_maxima_are_taken(searched, tiny_lm, pack, corpus):
    rows, _, _ = searched
    parts = []
    cfg = ConceptConfig(select_tokens=100, report_tokens=100)
    sae = {"sae": rows["sae"]}
    concepts(sae, tiny_lm, AT, corpus, cfg, pack=pack, progress=lambda part, done, n: parts.append(part))
    assert list(dict.fromkeys(parts)) == ["maxima", "select", "report"]
    parts.clear()
    largest = {"sae": torch.full((48,), 1e-6)}
    report = concepts(sae, tiny_lm, AT, corpus, cfg, pack=pack, largest=largest, progress=lambda part, done, n: parts.append(part))
    assert list(dict.fromkeys(parts)) == ["select", "report"]
    assert report.rows["sae"].figures.n[:, :-1].sum() == 0  # everything is larger than that: in the top interval


def test_mistakes_say_what_was_expected(searched, tiny_lm, pack, corpus):
    with pytest.raises(errors.WidthMismatch, match=r"row 'sae' reads d_in=8, but blocks\.1\.mlp_post of .* is 32 wide"):
        concepts({"sae": TopKSAE(8, 16, TopKConfig(k=2))}, tiny_lm, AT, corpus, ConceptConfig(), pack=pack)
    with pytest.raises(errors.ConfigError, match="report_tokens=0 leaves nothing to look at"):
        ConceptConfig(report_tokens=0)
