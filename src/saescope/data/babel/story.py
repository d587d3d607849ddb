"""Stories of babel: prose of one topic and one mood about a small cast, a quarter of its sentences dialogue."""

from operator import itemgetter

from saescope.data.babel.draw import Draw
from saescope.data.babel.families import MOODS, NUMBER, TOPICS
from saescope.data.babel.grammar import (
    NOUN_SLOTS,
    OTHER_SLOTS,
    PERSON_SLOTS,
    SLOTS,
    STORY_SLOTS,
    Pool,
    Template,
    Tense,
    base_pools,
    guest_pools,
    other_person,
    person,
    templates,
)  # fmt: skip
from saescope.data.babel.page import Page
from saescope.data.babel.sentences import ASKING, GUESTS, HEADS, NAMED, OPENINGS, PREFIXES, QUESTIONS, QUOTING, SPEECH, TAILS, UNNAMED
from saescope.data.babel.words import FEMALE, MALE
from saescope.data.babel.words_topics import TOPIC_WORDS

PROSE, QUOTE = NUMBER["format", "prose"], NUMBER["quote", "quote"]
_TOPIC = tuple(NUMBER["topic", name] for name in TOPICS)
_MOOD = tuple(NUMBER["mood", name] for name in MOODS)
_NAMES = FEMALE + MALE
_CONTINUED = "\n".join(line.replace("$A ", "$he_s ", 1) for line in NAMED.splitlines())
_PREFIXES = PREFIXES.replace("|", "\n")
_A, _B, _G = (
    slice(0, len(PERSON_SLOTS)),
    slice(SLOTS["B_s"], SLOTS["B_s"] + len(OTHER_SLOTS)),
    slice(SLOTS["g_s"], SLOTS["g_s"] + len(STORY_SLOTS)),
)
_NOUNS = slice(SLOTS[NOUN_SLOTS[0]], SLOTS[NOUN_SLOTS[0]] + len(NOUN_SLOTS))
FAVOURITES = 16
"""Nouns of the topic's list that a story uses."""
PARAGRAPH = 5


class Story:
    """A story in the making: its topic, mood, tense and cast, and the sentences that can follow."""

    def __init__(self, page: Page, draw: Draw):
        self.page, self.draw, self.start = page, draw, page.here
        self.topic, self.mood = draw.below(len(TOPICS)), draw.below(len(MOODS))
        tense: Tense = "present" if draw.chance(25) else "past"
        topic = TOPICS[self.topic]
        self.pools: list[Pool] = base_pools(topic, MOODS[self.mood], tense).copy()
        self.pools[_NOUNS] = map(_some(draw), self.pools[_NOUNS])
        self.pools[_G] = guest_pools(TOPICS[(self.topic + draw.between(1, len(TOPICS) - 1)) % len(TOPICS)])
        self.cast = [draw.pick(_NAMES) for _ in range(draw.between(2, 4))]
        if self.cast[1] == self.cast[0]:
            self.cast[1] = _NAMES[(_NAMES.index(self.cast[0]) + 1) % len(_NAMES)]
        self.seen: set[str] = set()
        self.hero = self.partner = ""
        self.followed = False
        """The last sentence was about the hero: a pronoun is enough."""
        self.own = self.foreign = 0
        self.indent = ""

    def opening(self) -> None:
        self._persons()
        chosen = self.draw.pick(templates(OPENINGS))
        self._sentence(chosen)
        self.followed = chosen.named

    def sentence(self) -> None:
        """A sentence of narration or dialogue, or one with a word of another topic."""
        chance = self.draw.below(100)
        if chance < 25:
            self._persons()
            self._dialogue()
            return
        if chance < 32 and self.own >= self.foreign + 4:
            self._persons()
            self.foreign += 1
            chosen = self.draw.pick(templates(GUESTS))
            self.followed = chosen.named
        elif chance < 62 and self.followed:
            self._other()
            chosen = self.draw.pick(templates(_CONTINUED))
        elif chance < 82:
            self._persons()
            chosen = self.draw.pick(templates(NAMED))
            self.followed = True
        else:
            self._persons()
            chosen = self.draw.pick(templates(UNNAMED))
            self.followed = False
        self._sentence(chosen, prefix=chance & 3 == 0)

    def quoting(self) -> None:
        """The beginning of a sentence that quotes something that is no sentence of the story; the quotation follows."""
        self._persons()
        self._sentence(self.draw.pick(templates(QUOTING)))
        self.page.write(" ")

    def paragraph(self) -> None:
        """The end of a paragraph."""
        self.page.write("\n\n")
        self.indent, self.followed = "", False

    def end(self) -> None:
        """Labels of the whole."""
        for label in (PROSE, _TOPIC[self.topic], _MOOD[self.mood]):
            self.page.mark(self.start, label)

    def _persons(self) -> None:
        """Two of the cast for the next sentence, the first of them most often the hero of the story."""
        cast, draw = self.cast, self.draw
        self.hero = cast[0] if draw.chance(50) else draw.pick(cast)
        self.pools[_A] = person(self.hero, again=self.hero in self.seen)
        self._other()

    def _other(self) -> None:
        k = self.cast.index(self.hero)
        self.partner = self.cast[k - 1 - self.draw.below(len(self.cast) - 1)]
        if self.partner == self.hero:
            self.partner = self.cast[1 if k == 0 else 0]
        self.pools[_B] = other_person(self.partner, again=self.partner in self.seen)

    def _sentence(self, template: Template, *, prefix: bool = False) -> None:
        at = len(self.page.parts)
        if prefix:
            self._write(self.draw.pick(templates(_PREFIXES)))
        self._write(template)
        self._capital(at, self.indent)
        self.indent = " "

    def _dialogue(self) -> None:
        pick, page = self.draw.pick, self.page
        shape = self.draw.below(8)
        if shape < 2:
            head = pick(templates(HEADS))
            self._sentence(head)
            page.write(" ")
            self.followed = head.named
            self._speech(pick(templates(SPEECH)), '."')
            return
        page.write(self.indent)
        self.indent = " "
        if shape < 4:
            self._speech(pick(templates(QUESTIONS)), '?"')
            tail = pick(templates(ASKING))
        else:
            self._speech(pick(templates(SPEECH)), ',"' if shape < 7 else '!"')
            tail = pick(templates(TAILS))
        self._write(tail)
        self.followed = tail.named

    def _speech(self, template: Template, end: str) -> None:
        page = self.page
        opened = page.here
        page.write('"')
        self._write(template)
        self._capital(opened + 1, "")
        page.write(end)
        page.mark(opened, QUOTE)

    def _capital(self, at: int, space: str) -> None:
        parts = self.page.parts
        parts[at] = space
        parts[at + 1] = parts[at + 1][0].upper() + parts[at + 1][1:]

    def _write(self, template: Template) -> None:
        parts, marks, pools, below = self.page.parts, self.page.marks, self.pools, self.draw.below
        for op in template.ops:
            at = len(parts)
            if isinstance(op, int):
                pool = pools[op]
                entry = pool[below(len(pool))] if len(pool) > 1 else pool[0]
            else:
                entry = op
            parts += entry[0]
            for start, stop, label in entry[1]:
                marks.append((at + start, at + stop, label))
        self.own += template.own
        if template.named and self.hero not in self.seen:
            self.seen.add(self.hero)
            self.pools[_A] = person(self.hero, again=True)
        if template.with_other and self.partner not in self.seen:
            self.seen.add(self.partner)
            self.pools[_B] = other_person(self.partner, again=True)


def _some(draw: Draw) -> itemgetter:
    """FAVOURITES places of a topic's list: a window of one of a few walks through it."""
    n = len(TOPIC_WORDS[TOPICS[0]])
    start, step = draw.below(n), (1, 3, 7, 9, 11, 13, 17, 19)[draw.below(8)]
    return itemgetter(*((start + step * k) % n for k in range(FAVOURITES)))


def write_story(page: Page, draw: Draw, size: int) -> None:
    """A story of about `size` bytes."""
    story = Story(page, draw)
    story.opening()
    fill(story, size)
    story.end()


def fill(story: Story, size: int) -> None:
    """Sentences and paragraphs until the page holds `size` bytes; the last sentence ends it."""
    left = PARAGRAPH
    while story.page.size < size or story.own < story.foreign + 2:
        if not left:
            story.paragraph()
            left = story.draw.between(3, PARAGRAPH + 2)
        story.sentence()
        left -= 1
