"""The twelve topics of babel's stories: 40 nouns each, disjoint, their plurals, and the rule that tells a story's topic."""

import re
from functools import lru_cache

from saescope.data.babel.families import TOPICS

_WORDS = {
    "sea": """ship sail anchor wave harbour sailor captain deck mast tide reef island lighthouse whale dolphin shark crab gull pearl shell
        beach cliff ferry raft oar rudder compass lagoon fisherman net buoy pirate coral octopus seal cove pier dinghy lobster mermaid""",
    "garden": """rose tulip daisy lily hedge lawn shed spade rake hose seed bud petal stem root leaf branch bush fern moss bench pond
        fountain gate path fence flowerpot bulb weed worm snail butterfly bee ladybird trellis orchid violet gardener greenhouse
        wheelbarrow""",
    "kitchen": """oven stove kettle spoon fork knife plate bowl cup pan saucepan lid recipe chef cake pie loaf biscuit soup stew sauce salad
        onion carrot pepper potato tomato mushroom egg cheese pancake omelette apron teapot dish tray jar cupboard toaster fridge""",
    "school": """teacher pupil classroom lesson book pencil pen ruler eraser desk blackboard crayon notebook essay exam grade quiz textbook
        headmaster playground schoolbag whiteboard globe atlas dictionary equation poem alphabet paragraph classmate tutor student lecture
        diploma uniform locker canteen gym professor chapter""",
    "space": """planet star moon rocket comet asteroid galaxy orbit astronaut satellite telescope crater meteor nebula spaceship spacesuit
        alien launchpad module capsule probe antenna thruster booster robot airlock eclipse constellation shuttle lander rover hatch helmet
        console beacon cosmonaut laser astronomer observatory wormhole""",
    "music": """violin piano guitar drum flute trumpet cello harp choir band orchestra singer song melody rhythm chord tune concert stage
        conductor composer microphone album ballad waltz symphony sonata opera chorus lullaby trombone saxophone clarinet banjo accordion
        tuba duet drummer violinist keyboard""",
    "market": """stall merchant trader customer coin price basket crate bargain apple pear lemon plum grape banana melon peach cherry purse
        wallet shop shopkeeper counter awning receipt banknote ribbon scarf spice lantern carpet vase bracelet necklace trinket parcel
        barrel auction discount vendor""",
    "weather": """storm cloud raindrop snowflake gale breeze rainbow thunderstorm thunderbolt mist hailstone frost icicle puddle drizzle
        blizzard hurricane tornado flood drought heatwave sunbeam sunset sunrise forecast umbrella raincoat thermometer barometer snowman
        snowdrift gust downpour sky cyclone avalanche monsoon horizon sunshade glacier""",
    "trains": """train station platform ticket carriage locomotive engine rail track signal tunnel bridge passenger driver porter suitcase
        whistle timetable junction wagon boiler engineer signalman viaduct buffer compartment tram depot sleeper piston commuter inspector
        crossing siding footbridge turnstile brake coach wheel subway""",
    "castle": """king queen knight prince princess dragon tower moat drawbridge dungeon throne crown sword shield lance banner jester wizard
        squire guard rampart battlement courtyard goblet banquet torch tapestry catapult archer arrow portcullis duke baron castle palace
        herald scroll sorcerer minstrel servant""",
    "farm": """cow pig lamb goat hen rooster duck goose horse pony donkey calf foal barn tractor plough field haystack farmer shepherd
        meadow stable pigsty coop trough bucket scarecrow orchard harvest crop cabbage turnip pumpkin beehive silo windmill cart sickle
        pitchfork turkey""",
    "hospital": """doctor nurse patient surgeon ward bandage pill syringe stethoscope ambulance wheelchair crutch stretcher clinic fever
        cough disease wound scar bruise heartbeat bone vaccine tablet remedy prescription operation mask scalpel plaster splint paramedic
        dentist pharmacist pharmacy infection allergy needle symptom bed""",
}
TOPIC_WORDS: dict[str, tuple[str, ...]] = {topic: tuple(_WORDS[topic].split()) for topic in TOPICS}
"""Singular nouns by topic."""

_IRREGULAR = {
    "fisherman": "fishermen", "leaf": "leaves", "knife": "knives", "loaf": "loaves", "snowman": "snowmen", "signalman": "signalmen",
    "goose": "geese", "calf": "calves", "man": "men", "woman": "women", "child": "children", "shelf": "shelves", "wife": "wives",
    "potato": "potatoes", "tomato": "tomatoes", "tornado": "tornadoes", "foot": "feet", "thief": "thieves", "quiz": "quizzes",
}  # fmt: skip


def plural(noun: str) -> str:
    """Plural of a noun."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith(("s", "x", "sh", "ch", "z")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


@lru_cache
def topic_of_word() -> dict[str, str]:
    """Topic of every word of the lists, singular and plural."""
    return {form: topic for topic, nouns in TOPIC_WORDS.items() for noun in nouns for form in (noun, plural(noun))}


_LETTERS = re.compile(r"[a-z]+")


def story_topic(text: str) -> str | None:
    """The topic with at least two words of its list (case aside, singular or plural) and more than any other; None without one."""
    counts: dict[str, int] = {}
    known = topic_of_word()
    for word in _LETTERS.findall(text.lower()):
        if (topic := known.get(word)) is not None:
            counts[topic] = counts.get(topic, 0) + 1
    if not counts:
        return None
    most = max(counts.values())
    best = [topic for topic, n in counts.items() if n == most]
    return best[0] if most >= 2 and len(best) == 1 else None
