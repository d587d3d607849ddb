"""Words of babel's stories that belong to no topic: names, adjectives and adverbs by mood, common nouns, places, times, fixed pairs."""

FEMALE = tuple(
    """Ada Agnes Alma Amira Anna Ava Beatrix Bella Berta Bianca Carla Celia Clara Cora Dalia Delia Dora Edith Elena Elsa Emma
    Erika Esther Eva Fatima Fiona Flora Freya Gerda Gina Greta Hanna Helga Hilda Ida Ilse Ines Irene Isla Jana Judith Julia Karin Kira Lara
    Laura Lena Linda Lotte Lucia Luna Magda Maria Marta Maya Mila Mina Nadia Nina Nora Olga Paula Petra Rita Rosa Ruth Sara Selma Sofia
    Stella Tamar Tessa Tilda Ursula Vera Wanda Yasmin Zelda Zoe""".split()
)
MALE = tuple(
    """Abel Adam Albert Anton Arno Artur Basil Boris Bruno Carlos Caspar Conrad Daniel David Diego Edgar Edwin Elias Emil Enzo
    Erik Ernst Felix Finn Franz Fred Georg Gregor Hans Hassan Hector Henry Hugo Igor Isaac Ivan Jakob Jan Jonas Josef Julius Karl Kurt Lars
    Leo Levi Linus Louis Lukas Malik Marco Martin Max Milo Moritz Nils Noah Omar Oskar Otto Pablo Paul Peter Philip Rafael Ralf Robin Rolf
    Samuel Sergei Simon Stefan Theo Thomas Tobias Ulrich Victor Walter Xavier Yusuf""".split()
)

ADJECTIVES = {
    "cheerful": tuple("""bright happy sunny golden merry cosy lovely lively friendly gentle warm cheerful sweet playful shiny colourful
        charming delightful jolly glad proud radiant splendid brave funny soft sparkling kind wonderful lucky""".split()),
    "gloomy": tuple("""grey sad lonely cold dull bleak weary empty faded dusty rusty mournful dismal hollow silent pale forgotten damp tired
        sorrowful gloomy heavy dreary drab forlorn ruined shabby muddy worn wretched""".split()),
    "tense": tuple("""dark sudden sharp strange hidden dangerous narrow nervous fierce secret eerie urgent restless deadly frantic sinister
        locked jagged trembling anxious wary hostile threatening suspicious unknown crooked ghostly shaky grim alarming""".split()),
}  # fmt: skip
NEUTRAL_ADJECTIVES = tuple(
    """old new small big long round red blue green white black wooden little young tall wide plain thin open other
    second usual""".split()
)
ADVERBS = {
    "cheerful": tuple("""happily gladly brightly merrily warmly eagerly proudly cheerfully sweetly kindly lightly playfully joyfully
        gratefully lovingly gracefully softly generously fondly briskly boldly delightedly heartily politely tenderly blissfully calmly
        easily freely brilliantly""".split()),
    "gloomy": tuple("""sadly wearily slowly heavily coldly bitterly mournfully gloomily silently miserably hopelessly faintly dully glumly
        sorrowfully tearfully bleakly dimly regretfully helplessly listlessly drearily hollowly numbly vainly tiredly grimly emptily meekly
        pitifully""".split()),
    "tense": tuple("""suddenly quickly nervously sharply urgently fiercely quietly anxiously frantically secretly desperately cautiously
        warily breathlessly abruptly stiffly hastily wildly rapidly hurriedly tensely fearfully restlessly swiftly stealthily violently
        uneasily shakily instantly madly""".split()),
}  # fmt: skip
FEELINGS = {
    "cheerful": tuple("joy laughter hope delight luck kindness pride comfort friendship wonder".split()),
    "gloomy": tuple("grief sorrow silence loss regret despair sadness boredom loneliness misery".split()),
    "tense": tuple("fear danger panic terror alarm doubt suspicion trouble anger dread".split()),
}

COMMON = tuple(
    """friend brother sister stranger neighbour uncle aunt cousin child woman man door window box key letter hand face voice
    shadow room street table chair stone tree bird dog cat story idea plan sound light picture clock blanket candle mirror cloak bottle
    visitor house wall mountain""".split()
)
PLACES = tuple("""at/p home/n|in/p the/d corner/n|near/p the/d river/n|across/p the/d road/n|behind/p the/d house/n|under/p the/d roof/n|
    on/p the/d floor/n|by/p the/d fire/n|beside/p the/d wall/n|in/p the/d village/n|outside/p the/d town/n|over/p the/d hill/n|
    in/p the/d forest/n|on/p the/d stairs/N|at/p the/d door/n|in/p the/d cellar/n|along/p the/d street/n|around/p the/d square/n|
    through/p the/d window/n|below/p the/d bank/n|inside/p the/d hall/n|among/p the/d trees/N|beyond/p the/d valley/n|
    between/p the/d houses/N""".replace("\n", "").split("|"))  # fmt: skip
TIMES = tuple("""in/p the/d morning/n|yesterday/r|at/p noon/n|one/d evening/n|before/p dawn/n|after/p midnight/n|that/d day/n|
    every/d night/n|    last/a week/n|in/p summer/n|in/p winter/n|during/p the/d holidays/N|after/p lunch/n|before/p supper/n|
    for/p an/d hour/n|all/d afternoon/n|since/p spring/n|two/d days/N later/r|a/d moment/n later/r|until/p dusk/n|many/d years/N ago/r|
    at/p that/d time/n|soon/r|again/r""".replace("\n", "").split("|"))  # fmt: skip

LINKS = tuple("""in/p front/n of by|next/r to with|because/c of from|instead/r of for|out/r of from|close/a to by|far/r from off|
    ahead/r of to|on/p top/n of over|in/p spite/n of with|according/p to with|thanks/N to for|apart/r from to|along/p with by|up/r to at|
    away/r from of|together/r with by|in/p search/n of for|in/p place/n of for|at/p odds/N with to|in/p honour/n of to|in/p view/n of to|
    on/p behalf/n of for|in/p need/n of for""".replace("\n", "").split("|"))  # fmt: skip
"""Pairs before a noun phrase: their last word, and the one that replaces it in stories of two topics (link i: i and i + 5 mod 12)."""
TURNS = tuple("""at/p last/a length/n|of/p course/n necessity/n|once/r more/r again/r|for/p now/r ever/r|in/p fact/n truth/n|
    at/p once/r first/r|after/p all/o this/o|so/r far/r long/r|all/r alone/r along/r|by/p chance/n luck/n|in/p time/n turn/n|
    over/r there/r here/r|no/d doubt/n wonder/n|as/p usual/a ever/r|one/d day/n night/n""".replace("\n", "").split("|"))  # fmt: skip
"""Pairs that stand alone: the last word, and the one that replaces it in stories of one mood (turn i: mood i mod 3)."""

FUNCTION = {
    "d": "the a an this that these those each every some no any many several both either neither two three four five six my your our its",
    "o": "I you we it they them me us something nothing everyone nobody what who one himself herself all",
    "p": "of to in on at by with from for into onto over under near past behind beside about without against like through after before off",
    "c": "and but or nor because while when so if that although until as than",
    "r": "not never always often soon there here again still only also too very almost now then away back down up how where why just even",
}
"""Parts of speech of the words that templates spell out; a word of several classes gets the first one unless it is tagged."""
