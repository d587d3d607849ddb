"""Verbs of babel's stories and their forms: general ones, those of a topic, and those of saying by mood."""

TRANSITIVE = tuple(
    """find see take hold carry lift push pull watch follow touch open hide break fix clean draw paint want need love hate
    miss remember forget choose keep lose bring show throw catch drop count admire notice describe collect borrow steal share ignore reach
    visit fear mention praise mend test hear protect discover examine greet refuse wash shake offer accept avoid blame trust move""".split()
)
INTRANSITIVE = tuple("""walk run wait stay sit stand sleep wake dream laugh smile cry nod pause hurry stumble fall jump climb wander rest
    listen tremble think work lean hesitate vanish return appear breathe blush yawn shrug travel linger creep shout stare whimper frown
    grin agree""".split())  # fmt: skip
_OF_TOPIC = {
    "sea": "steer row hoist moor haul board navigate rescue; drift dive float swim",
    "garden": "plant water prune sow mow trim uproot gather; bloom wither sprout grow",
    "kitchen": "bake boil fry stir taste chop peel roast; simmer sizzle bubble smoulder",
    "school": "learn study explain spell memorise recite copy underline; scribble graduate revise daydream",
    "space": "launch explore pilot scan observe transmit detect chart; hover glow spin dock",
    "music": "play sing strum compose rehearse conduct perform hum; dance echo clap vibrate",
    "market": "buy sell weigh trade pack wrap polish display; haggle queue browse quarrel",
    "weather": "drench freeze soak scatter whip sweep cover chill; pour howl melt rumble",
    "trains": "drive stop shunt inspect delay reverse overtake load; depart arrive rattle derail",
    "castle": "defend besiege conquer attack obey betray summon enchant; duel kneel march feast",
    "farm": "milk feed herd shear reap fatten saddle brush; graze gallop bleat crow",
    "hospital": "heal treat vaccinate cure diagnose sterilise comfort operate; recover faint bleed sneeze",
}
TOPIC_TRANSITIVE = {topic: tuple(verbs.split(";")[0].split()) for topic, verbs in _OF_TOPIC.items()}
TOPIC_INTRANSITIVE = {topic: tuple(verbs.split(";")[1].split()) for topic, verbs in _OF_TOPIC.items()}
SAYING = ("say", "reply", "answer", "call", "add", "announce")
MOOD_SAYING = {
    "cheerful": ("cheer", "beam", "giggle", "chirp", "chuckle", "joke"),
    "gloomy": ("sigh", "sob", "mumble", "moan", "mutter", "groan"),
    "tense": ("whisper", "hiss", "gasp", "snap", "warn", "stammer"),
}

_PAST = {
    "find": "found", "see": "saw", "take": "took", "hold": "held", "hide": "hid", "break": "broke", "draw": "drew", "forget": "forgot",
    "choose": "chose", "keep": "kept", "lose": "lost", "bring": "brought", "throw": "threw", "catch": "caught", "steal": "stole",
    "hear": "heard", "shake": "shook", "run": "ran", "sit": "sat", "stand": "stood", "sleep": "slept", "wake": "woke", "fall": "fell",
    "think": "thought", "creep": "crept", "swim": "swam", "dive": "dived", "sow": "sowed", "grow": "grew", "sing": "sang", "buy": "bought",
    "sell": "sold", "freeze": "froze", "sweep": "swept", "drive": "drove", "overtake": "overtook", "kneel": "knelt", "feed": "fed",
    "bleed": "bled", "spin": "spun", "say": "said", "feel": "felt", "mow": "mowed", "transmit": "transmitted",
    "travel": "travelled", "quarrel": "quarrelled", "duel": "duelled",
}  # fmt: skip


def past(verb: str) -> str:
    """Simple past."""
    if verb in _PAST:
        return _PAST[verb]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return _doubled(verb) + "ed"


def third(verb: str) -> str:
    """Third person singular, present."""
    if verb.endswith(("s", "x", "sh", "ch", "z", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def _doubled(verb: str) -> str:
    """The stem with its last consonant twice, where English writes it so (stop, stopp-)."""
    vowels = [letter in "aeiou" for letter in verb]
    short = len(verb) > 2 and sum(vowels) == 1 and vowels[-2] and verb[-1] not in "wxy"
    return verb + verb[-1] if short else verb
