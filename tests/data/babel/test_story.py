"""Stories: what their labels say holds in their text, their topic is in the context, and their sentences do not repeat."""

import re
from collections import Counter, defaultdict

import pytest

from saescope.data.babel import grammar, sentences, words, words_topics, words_verbs
from saescope.data.babel.draw import Draw
from saescope.data.babel.families import LABELS, MOODS, TOPICS
from saescope.data.babel.page import Page
from saescope.data.babel.story import write_story
from saescope.data.babel.words_topics import story_topic


def _story(i: int, size: int = 800) -> Page:
    page = Page()
    write_story(page, Draw(5, i), size)
    return page


def _labelled(page: Page, family: str, label: str | None = None) -> list[tuple[str, str]]:
    """(label, text) of the spans of a family, in the order of the text."""
    raw = page.text().encode()
    spans = sorted(page.spans())
    return [(LABELS[n][1], raw[a:b].decode()) for a, b, n in spans if LABELS[n][0] == family and label in (None, LABELS[n][1])]


@pytest.fixture(scope="module")
def stories() -> list[Page]:
    return [_story(i, 200 + 137 * i % 1300) for i in range(200)]


def test_lists_are_disjoint_and_long_enough() -> None:
    assert [len(set(nouns)) for nouns in words_topics.TOPIC_WORDS.values()] == [40] * 12
    assert len(words_topics.topic_of_word()) == 2 * 480, "a form stands in two lists, or a plural is its singular"
    assert len({*words.FEMALE, *words.MALE}) == len(words.FEMALE) + len(words.MALE) >= 150
    assert len({*words_verbs.TRANSITIVE, *words_verbs.INTRANSITIVE}) >= 80
    for by_mood in (words.ADJECTIVES, words.ADVERBS):
        assert len({word for mood in MOODS for word in by_mood[mood]}) >= 90


def test_no_other_word_of_the_stories_is_a_topic_word() -> None:
    known = words_topics.topic_of_word()
    shared = [grammar.SLOTS[name] for name in grammar.SLOTS if name not in grammar.NOUN_SLOTS]
    pools = [grammar.base_pools(t, m, tense) for t in TOPICS for m in MOODS for tense in ("past", "present")]
    written = {piece.strip().lower() for pool in pools for slot in shared for entry in pool[slot] for piece in entry[0]}
    fixed = " ".join(value for name, value in vars(sentences).items() if name.isupper())
    written |= set(re.findall(r"[a-z]+", re.sub(r"/\w|\$\w+", " ", fixed.lower()))) | {n.lower() for n in words.FEMALE + words.MALE}
    assert not written & set(known)


@pytest.mark.parametrize(
    ("noun", "form"), [("ship", "ships"), ("leaf", "leaves"), ("cherry", "cherries"), ("donkey", "donkeys"), ("torch", "torches")]
)
def test_plurals(noun: str, form: str) -> None:
    assert words_topics.plural(noun) == form


@pytest.mark.parametrize(
    ("verb", "then", "now"),
    [("stop", "stopped", "stops"), ("carry", "carried", "carries"), ("find", "found", "finds"), ("open", "opened", "opens")],
)
def test_verb_forms(verb: str, then: str, now: str) -> None:
    assert (words_verbs.past(verb), words_verbs.third(verb)) == (then, now)


@pytest.mark.parametrize(
    ("text", "topic"),
    [("The Sailor saw two SHIPS.", "sea"), ("one ship", None), ("ship ship", "sea"), ("a ship, a sailor, a cow, a pig", None), ("", None),
     ("shipping sailors", None), ("a cow, two geese, one ship", "farm")],
)  # fmt: skip
def test_topic_of_a_text(text: str, topic: str | None) -> None:
    assert story_topic(text) == topic


def test_a_story_is_a_function_of_its_draws() -> None:
    assert _story(3).text() == _story(3).text() != _story(4).text()


def test_size_topic_and_mood(stories: list[Page]) -> None:
    seen = set()
    for page in stories:
        text = page.text()
        assert 200 <= len(text) <= 2000
        assert text.isascii()
        assert not text.endswith("\n")
        assert "  " not in text
        whole = [LABELS[n] for a, b, n in page.spans() if (a, b) == (0, len(text))]
        assert [family for family, _ in whole] == ["format", "topic", "mood"]
        assert whole[0][1] == "prose"
        assert story_topic(text) == whole[1][1]
        seen.add((whole[1][1], whole[2][1]))
    assert len(seen) == 36


def test_words_carry_what_they_are(stories: list[Page]) -> None:
    known = words_topics.topic_of_word()
    singular = {noun for nouns in words_topics.TOPIC_WORDS.values() for noun in nouns}
    for page in stories:
        raw, by_place = page.text().encode(), defaultdict(set)
        for a, b, n in page.spans():
            by_place[a, b].add(":".join(LABELS[n]))
        topic = story_topic(page.text())
        inner = [((a, b), labels) for (a, b), labels in by_place.items() if "topic_word:topic_word" in labels]
        assert len(inner) == sum(known.get(w) == topic for w in re.findall("[a-z]+", page.text().lower()))
        for (a, b), labels in inner:
            word = raw[a:b].decode().lower()
            assert known[word] == topic
            assert "pos:noun" in labels
            assert ("number:singular" if word in singular else "number:plural") in labels
        for labels in by_place.values():
            assert len({label.split(":")[0] for label in labels}) == len(labels), "two labels of one family on one word"
            assert not any(label.startswith("tense") for label in labels) or "pos:verb" in labels


def test_tense_of_narration_is_one(stories: list[Page]) -> None:
    for page in stories:
        quoted = [(a, b) for a, b, n in page.spans() if LABELS[n] == ("quote", "quote")]
        tenses = {LABELS[n][1] for a, b, n in page.spans() if LABELS[n][0] == "tense" and not any(q <= a < r for q, r in quoted)}
        assert len(tenses) == 1
        assert "future" not in tenses


def test_quotes_are_what_stands_between_marks(stories: list[Page]) -> None:
    total = spoken = 0
    for page in stories:
        assert [text for _, text in _labelled(page, "quote")] == re.findall(r'"[^"]*"', page.text())
        parts = re.findall(r'[^.?!"]*(?:"[^"]*"[^.?!"]*)*[.?!]"?', page.text())
        total, spoken = total + len(parts), spoken + sum('"' in part for part in parts)
    assert 0.2 < spoken / total < 0.3


def test_copied_names_are_those_named_before(stories: list[Page]) -> None:
    names = {*words.FEMALE, *words.MALE}
    for page in stories:
        found = [word for word in re.findall("[A-Z][a-z]+", page.text()) if word in names]
        repeated = [word for i, word in enumerate(found) if word in found[:i]]
        copied = [text for _, text in _labelled(page, "rule", "copied_name")]
        assert copied == repeated
        assert len(set(found)) <= 4


def test_pronouns_agree_with_the_only_person() -> None:
    checked = 0
    for i in range(300):
        text = _story(i, 300).text()
        found = {word for word in re.findall("[A-Z][a-z]+", text) if word in (*words.FEMALE, *words.MALE)}
        if len({name in words.FEMALE for name in found}) == 1:
            checked += 1
            wrong = r"\b(he|him|his|himself)\b" if found <= set(words.FEMALE) else r"\b(she|her|herself)\b"
            assert not re.search(wrong, text.lower())
    assert checked > 50


def test_exceptions_depend_on_topic_or_mood() -> None:
    """The same pair ends usually in one context and exceptionally in another, always as the rule says."""
    for i, pair in enumerate(words.LINKS):
        usual, other = (word.partition("/")[0] for word in pair.split()[-2:])
        for t, topic in enumerate(TOPICS):
            entry = grammar.base_pools(topic, "gloomy", "past")[grammar.SLOTS["link"]][i]
            exceptional = t in (i % 12, (i + 5) % 12)
            assert entry[0][-1] == (other if exceptional else usual)
            assert any(label == grammar.EXCEPTION for _, _, label in entry[1]) == exceptional
    assert sum(len(_labelled(_story(i), "rule", "bigram_exception")) for i in range(200)) > 50


def test_sentences_are_distinct_and_templates_many(stories: list[Page]) -> None:
    fixed = "\n".join((sentences.NAMED, sentences.UNNAMED, sentences.GUESTS, sentences.OPENINGS, sentences.SPEECH, sentences.QUESTIONS))
    assert len(set(fixed.splitlines())) >= 60
    found = Counter(part for page in stories for part in re.split(r'(?<=[.?!])"?\s+', page.text()))
    assert len(found) / found.total() > 0.95


def test_no_word_gives_the_topic_away(stories: list[Page]) -> None:
    """The best set of words: those of which most stand in stories of the topic, as many as give the best F1."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for page in stories:
        for word in re.findall(r"[a-z]+", page.text().lower()):
            counts[word][story_topic(page.text()) or ""] += 1
    for topic in TOPICS:
        positives, best, hits, chosen = sum(c[topic] for c in counts.values()), 0.0, 0, 0
        for count in sorted(counts.values(), key=lambda c: -c[topic] / c.total()):
            hits, chosen = hits + count[topic], chosen + count.total()
            best = max(best, 2 * hits / (chosen + positives))
        assert 0.15 < best < 0.6
