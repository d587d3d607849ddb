"""Invented Arabic and Hebrew: words made of a root of three consonants and a pattern, with prefixes glued to them."""

from saescope.data.babel.language import Language, Noun

_ARABIC_ROOTS = (
    "كتب درس علم حمل سكن فتح رسم شرب طبخ زرع حصد صنع لعب سمع نظر خرج دخل جلس قرر ركب سبح غسل قطع كسر لبس مسك نزل هرب وصل ضحك "
    "عرف فهم قفز كشف نقل ربط سرق شكر صعد طلب عمل غرف فرح قلب نجم بحر جبل شجر قمر مطر ملك حرس بيت سفن"
).split()
_HEBREW_ROOTS = (
    "כתב למד שמר סגר פתח גדל זרע קצר בשל שתל רקד שמע נגן צחק רכב שחק קפץ דרכ חבר ספר מלכ נהר שמש ירק אדמ זהב כספ לבנ ברזל עננ "
    "גשמ רגל ידע חלמ צמח פרח גבה רחב חזק מהר שקט נקי עמק ענק בית דלת"
).split()
_FINAL = str.maketrans("כמנפצ", "ךםןףץ")


def arabic() -> Language:
    """Verb first; noun and adjective agree in definiteness, number and gender, the verb with its subject behind it."""
    nouns = []
    for r, root in enumerate(_ARABIC_ROOTS):
        a, b, c = list(root)
        masculine = (f"{a}ا{b}{c}", f"م{a}{b}{c}", f"{a}{b}ا{c}", f"م{a}{b}و{c}")
        feminine = (f"م{a}{b}{c}ة", f"{a}{b}ي{c}ة", f"{a}ا{b}{c}ة", f"ت{a}{b}{c}ة")
        for k in (r % 4, (r + 2) % 4):
            nouns += [_arabic_noun(masculine[k], 0), _arabic_noun(feminine[k], 1)]
    adjectives = []
    for a, b, c in map(list, _ARABIC_ROOTS[::2]):
        stem = f"{a}{b}ي{c}"
        forms = [stem, stem + "ون", stem + "ة", stem + "ات"]
        adjectives.append((*forms, *("ال" + form for form in forms)))
    verbs = []
    for root in _ARABIC_ROOTS[1::2]:
        past = tuple(root + ending for ending in ("", "وا", "ت", "ن"))
        present = ("ي" + root, "ي" + root + "ون", "ت" + root, "ي" + root + "ن")
        verbs.append((past, present))
    return Language(
        tuple(nouns), tuple(adjectives), tuple(verbs), relations=("في", "من", "على", "إلى", "تحت", "ب-", "ك-"),
        adverbs=("اليوم", "هنا", "هناك", "غدا", "قليلا", "كثيرا", "ليلا"), conjunctions=("و-", "ثم", "لكن", "ف-", "حتى"),
        order="VSO", inside="NA", marks=("، ", ". ", "؟ "), question="هل",
    )  # fmt: skip


def hebrew() -> Language:
    """Subject first; noun and adjective agree in definiteness, number and gender, the verb with its subject."""
    nouns = []
    for r, root in enumerate(_HEBREW_ROOTS):
        a, b, c = root[0], root[1], root[2:]
        masculine = (f"מ{a}{b}{c}", f"{a}ו{b}{c}", f"{a}{b}י{c}", f"{a}י{b}ו{c}")
        feminine = (f"ת{a}{b}ו{c}", f"{a}{b}י{c}", f"מ{a}{b}{c}", f"{a}ו{b}{c}")
        for k in (r % 4, (r + 1) % 4):
            nouns += [_hebrew_noun(masculine[k], 0), _hebrew_noun(feminine[(k + 2) % 4], 1)]
    adjectives = []
    for root in _HEBREW_ROOTS[::2]:
        stem = root[:2] + "ו" + root[2:]
        forms = [_final(stem), stem + "ים", stem + "ה", stem + "ות"]
        adjectives.append((*forms, *("ה" + form for form in forms)))
    verbs = []
    for root in _HEBREW_ROOTS[1::2]:
        stem = root[0] + "ו" + root[1:]
        past = (_final(root), root + "ו", root + "ה", root + "ו")
        verbs.append((past, (_final(stem), stem + "ים", stem + "ת", stem + "ות")))
    return Language(
        tuple(nouns), tuple(adjectives), tuple(verbs), relations=("ב-", "ל-", "מ-", "על", "אל", "תחת", "ליד"),
        adverbs=("היום", "כאן", "שם", "מחר", "מאוד", "לאט", "תמיד"), conjunctions=("ו-", "אבל", "כי", "ואז", "או"),
        order="SVO", inside="NA", question="האם",
    )  # fmt: skip


def _arabic_noun(stem: str, gender: int) -> Noun:
    bare = stem.removesuffix("ة")
    subject, other = [(stem, gender * 2), ("ال" + stem, 4 + gender * 2)], []
    other += subject
    subject.append(("ال" + bare + ("ات" if gender else "ون"), 5 + gender * 2))
    other.append(("ال" + bare + ("ات" if gender else "ين"), 5 + gender * 2))
    return _same_person(subject), _same_person(other), _same_person(other)


def _hebrew_noun(stem: str, gender: int) -> Noun:
    one, many = (stem + "ה", stem + "ות") if gender else (_final(stem), stem + "ים")
    forms = [(one, gender * 2), ("ה" + one, 4 + gender * 2), (many, 1 + gender * 2), ("ה" + many, 5 + gender * 2)]
    objects = [("את " + form if agreement > 3 else form, agreement) for form, agreement in forms]
    return _same_person(forms), _same_person(objects), _same_person(forms)


def _same_person(forms: list[tuple[str, int]]) -> tuple[tuple[str, int, int], ...]:
    """The verb agrees in number and gender, definite or not."""
    return tuple((form, agreement, agreement % 4) for form, agreement in forms)


def _final(word: str) -> str:
    """The last letter in its final form."""
    return word[:-1] + word[-1].translate(_FINAL)
