"""The whole comparison on a tiny model: planted pairs, choices from S alone, JSON, and what cannot be compared."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from saescope import errors
from saescope.data import Document, PackConfig
from saescope.draws import draws
from saescope.evals.before_after import BeforeAfterConfig, before_after
from saescope.evals.before_after_result import BeforeAfter
from saescope.saes.registry import build

AT, D = "blocks.0.resid_pre", 16  # before the first block x is the token's embedding: what fires on a token can be planted
TOPICS = ("sea", "farm", "castle")
WORDS = ({"s", "w", "b"}, {"c", "p", "g"}, {"k", "q", "t"})
CFG = BeforeAfterConfig(texts=6, shown=2, report_tokens=10**6, select_tokens=10**6, random_sets=300, entropy=1)


class Stories:
    """Documents of three topics and of none, each topic with letters of its own; labels are known. Every part has its own seed."""

    name, sha256 = "stories", "0"

    def __init__(self, *, labelled=True, report_seed=2, n=60):
        self.seeds, self.n = {"select": 1, "report": report_seed}, n
        self.families = {"topic": TOPICS, "line": ("first",)} if labelled else {"line": ("first",)}

    @property
    def labelling(self):
        return self

    def documents(self, part, **_):
        rng = draws(self.seeds[part], "stories")
        for i in range(self.n):
            own = sorted(WORDS[i % 4]) if i % 4 < 3 else []
            letters = rng.choice([*"aeio", *own, *own], int(rng.integers(8, 25)))
            yield Document(4 * i + i % 4, " ".join(letters))

    def byte_labels(self, document):
        topic = 0 if document.index % 4 == 3 else 1 + document.index % 4
        labels = np.full((len(self.families), len(document.text.encode())), topic, np.int8)
        labels[-1] = 0
        return labels


class Planted:
    """Latent k < 3 fires on the letters of topic k, latent 3 at random, latent 4 on the letters of all topics, latent 5 never,
    latent 6 in few documents, latent 7 on one token."""

    d_in, d_sae = D, 8

    def __init__(self, lm):
        self.embedding = lm.hf.model.embed_tokens.weight.detach()
        self.tokenizer = lm.tokenizer
        self.topic_of = torch.full((len(self.embedding),), -1)
        for k, letters in enumerate(WORDS):
            for form in (form for letter in letters for form in (letter, f" {letter}")):
                for i in lm.tokenizer.encode(form)[-1:]:
                    self.topic_of[i] = k
        self.one = lm.tokenizer.encode("e")[0]

    def encode(self, x):
        token = torch.cdist(x, self.embedding).argmin(1)
        topic, out = self.topic_of[token], torch.zeros(len(x), self.d_sae)
        noise = torch.from_numpy(draws(3, "planted", len(x), int(token.sum())).random((len(x), self.d_sae)) + 0.1).float()
        for k in range(3):
            out[:, k] = noise[:, k] * (topic == k)
        out[:, 3] = noise[:, 3]
        out[:, 4] = noise[:, 4] * (topic >= 0)
        out[:, 6] = noise[:, 6] * (token == self.tokenizer.encode("q")[0]) * (noise[:, 0] > 1)
        out[:, 7] = noise[:, 7] * (token == self.one)
        return out

    def decode(self, latents):
        raise AssertionError("nobody reads the reconstruction")


@pytest.fixture(scope="module")
def pack():
    return PackConfig(context=32, packing="documents", bos=True, batch_sequences=8)


@pytest.fixture(scope="module")
def compare(tiny_lm, pack):
    def run(corpus=None, sae=None, at=AT, packing=pack, **changes):
        return before_after(sae or Planted(tiny_lm), tiny_lm, at, corpus or Stories(), replace(CFG, **changes), pack=packing)

    return run


def row(result, name):
    return next(measure for measure in result.measures if measure.name.startswith(name))


def test_a_planted_topic_agrees_and_chance_does_not(compare):
    got = compare(neuron=0, feature=1)
    assert row(got, "topic κ").feature.value == 1
    assert row(got, "topic N_eff").feature.value == pytest.approx(1)
    assert row(got, "topic κ").feature.z > 3
    assert got.feature.modal == "topic:farm"
    assert got.feature.modal_share == 1
    assert [text.label for text in got.feature.texts] == ["topic:farm"] * 2
    for measure in compare(neuron=0, feature=3).measures:
        assert abs(measure.feature.z) < 3, measure.name


def test_the_pair_stands_among_all(compare):
    got = compare(neuron=0, feature=1)
    assert (got.neurons.n, got.latents.n) == (D, 8)
    assert (got.latents.n_silent, got.latents.n_few, got.latents.n_measured) == (1, 1, 6)
    kappa = row(got, "topic κ")
    assert kappa.feature.among_latents == pytest.approx((3 + 3 / 2) / 6)  # the three topics are alike, above the other three
    assert kappa.neurons < kappa.latents
    assert got.provenance["n_documents"] == 60


def test_texts_are_the_strongest_and_carry_their_activations(compare):
    got = compare(neuron=0, feature=1)
    assert [len(column.texts) for column in (got.neuron, got.feature, got.random)] == [2, 2, 2]
    read = {document.index: document.text for document in Stories().documents("report")}
    peaks = [text.acts[text.peak_at] for text in got.feature.texts]
    assert peaks == sorted(peaks, reverse=True)
    for text in got.feature.texts:
        assert text.acts[text.peak_at] == max(text.acts)
        view = text.view()
        assert view.tokens[view.peak_at].decode().strip() in WORDS[1]
        assert read[text.doc].startswith(b"".join(view.tokens[len(view.specials) :]).decode())
    assert not any(any(text.acts) for text in got.random.texts)
    assert len({text.doc for text in got.random.texts}) == 2


def test_what_is_not_given_is_chosen_on_s(compare):
    """Other report documents: other numbers, the same pair. Without labels too."""
    for labelled in (True, False):
        first, second = (compare(Stories(labelled=labelled, report_seed=seed)) for seed in (2, 7))
        assert (first.neuron.id, first.feature.id) == (second.neuron.id, second.feature.id)
        assert (first.neuron.how, first.feature.how) == (second.neuron.how, second.feature.how)
        assert first.measures != second.measures
        assert ("N_eff" if labelled else "resemble each other least") in first.neuron.how
        assert first.feature.id in (0, 1, 2, 3, 4)  # neither few documents nor one token
    given = compare(feature=2)
    assert given.neuron.id == compare().neuron.id
    assert given.feature.how == "given"


def test_a_text_without_selection_documents_is_said_to_have_none(compare):
    class Whole(Stories):
        def documents(self, part, **_):
            if part == "select":
                raise errors.NoTokens("none")
            return super().documents("report")

    got = compare(Whole())
    assert got.warnings == (
        "the text has no selection documents: the pair was chosen on training documents, or on the report documents themselves",
    )
    assert got.warnings[0] in got.view().notes
    assert compare(Whole(), neuron=0, feature=1).warnings == ()


def test_the_feature_is_the_most_correlated_one(compare, tiny_lm):
    got, sae = compare(neuron=5), Planted(tiny_lm)
    xs, fs = [], []
    for document in Stories().documents("select"):
        ids = torch.tensor([tiny_lm.tokenizer.bos_id, *tiny_lm.tokenizer.encode(document.text)])[:32]
        x = sae.embedding[ids][1:]
        token = ids[1:]
        xs.append(x[:, 5])
        fs.append(torch.stack([*((sae.topic_of[token] == k).float() for k in range(3)), (sae.topic_of[token] >= 0).float()], 1))
    r = np.corrcoef(torch.cat([torch.cat(xs)[:, None], torch.cat(fs)], 1).numpy().T)[0, 1:]
    assert got.feature.id == (0, 1, 2, 4)[int(r.argmax())]


def test_without_labels_there_is_one_measure(compare):
    got = compare(Stories(labelled=False), neuron=0, feature=1)
    assert [measure.name for measure in got.measures] == ["similarity"]
    assert got.measures[0].feature.z > 3
    assert got.feature.modal == ""
    assert got.feature.view().labels == ()


def test_batches_change_nothing(compare, pack):
    """At a hook point where every token has its own activations, of an SAE."""
    sae = build("topk", 32, 40, {"k": 4})
    first, second = (
        compare(sae=sae, at="blocks.1.mlp_post", packing=replace(pack, batch_sequences=n), neuron=3, feature=None) for n in (3, 8)
    )
    assert first.feature.id == second.feature.id
    assert [text.doc for text in first.feature.texts] == [text.doc for text in second.feature.texts]
    for a, b in zip(first.measures, second.measures, strict=True):
        assert a.feature.value == pytest.approx(b.feature.value)
        assert a.latents == pytest.approx(b.latents)
        assert a.random == pytest.approx(b.random)


def test_json_round_trip(compare, tmp_path):
    got = compare()
    path = got.save(tmp_path / "a" / "b")
    assert BeforeAfter.load(path.parent) == got
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert raw["schema"] == "saescope.before-after/1"
    assert raw == json.loads(json.dumps(got.to_json(), allow_nan=False))
    assert compare().to_json() == got.to_json()


def test_files_that_are_something_else(compare, tmp_path):
    with pytest.raises(errors.NotAnArtifact, match="saescope before-after"):
        BeforeAfter.load(tmp_path)
    path = compare(neuron=0, feature=0).save(tmp_path)
    whole = json.loads(path.read_text())
    for change, error in (
        ({"schema": "saescope.before-after/2"}, errors.NewerSchema),
        ({"schema": "saescope.eval/1"}, errors.NotAnArtifact),
        ({"measures": 3}, errors.CorruptArtifact),
    ):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(error):
            BeforeAfter.load(tmp_path)


def test_progress(tiny_lm, pack):
    seen = []
    before_after(Planted(tiny_lm), tiny_lm, AT, Stories(), CFG, pack=pack, progress=lambda *step: seen.append(step))
    assert list(dict.fromkeys(part for part, _, _ in seen)) == ["neuron", "feature", "texts"]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"neuron": 16}, errors.ConfigError, r"neuron=16 does not exist: blocks.0.resid_pre of .* has 16 of them, 0 to 15.*--neuron"),
        ({"neuron": -1}, errors.ConfigError, "neuron=-1 does not exist"),
        ({"feature": 8}, errors.ConfigError, "feature=8 does not exist: the SAE has 8 of them, 0 to 7.*--feature"),
        ({"neuron": 0, "feature": 5}, errors.ConfigError, "feature 5 is dead: .* nowhere in the 60 report documents"),
        ({"neuron": 0, "feature": 6}, errors.ConfigError, r"feature 6 is positive in \d of the 60 report documents.* 6 texts .*--texts"),
        ({"neuron": 0, "feature": 0, "texts": 61}, errors.NoTokens, "60 report documents, but 61 texts .*--holdout.*--texts"),
        ({"texts": 61}, errors.NoTokens, "there are 60 selection documents, but 61 texts .*--neuron"),
        ({"neuron": 0, "entropy": 9.0}, errors.NoTokens, r"6 of 8 latents fire in 6 of the 60 selection documents.*more than 9 bits"),
        ({"neuron": 0, "feature": 1, "at": "blocks.0.mlp_post"}, errors.WidthMismatch, "32 wide"),
    ],
)
def test_what_cannot_be_compared(compare, changes, error, said):
    with pytest.raises(error, match=said):
        compare(**changes)


@pytest.mark.parametrize("bad", [{"texts": 1}, {"shown": 0}, {"report_tokens": 0}, {"select_tokens": 0}, {"random_sets": 1}])
def test_sizes_that_make_no_sense(bad):
    with pytest.raises(errors.ConfigError, match=next(iter(bad))):
        BeforeAfterConfig(**bad)
