"""An invented language in a real script: a lexicon with agreement, and the phrase grammar that all of them share."""

from collections.abc import Sequence
from dataclasses import dataclass

from saescope.data.babel.draw import Draw

Form = tuple[str, int, int]
"""A noun's form, the place of the adjective and determiner forms that agree with it, the place of the verb forms that do."""
Noun = tuple[tuple[Form, ...], tuple[Form, ...], tuple[Form, ...]]
"""Forms as subject, as object, and after a preposition."""
SUBJECT, OBJECT, OBLIQUE = 0, 1, 2


@dataclass(frozen=True)
class Language:
    """Words by class. `verbs[v][t]`: forms of verb v in tense t, which stays the same in a document.

    `order` of subject, verb, object ("SVO"); `inside` a noun phrase: D determiner, A adjective, N noun ("DAN").
    Relations and conjunctions are "word", "glued-" to the next word or "-glued" to the last one. A determiner may be "", none.
    """

    nouns: tuple[Noun, ...]
    adjectives: tuple[tuple[str, ...], ...]
    verbs: tuple[tuple[tuple[str, ...], ...], ...]
    relations: tuple[str, ...]
    adverbs: tuple[str, ...]
    conjunctions: tuple[str, ...]
    order: str
    inside: str
    determiners: tuple[tuple[str, ...], ...] = ()
    gap: str = " "
    marks: tuple[str, str, str] = (", ", ". ", "? ")
    question: str = ""


def joined(stems: Sequence[str], endings: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Every stem with every ending."""
    return tuple(tuple(stem + ending for ending in endings) for stem in stems)


class Speaker:
    """One document's choice of words: seven nouns, five adjectives, five verbs, a few small words, and one tense."""

    def __init__(self, language: Language, draw: Draw):
        self.language, self.draw = language, draw
        self.nouns = [draw.pick(language.nouns) for _ in range(7)]
        self.adjectives = [draw.pick(language.adjectives) for _ in range(5)]
        tense = draw.below(len(language.verbs[0]))
        self.verbs = [draw.pick(language.verbs)[tense] for _ in range(5)]
        self.adverbs = [draw.pick(language.adverbs) for _ in range(3)]
        self.relations = [draw.pick(language.relations) for _ in range(3)]
        self.conjunctions = [draw.pick(language.conjunctions) for _ in range(2)]

    def sentence(self) -> str:
        """A statement or a question of one or two clauses, its mark and the space behind it included."""
        language, draw = self.language, self.draw
        comma, stop, question = language.marks
        words = self.clause()
        asks = draw.chance(15)
        if asks:
            words.insert(0, language.question)
        text = language.gap.join(words)
        if draw.chance(35):
            more, conjunction = self.clause(), draw.pick(self.conjunctions)
            _attach(more, conjunction)
            text += comma + language.gap.join(more)
        return text[0].upper() + text[1:] + (question if asks else stop)

    def clause(self) -> list[str]:
        """Subject, verb and object in the language's order, with an adverb or a place now and then."""
        draw, words = self.draw, []
        subject, person = self.noun_phrase(SUBJECT)
        for part in self.language.order:
            if part == "S":
                words += subject
            elif part == "V":
                words.append(draw.pick(self.verbs)[person])
            else:
                extra = draw.below(10)
                if extra < 7:
                    words += self.noun_phrase(OBJECT)[0]
                if extra > 5:
                    place = self.noun_phrase(OBLIQUE)[0]
                    _attach(place, draw.pick(self.relations))
                    words += place
                elif extra < 2:
                    words.append(draw.pick(self.adverbs))
        return words

    def noun_phrase(self, role: int) -> tuple[list[str], int]:
        """A noun with the words that agree with it, and the place of the verb forms that do."""
        language, draw = self.language, self.draw
        noun, agreement, person = draw.pick(draw.pick(self.nouns)[role])
        words = []
        for part in language.inside:
            if part == "N":
                words.append(noun)
            elif part == "D":
                determiner = draw.pick(language.determiners)[agreement]
                if determiner:
                    words.append(determiner)
            elif draw.below(2):
                words.append(draw.pick(self.adjectives)[agreement])
        return words, person


def _attach(words: list[str], small: str) -> None:
    """A relation or conjunction put where it belongs."""
    if small[-1] == "-":
        words[0] = small[:-1] + words[0]
    elif small[0] == "-":
        words[-1] += small[1:]
    else:
        words.insert(0, small)
