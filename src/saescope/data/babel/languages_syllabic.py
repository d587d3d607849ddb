"""Invented Hangul, Han and Thai: words made of syllables, with particles, measure words and politeness that agree."""

from saescope.data.babel.language import Form, Language, Noun, joined

_LEADS, _VOWELS, _TAILS = (0, 2, 3, 5, 6, 7, 9, 11, 12, 18), (0, 4, 8, 13, 20), (0, 0, 1, 4, 8, 16, 21)
"""Places in Unicode's lists of initial consonants, vowels and final consonants."""

_MEASURES = {"个": "人家生", "条": "河路鱼", "张": "桌纸床", "只": "鸟船狗"}
_BEFORE = "大小老新山海水火木石金花天风"
_HAN_ADJECTIVES = "高大 安静 美丽 古老 寒冷 温暖 明亮 黑暗 快乐 干净 遥远 年轻".split()
_HAN_VERBS = "看见 寻找 喜欢 记得 带来 打开 关上 听到 画出 修好 等待 送给".split()

_THAI = {
    "คน": "ครู หมอ เด็ก ชาวนา แม่ครัว ทหาร เพื่อน ช่าง".split(),
    "ตัว": "แมว หมา ม้า ปลา นก ช้าง เสื้อ เก้าอี้".split(),
    "ใบ": "ตะกร้า กล่อง แก้ว จาน หมวก กระเป๋า ตั๋ว ถ้วย".split(),
}
_THAI_ADJECTIVES = "ใหญ่ เล็ก ใหม่ เก่า สวย เงียบ เร็ว ดำ ขาว แดง".split()
_THAI_VERBS = "เห็น หา รัก ซื้อ ขาย ล้าง เรียก ถือ วาด รอ".split()


def hangul() -> Language:
    """Particles agree with the noun's last syllable, the verb with the subject: honorific for persons. One politeness a document."""
    nouns: list[Noun] = []
    for n in range(140):
        stem = _syllable(n * 7 + 3) + _syllable(n * 11 + n // 5)
        closed = (ord(stem[-1]) - 0xAC00) % 28 > 0
        person = n % 2
        stem += "님" if person and n % 3 == 0 else ""
        closed = closed or stem[-1] == "님"
        as_subject: tuple[Form, ...] = (
            (stem + ("이" if closed else "가"), person, person),
            (stem + ("은" if closed else "는"), person, person),
        )
        nouns.append((as_subject, ((stem + ("을" if closed else "를"), person, person),), ((stem, person, person),)))
    stems = [_syllable(n * 13 + 5) + _syllable(n * 17 + 40 + n // 4) for n in range(80)]
    adjectives = joined(stems[:40], ("한", "로운"))
    endings = (("합니다", "하십니다"), ("했어요", "하셨어요"), ("한다", "하신다"))
    verbs = tuple(zip(*(joined(stems[40:], ending) for ending in endings), strict=True))
    return Language(
        tuple(nouns), adjectives, verbs, relations=("-에서", "-까지", "-처럼", "-위에", "-앞에"),
        adverbs=("오늘", "아주", "다시", "천천히", "여기", "자주"), conjunctions=("그리고", "그러나", "그래서", "그런데"),
        order="SOV", inside="AN", question="과연",
    )  # fmt: skip


def han() -> Language:
    """Measure words agree with the noun behind the adjective; several subjects ask for 都 before the verb. No spaces."""
    nouns = []
    for class_, (_, ends) in enumerate(_MEASURES.items()):
        for e, end in enumerate(ends):
            for k in range(4):
                word = _BEFORE[(class_ * 5 + e * 3 + k * 2) % len(_BEFORE)] + end
                forms = tuple((word, class_ * 2 + many, many) for many in range(2))
                nouns.append((forms, forms, forms))
    measures = [number + measure for measure in _MEASURES for number in ("一", "三")]
    verbs = tuple(tuple((verb + aspect, "都" + verb + aspect) for aspect in ("了", "着")) for verb in _HAN_VERBS)
    return Language(
        tuple(nouns), tuple((word + "的",) * 8 for word in _HAN_ADJECTIVES), verbs, relations=("在-", "从-", "向-", "-里"),
        adverbs=("今天", "常常", "这里", "已经"), conjunctions=("但是-", "因为-", "而且-", "所以-"), order="SVO", inside="DAN",
        determiners=(tuple(measures), tuple(word.replace("一", "这").replace("三", "那几") for word in measures)),
        gap="", marks=("，", "。", "？"), question="难道",
    )  # fmt: skip


def thai() -> Language:
    """Measure words behind noun and adjective agree with the noun. No spaces inside a clause."""
    nouns = []
    for class_, words in enumerate(_THAI.values()):
        for word in words:
            forms = ((word, class_, 0),)
            nouns.append((forms, forms, forms))
    verbs = tuple(tuple((form,) for form in forms) for forms in joined(_THAI_VERBS, ("แล้ว", "อยู่")))
    return Language(
        tuple(nouns), tuple((word,) * 3 for word in _THAI_ADJECTIVES), verbs, relations=("ใน-", "บน-", "ใต้-", "จาก-"),
        adverbs=("วันนี้", "ที่นี่", "เสมอ", "อีก"), conjunctions=("และ-", "แต่-", "เพราะ-"), order="SVO", inside="NAD",
        determiners=(tuple(_THAI_DETERMINERS), tuple(measure + "นี้" for measure in _THAI)), gap="", marks=(" ", "ฯ ", "? "), question="หรือ",
    )  # fmt: skip


_THAI_DETERMINERS = ["สอง" + measure for measure in _THAI]


def _syllable(n: int) -> str:
    """One of 350 syllables: U+AC00 + (lead x 21 + vowel) x 28 + tail."""
    n, lead = divmod(n * 37, len(_LEADS))
    n, vowel = divmod(n, len(_VOWELS))
    return chr(0xAC00 + (_LEADS[lead] * 21 + _VOWELS[vowel]) * 28 + _TAILS[n % len(_TAILS)])
