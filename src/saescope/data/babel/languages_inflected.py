"""Invented Cyrillic, Greek and Devanagari: stems and endings, with agreement in gender, number and case."""

from collections.abc import Mapping, Sequence

from saescope.data.babel.language import Language, Noun, joined

_CYRILLIC = {
    0: "дом лес город стол мост сад остров поезд хлеб завод дуб туман вагон телефон театр вечер".split(),
    1: "гор звезд лун трав птиц школ машин комнат улиц стен рыб корзин шуб зим ламп карт".split(),
    2: "окн сел дерев озер крыл зеркал болот мест слов письм колес одеял".split(),
}
_CYRILLIC_ENDINGS = {
    0: (("", "ы"), ("а", "ов"), ("е", "ах")),
    1: (("а", "ы"), ("у", "ы"), ("е", "ах")),
    2: (("о", "а"), ("о", "а"), ("е", "ах")),
}
_CYRILLIC_ADJECTIVES = "нов стар мал красн зелен бел черн добр зл тепл холодн светл темн бедн умн прост".split()
_CYRILLIC_VERBS = "зна чита дела реша игра теря меня броса встреча покупа продава слуша рисова узна".split()

_GREEK = {
    0: "δρόμ λόφ κήπ ουραν ποταμ δάσκαλ φίλ τοίχ καιρ ήλι σταθμ χορ".split(),
    1: "θάλασσ πόρτ μητέρ γέφυρ βάρκ τράπεζ εικόν πέτρ ώρ γλώσσ αγορ σκάλ".split(),
    2: "βιβλί δέντρ σχολεί νησί πλοί χωρί βουν ψωμί φύλλ τρέν παιδί σπίτ".split(),
}
_GREEK_ENDINGS = {0: (("ος", "οι"), ("ο", "ους")), 1: (("α", "ες"), ("α", "ες")), 2: (("ο", "α"), ("ο", "α"))}
_GREEK_ADJECTIVES = "μικρ μεγάλ καλ νέ παλι άσπρ μαύρ κόκκιν ήσυχ ψηλ ζεστ κρύ όμορφ δυνατ".split()
_GREEK_VERBS = "βλέπ γράφ διαβάζ ακού φέρν χτίζ κρατ ανοίγ κλείν ψάχν θέλ μαζεύ".split()

_HINDI = {
    0: "लड़क घोड़ कमर रास्त तार पौध कपड़ दरवाज़ झरन मेल कुत्त डिब्ब".split(),
    1: "लड़क नद रोट गाड़ कुर्स टोप मछल चिड़िय पहाड़ खिड़क बिल्ल कहान".split(),
}
_HINDI_ADJECTIVES = "बड़ छोट नय पुरान काल हर मीठ ठंड अच्छ लंब".split()
_HINDI_VERBS = "देख लिख पढ़ सुन खोल पकड़ खोज बना ला बेच".split()


def cyrillic() -> Language:
    """Adjectives and "this" agree in gender, number and case; verbs with their subject in gender and number."""
    adjective = {
        0: (("ый", "ые"), ("ого", "ых"), ("ом", "ых")),
        1: (("ая", "ые"), ("ую", "ых"), ("ой", "ых")),
        2: (("ое", "ые"), ("ое", "ых"), ("ом", "ых")),
    }
    endings = [adjective[gender][case][number] for case in range(3) for gender in range(3) for number in range(2)]
    this = tuple("эт" + ending for ending in "от и а и о и ого их у их о их ом их ой их ом их".split())
    verbs = zip(joined(_CYRILLIC_VERBS, ("л", "ли", "ла", "ли", "ло", "ли")), joined(_CYRILLIC_VERBS, ("ет", "ют") * 3), strict=True)
    return Language(
        _by_case(_CYRILLIC, _CYRILLIC_ENDINGS), joined(_CYRILLIC_ADJECTIVES, endings), tuple(verbs), relations=("в", "на", "о", "при"),
        adverbs=("сегодня", "здесь", "там", "часто", "снова"), conjunctions=("и", "а", "но", "потому что"), order="SVO", inside="DAN",
        determiners=(("",) * 18, ("",) * 18, this), question="разве",
    )  # fmt: skip


def greek() -> Language:
    """An article before every noun; article and adjective agree in gender, number and case, the verb in number."""
    articles = ("ο", "οι", "η", "οι", "το", "τα", "τον", "τους", "την", "τις", "το", "τα")
    article_in = ("στον", "στους", "στην", "στις", "στο", "στα")
    adjective = {0: (("ος", "οι"), ("ο", "ους")), 1: (("η", "ες"), ("η", "ες")), 2: (("ο", "α"), ("ο", "α"))}
    endings = [adjective[gender][min(case, 1)][number] for case in range(3) for gender in range(3) for number in range(2)]
    three = {gender: (*cases, cases[1]) for gender, cases in _GREEK_ENDINGS.items()}
    return Language(
        _by_case(_GREEK, three), joined(_GREEK_ADJECTIVES, endings),
        tuple(zip(joined(_GREEK_VERBS, ("ει", "ουν") * 3), joined(_GREEK_VERBS, ("ε", "αν") * 3), strict=True)),
        relations=("πάνω", "μέσα", "κοντά", "κάτω", "δίπλα"), adverbs=("σήμερα", "εδώ", "εκεί", "πάντα", "αργά"),
        conjunctions=("και", "αλλά", "γιατί", "όμως"), order="SVO", inside="DAN", determiners=((*articles, *article_in),),
        marks=(", ", ". ", "; "), question="άραγε",
    )  # fmt: skip


def devanagari() -> Language:
    """The verb comes last and agrees with the subject in gender and number, over the object between them."""
    nouns = []
    for gender, stems in _HINDI.items():
        one, many, some = ("ी", "ियाँ", "ियों") if gender else ("ा", "े", "ों")
        for stem in stems:
            straight = ((stem + one, gender * 2, gender * 2), (stem + many, gender * 2 + 1, gender * 2 + 1))
            oblique = ((stem + (one if gender else "े"), 2 * gender + 1, 0), (stem + some, 2 * gender + 1, 0))
            nouns.append((straight, straight, oblique))
    verbs = tuple(zip(
        joined(_HINDI_VERBS, ("ता है", "ते हैं", "ती है", "ती हैं")), joined(_HINDI_VERBS, ("ेगा", "ेंगे", "ेगी", "ेंगी")), strict=True,
    ))  # fmt: skip
    return Language(
        tuple(nouns), joined(_HINDI_ADJECTIVES, ("ा", "े", "ी", "ी")), verbs, relations=("- में", "- पर", "- से", "- को"),
        adverbs=("आज", "यहाँ", "कल", "फिर"), conjunctions=("और", "लेकिन", "क्योंकि"), order="SOV", inside="AN",
        marks=(", ", "। ", "? "), question="क्या",
    )  # fmt: skip


def _by_case(stems: Mapping[int, Sequence[str]], endings: Mapping[int, Sequence[tuple[str, str]]]) -> tuple[Noun, ...]:
    """Nouns of three genders in three cases; agreement is case x gender x number, the verb's gender x number."""
    nouns = []
    for gender in stems:
        for stem in stems[gender]:
            subject, object_, oblique = (
                tuple((stem + endings[gender][case][number], case * 6 + gender * 2 + number, gender * 2 + number) for number in range(2))
                for case in range(3)
            )
            nouns.append((subject, object_, oblique))
    return tuple(nouns)
