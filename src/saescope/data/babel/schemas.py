"""What the records of JSON and CSV are about: columns that follow from a thing, and columns that are free."""

from typing import Literal, NamedTuple

Kind = Literal["words", "date", "bool", "price", "number"]


class Free(NamedTuple):
    """A column whose value is drawn anew in each record: of `words`, or a number from low up to high."""

    key: str
    kind: Kind
    words: tuple[str, ...] = ()
    low: int = 0
    high: int = 1


class Schema(NamedTuple):
    """`things`: one value for each of `keys`; `group` names them together where objects nest."""

    group: str
    keys: tuple[str, str, str]
    things: tuple[tuple[str, ...], ...]
    free: tuple[Free, ...]


def _things(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split()) for line in text.strip().split("\n"))


def _words(key: str, text: str) -> Free:
    return Free(key, "words", tuple(text.split()))


def _number(key: str, low: int, high: int) -> Free:
    return Free(key, "number", (), low, high)


_DATE, _ACTIVE = Free("date", "date"), Free("active", "bool")
SCHEMAS: tuple[Schema, ...] = (
    Schema("item", ("product", "category", "unit"), _things("""
tea drinks box\ncoffee drinks bag\njuice drinks bottle\nbread bakery loaf\nrolls bakery bag\ncake bakery piece\napples fruit crate
pears fruit crate\ngrapes fruit basket\nrice grains sack\noats grains sack\ncheese dairy wheel\nbutter dairy block\nmilk dairy bottle"""),
           (Free("price", "price", (), 1, 40), _number("count", 1, 100), _DATE, _words("status", "sold open returned reserved shipped"))),
    Schema("place", ("city", "country", "zone"), _things("""
Lisbon Portugal west\nPorto Portugal west\nMadrid Spain west\nSeville Spain west\nTurin Italy south\nNaples Italy south\nOslo Norway north
Bergen Norway north\nMalmo Sweden north\nUppsala Sweden north
Krakow Poland east\nGdansk Poland east\nGraz Austria east\nLinz Austria east"""),
           (_DATE, _number("temperature", 5, 35), _words("sky", "clear cloudy rain snow fog storm"), _number("humidity", 30, 99))),
    Schema("user", ("name", "role", "team"), _things("""
anna editor news\nbruno editor sports\nclara author news
diego author travel\nelena admin systems\nfelix admin network\ngrete reader library
henri reader archive\nirina tester mobile\njonas tester desktop\nkarla designer mobile\nluca designer desktop\nmarta analyst finance"""),
           (_number("age", 18, 70), _ACTIVE, _words("language", "english german polish spanish korean"), _DATE)),
    Schema("route", ("origin", "goal", "line"), _things("""
Harbor Museum red\nHarbor Airport red\nStation Market blue
Station Stadium blue\nCastle Bridge green\nCastle Garden green\nMill Tower yellow
Mill Forest yellow\nLake School orange\nLake Hospital orange\nHill Theater purple\nHill Library purple\nQuarry Beach silver"""),
           (_number("minutes", 5, 90), _words("day", "monday tuesday wednesday thursday friday saturday sunday"), Free("late", "bool"),
            Free("fare", "price", (), 1, 9))),
    Schema("plant", ("plant", "family", "color"), _things("""
rose shrub red\nbroom shrub yellow\ntulip bulb orange\ncrocus bulb purple\nfern leaf green\nhosta leaf green\nbirch tree white
cedar tree brown\nbasil herb green\nsage herb gray\npoppy meadow red\ncornflower meadow blue\nlotus pond pink"""),
           (_number("height", 10, 99), _words("soil", "dry wet sandy chalky rich"), _DATE, _words("light", "sun shade mixed"))),
    Schema("file", ("file", "type", "folder"), _things("""
report.pdf document archive\nletter.pdf document office\nphoto.png image holiday\nlogo.png image office\nsong.mp3 audio music
speech.mp3 audio archive\nclip.mp4 video holiday\nlesson.mp4 video school\nbackup.zip archive storage\nsource.zip archive projects
notes.txt text school\ntodo.txt text projects"""),
           (_number("bytes", 1000, 9999), Free("shared", "bool"), _words("owner", "anna bruno clara diego elena felix"), _DATE)),
    Schema("sensor", ("sensor", "kind", "unit"), _things("""
boiler heat celsius\noven heat celsius\ntank level liter\nwell level meter\npump pressure bar\nvalve pressure bar\nmotor power watt
panel power watt\nmicrophone sound decibel\nsiren sound decibel\nlamp light lux\nwindow light lux\nscale mass gram"""),
           (_number("value", 100, 999), _words("state", "ok warning failed idle"), _DATE, _number("channel", 1, 16))),
    Schema("book", ("author", "genre", "shelf"), _things("""
Almeida novel A1\nBerger novel A2\nCastell poetry B1\nDupont poetry B2\nEriksen history C1\nFerrari history C2\nGarner travel D1
Hoffman travel D2\nIvanova science E1\nJansen science E2\nKowal drama F1\nLindgren drama F2"""),
           (_number("year", 1950, 2024), _number("pages", 90, 900), _words("binding", "paper cloth leather"), Free("lent", "bool"))),
    Schema("player", ("player", "club", "position"), _things("""
Amado Rovers goal\nBrink Rovers wing\nCole United goal
Dahl United center\nEgan Harriers wing\nFaro Harriers defense\nGrant Wanderers center
Holm Wanderers defense\nIrving Athletic goal\nJoyce Athletic wing\nKemp Albion center\nLowe Albion defense"""),
           (_number("goals", 0, 30), _number("games", 1, 60), _words("form", "good poor fair injured"), _DATE)),
    Schema("dish", ("dish", "course", "origin"), _things("""
soup starter village\nsalad starter coast\nolives starter island\ndumplings main mountain\nstew main village\nnoodles main coast
pancakes dessert valley\npudding dessert city\nsorbet dessert island\ncurry main harbor\nrisotto main valley\npie dessert mountain"""),
           (Free("price", "price", (), 3, 30), _words("spice", "mild hot sweet sour"), _number("minutes", 5, 90), Free("vegan", "bool"))),
    Schema("server", ("host", "region", "system"), _things("""
alpha north linux\nbeta north solaris\ngamma south linux\ndelta south windows\nomega east freebsd\nsigma east linux\nkappa west windows
theta west solaris\nzeta center freebsd\nlambda center linux\nepsilon north windows\nphi south freebsd"""),
           (_number("load", 1, 100), _words("status", "up down slow restarting"), _number("port", 1024, 9999), _DATE)),
    Schema("course", ("course", "teacher", "room"), _things("""
algebra Novak R101\ngeometry Novak R102\nbotany Olsen L201\nzoology Olsen L202\nGreek Perez H301\nLatin Perez H302\npainting Quinn A401
drawing Quinn A402\nchoir Rossi M501\npiano Rossi M502\nrowing Silva G601\nfencing Silva G602"""),
           (_words("day", "monday tuesday wednesday thursday friday"), _number("students", 5, 40), _words("level", "first second third"),
            Free("full", "bool"))),
)  # fmt: skip
