"""Templates of `sentences.py` compiled to pieces and marks, and the words that may stand in each slot of a story.

An entry is (pieces, marks): pieces alternate space and word, marks count from its first piece. A slot is a number into the pools of a
story: tuples of entries that depend on topic, mood and tense (`base_pools`), on the persons of a sentence (`person`, `other_person`)
and on the story (`guest_pools`).
"""

from functools import lru_cache
from typing import Literal, NamedTuple

from saescope.data.babel.families import MOODS, NUMBER, TOPICS
from saescope.data.babel.words import (
    ADJECTIVES,
    ADVERBS,
    COMMON,
    FEELINGS,
    FEMALE,
    FUNCTION,
    LINKS,
    NEUTRAL_ADJECTIVES,
    PLACES,
    TIMES,
    TURNS,
)  # fmt: skip
from saescope.data.babel.words_topics import TOPIC_WORDS, plural
from saescope.data.babel.words_verbs import (
    INTRANSITIVE,
    MOOD_SAYING,
    SAYING,
    TOPIC_INTRANSITIVE,
    TOPIC_TRANSITIVE,
    TRANSITIVE,
    past,
    third,
)  # fmt: skip

Entry = tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]
Pool = tuple[Entry, ...]
Tense = Literal["past", "present"]

NOUN, VERB, ADJECTIVE, ADVERB, PRONOUN, DETERMINER, PREPOSITION, CONJUNCTION = (
    NUMBER["pos", name] for name in ("noun", "verb", "adjective", "adverb", "pronoun", "determiner", "preposition", "conjunction")
)
PAST, PRESENT, FUTURE = (NUMBER["tense", name] for name in ("past", "present", "future"))
SINGULAR, PLURAL = NUMBER["number", "singular"], NUMBER["number", "plural"]
ROLES = {"_s": (NUMBER["role", "subject"],), "_o": (NUMBER["role", "object"],), "_": ()}
TOPIC_WORD, COPIED, EXCEPTION = NUMBER["topic_word", "topic_word"], NUMBER["rule", "copied_name"], NUMBER["rule", "bigram_exception"]
_TAGS = {
    "n": (NOUN, SINGULAR), "N": (NOUN, PLURAL), "v": (VERB,), "t": (VERB, PRESENT), "e": (VERB, PAST), "f": (VERB, FUTURE),
    "a": (ADJECTIVE,), "r": (ADVERB,), "o": (PRONOUN,), "d": (DETERMINER,), "p": (PREPOSITION,), "c": (CONJUNCTION,),
}  # fmt: skip
_TAG_OF = {word: tag for tag in reversed(FUNCTION) for word in FUNCTION[tag].split()}

PERSON_SLOTS = ("A_s", "A_", "he_s", "him_o", "his", "himself")
OTHER_SLOTS = ("B_s", "B_o", "B_")
STORY_SLOTS = ("g_s", "g_")
NOUN_SLOTS = tuple(f"{kind}{role}" for kind in ("n", "ns", "an") for role in ROLES)
"""Slots of topic nouns: their pools hold one entry per noun of the list, in its order."""
LIGHT = {
    "wants": ("want", "wanted"), "thinks": ("think", "thought"), "knows": ("know", "knew"), "begins": ("begin", "began"),
    "tells": ("tell", "told"), "gives": ("give", "gave"), "turns": ("turn", "turned"), "looks": ("look", "looked"),
    "feels": ("feel", "felt"), "hopes": ("hope", "hoped"), "reads": ("read", "read"), "writes": ("write", "wrote"),
}  # fmt: skip
OTHER = tuple(
    """c_s c_o c_ feel_s feel_o feel_ adj aadj adv vt vi vtp vip be bes has can not say ask did_t did_i past_i now_t fut_t fut_i
    inf_t inf_i detp dets place time link turn""".split()
)
SLOTS = {name: i for i, name in enumerate((*PERSON_SLOTS, *OTHER_SLOTS, *STORY_SLOTS, *NOUN_SLOTS, *LIGHT, *OTHER))}


class Template(NamedTuple):
    """A compiled sentence: slots and fixed entries in order, and what it asks for."""

    ops: tuple[int | Entry, ...]
    own: int
    """Words of the story's topic."""
    named: bool
    """The first person stands in it by name."""
    with_other: bool


def entry(*words: tuple[str, tuple[int, ...]]) -> Entry:
    """Words with their labels, a space before each; punctuation follows without one."""
    pieces: list[str] = []
    marks = []
    for text, labels in words:
        if text not in ",.:;?!":
            pieces.append(" ")
        at = len(pieces)
        pieces.append(text)
        marks += [(at, at + 1, label) for label in labels]
    return tuple(pieces), tuple(marks)


def tagged(text: str, *more: int) -> Entry:
    """An entry from words of a template without slots; `more` labels its last word as well."""
    words = [(word, _labels(word, tag)) for word, _, tag in (piece.partition("/") for piece in text.split())]
    last, labels = words[-1]
    return entry(*words[:-1], (last, (*labels, *more)))


def _labels(word: str, tag: str) -> tuple[int, ...]:
    return () if word in ",.:;?!" else _TAGS[tag or _TAG_OF[word]]


@lru_cache
def compiled(text: str) -> Template:
    """A template from its line."""
    ops: list[int | Entry] = []
    fixed: list[str] = []
    names = []
    for piece in [*text.split(), "$"]:
        if not piece.startswith("$"):
            fixed.append(piece)
            continue
        if fixed:
            ops.append(tagged(" ".join(fixed)))
            fixed = []
        if piece != "$":
            names.append("A_s" if piece == "$A" else piece[1:])
            ops.append(SLOTS[names[-1]])
    return Template(
        tuple(ops), sum(name in NOUN_SLOTS for name in names), "A_s" in names or "A_" in names, any(n.startswith("B_") for n in names)
    )


@lru_cache
def templates(lines: str) -> tuple[Template, ...]:
    return tuple(compiled(line) for line in lines.splitlines())


@lru_cache(None)
def person(name: str, *, again: bool) -> tuple[Pool, ...]:
    """Pools of PERSON_SLOTS for the first person of a sentence."""
    he, him, his, himself = ("she", "her", "her", "herself") if name in FEMALE else ("he", "him", "his", "himself")
    pronouns = [(he, (PRONOUN, *ROLES["_s"])), (him, (PRONOUN, *ROLES["_o"])), (his, (DETERMINER,)), (himself, (PRONOUN, *ROLES["_o"]))]
    return (*_named(name, ("_s", "_"), again), *((entry(word),) for word in pronouns))


@lru_cache(None)
def other_person(name: str, *, again: bool) -> tuple[Pool, ...]:
    """Pools of OTHER_SLOTS."""
    return _named(name, ("_s", "_o", "_"), again)


def _named(name: str, roles: tuple[str, ...], again: bool) -> tuple[Pool, ...]:
    copied = (COPIED,) if again else ()
    return tuple((entry((name, (NOUN, SINGULAR, *ROLES[role], *copied))),) for role in roles)


@lru_cache(None)
def guest_pools(topic: str) -> tuple[Pool, ...]:
    """Pools of STORY_SLOTS: words of a topic that is not the story's."""
    return tuple(_nouns(TOPIC_WORDS[topic], ROLES[role]) for role in ("_s", "_"))


@lru_cache(None)
def base_pools(topic: str, mood: str, tense: Tense) -> list[Pool]:
    """Pools of every slot; those of the persons and of the story are empty."""
    named = {**_noun_pools(topic), **_verb_pools(topic, tense), **_mood_pools(mood, tense), **_pair_pools(topic, mood)}
    return [named.get(name, ()) for name in SLOTS]


def _nouns(words: tuple[str, ...], role: tuple[int, ...], *more: int) -> Pool:
    return tuple(entry((word, (NOUN, SINGULAR, *role, *more))) for word in words)


def _after_a(word: str, labels: tuple[int, ...]) -> Entry:
    return entry(("an" if word[0] in "aeiou" and word[:3] not in ("uni", "usu") else "a", (DETERMINER,)), (word, labels))


@lru_cache(None)
def _noun_pools(topic: str) -> dict[str, Pool]:
    pools = {}
    for suffix, role in ROLES.items():
        pools["n" + suffix] = _nouns(TOPIC_WORDS[topic], role, TOPIC_WORD)
        pools["ns" + suffix] = tuple(entry((plural(word), (NOUN, PLURAL, *role, TOPIC_WORD))) for word in TOPIC_WORDS[topic])
        pools["an" + suffix] = tuple(_after_a(word, (NOUN, SINGULAR, *role, TOPIC_WORD)) for word in TOPIC_WORDS[topic])
        pools["c" + suffix] = _nouns(COMMON, role)
    return pools


@lru_cache(None)
def _mood_pools(mood: str, tense: Tense) -> dict[str, Pool]:
    adjectives = (*ADJECTIVES[mood], *ADJECTIVES[mood], *NEUTRAL_ADJECTIVES)
    pools = {
        "adj": tuple(entry((word, (ADJECTIVE,))) for word in adjectives),
        "aadj": tuple(_after_a(word, (ADJECTIVE,)) for word in adjectives),
        "adv": tuple(entry((word, (ADVERB,))) for word in ADVERBS[mood]),
    }
    pools |= {"feel" + suffix: _nouns(FEELINGS[mood], role) for suffix, role in ROLES.items()}
    is_past, label = tense == "past", PAST if tense == "past" else PRESENT
    for name, verbs in (("say", (*SAYING, *MOOD_SAYING[mood] * 2)), ("ask", ("ask", "wonder", "inquire"))):
        pools[name] = tuple(entry((past(verb) if is_past else third(verb), (VERB, label))) for verb in verbs)
    return pools


@lru_cache(None)
def _verb_pools(topic: str, tense: Tense) -> dict[str, Pool]:
    transitive = (*TRANSITIVE, *TOPIC_TRANSITIVE[topic] * 5)
    intransitive = (*INTRANSITIVE, *TOPIC_INTRANSITIVE[topic] * 6)
    is_past, label = tense == "past", PAST if tense == "past" else PRESENT
    bare = {"now": (PRESENT,), "fut": (FUTURE,), "inf": ()}

    def one(singular: str, then: str) -> Pool:
        return (entry((then if is_past else singular, (VERB, label))),)

    pools = {name: one(third(verb), then) for name, (verb, then) in LIGHT.items()}
    pools |= {"be": one("is", "was"), "bes": one("are", "were"), "has": one("has", "had"), "can": one("can", "could")}
    pools["not"] = (entry(("did" if is_past else "does", (VERB, label)), ("not", (ADVERB,))),)
    for suffix, verbs in (("t", transitive), ("i", intransitive)):
        pools["v" + suffix] = tuple(entry((past(verb) if is_past else third(verb), (VERB, label))) for verb in verbs)
        pools[f"v{suffix}p"] = tuple(entry((past(verb) if is_past else verb, (VERB, label))) for verb in verbs)
        pools["did_" + suffix] = tuple(entry((past(verb), (VERB, PAST))) for verb in verbs)
        pools |= {f"{name}_{suffix}": tuple(entry((verb, (VERB, *labels))) for verb in verbs) for name, labels in bare.items()}
    pools["past_i"] = pools["did_i"]
    return pools


def _pair_pools(topic: str, mood: str) -> dict[str, Pool]:
    t, m = TOPICS.index(topic), MOODS.index(mood)
    links = [_pair(pair, t in (i % len(TOPICS), (i + 5) % len(TOPICS))) for i, pair in enumerate(LINKS)]
    turns = [_pair(pair, m == i % len(MOODS)) for i, pair in enumerate(TURNS)]
    return {"link": tuple(links), "turn": tuple(turns), **_phrase_pools()}


@lru_cache
def _phrase_pools() -> dict[str, Pool]:
    determiners = "this/d that/d each/d every/d one/d another/d", "these/d those/d many/d several/d some/d two/d three/d four/d five/d"
    named = {"place": PLACES, "time": TIMES, "dets": determiners[0].split(), "detp": determiners[1].split()}
    return {name: tuple(tagged(text) for text in texts) for name, texts in named.items()}


def _pair(text: str, exceptional: bool) -> Entry:
    """A fixed pair with the word that usually ends it, or with the one that does so in this context."""
    *first, usual, other = text.split()
    if not exceptional:
        return tagged(" ".join((*first, usual)))
    tag = usual.partition("/")[2] or _TAG_OF[usual]
    return tagged(" ".join((*first, other if "/" in other else f"{other}/{tag}")), EXCEPTION)
