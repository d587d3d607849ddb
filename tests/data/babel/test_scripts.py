"""Script documents: letters in their own block, words that recur and agree."""

import unicodedata

import numpy as np
import pytest

from saescope.data.babel import accepts
from saescope.data.babel.draw import Draw
from saescope.data.babel.families import SCRIPTS
from saescope.data.babel.language import Speaker
from saescope.data.babel.page import Page
from saescope.data.babel.scripts import LANGUAGES, phrase
from saescope.data.babel.unicode_blocks import SCRIPT_BLOCKS, script_of
from saescope.data.babel.writers import WRITERS
from saescope.errors import ConfigError


def _text(script: str, i: int, size: int = 800) -> str:
    page = Page()
    WRITERS[script](page, Draw(0, i), size)
    assert page.spans() == []
    return page.text()


def _scripts(text: str) -> np.ndarray:
    return script_of(np.array([ord(c) for c in text]))


@pytest.mark.parametrize("script", LANGUAGES)
def test_letters_are_all_in_the_blocks(script: str) -> None:
    for i in range(40):
        text = _text(script, i)
        found = _scripts(text)
        for c, number in zip(text, found, strict=True):
            expected = 1 + SCRIPTS.index(script) if unicodedata.category(c)[0] in "LM" else 0
            assert number == expected, (c, text)


@pytest.mark.parametrize("script", LANGUAGES)
def test_a_document_has_few_words_and_they_recur(script: str) -> None:
    if script not in ("han", "thai"):
        words = _text(script, 5, 1500).replace(".", " ").split()
        assert len(set(words)) < 0.75 * len(words)
    assert len({_text(script, i)[:20] for i in range(50)}) > 40


@pytest.mark.parametrize("script", LANGUAGES)
def test_no_blanks_at_the_end_nor_two_in_a_row(script: str) -> None:
    for i in range(40):
        text = _text(script, i)
        assert text == text.strip()
        assert "  " not in text


@pytest.mark.parametrize("script", LANGUAGES)
def test_adjectives_and_verbs_agree(script: str) -> None:
    """Every form that a lexicon's noun asks for exists in its adjectives, determiners and verbs."""
    language = LANGUAGES[script]()
    for noun in language.nouns:
        for role in noun:
            for _, agreement, person in role:
                assert all(len(forms) > agreement for forms in (*language.adjectives, *language.determiners))
                assert all(len(tense) > person for verb in language.verbs for tense in verb)
    assert len({len(tenses) for tenses in language.verbs}) == 1


def test_the_hebrew_adjective_is_definite_with_its_noun() -> None:
    language = LANGUAGES["hebrew"]()
    speaker = Speaker(language, Draw(0, 0))
    adjectives = {form: place for forms in language.adjectives for place, form in enumerate(forms)}
    seen = set()
    for _ in range(200):
        words, person = speaker.noun_phrase(0)
        if len(words) == 2:
            assert adjectives[words[1]] % 4 == person
            assert (adjectives[words[1]] >= 4) == (
                words[0] in {form for noun in language.nouns for form, place, _ in noun[0] if place >= 4}
            )
            seen.add(adjectives[words[1]])
    assert len(seen) > 3


def test_phrase_has_as_many_words_as_wanted() -> None:
    assert [len(phrase("arabic", Draw(0, n), n).split()) for n in (1, 4, 9)] == [1, 4, 9]
    assert accepts("thai", phrase("thai", Draw(0, 0), 6))
    with pytest.raises(ConfigError, match="Did you mean 'arabic'"):
        phrase("arabik", Draw(0, 0), 2)


def test_blocks_hold_letters_and_marks_only() -> None:
    for script, blocks in SCRIPT_BLOCKS.items():
        for first, last in blocks:
            strange = [hex(c) for c in range(first, last + 1) if unicodedata.category(chr(c))[0] not in "LMC"]
            assert not strange, (script, strange)


def test_blocks_hold_every_letter_that_unicode_names_after_the_script() -> None:
    names = {
        script: f"{script.upper()} {'CHARACTER' if script == 'thai' else 'LETTER'} "
        for script in SCRIPTS
        if script not in ("han", "hangul")
    }
    for script, name in names.items():
        letters = [c for c in range(0x2000) if unicodedata.name(chr(c), "").startswith(name) and unicodedata.category(chr(c))[0] == "L"]
        missing = [hex(c) for c in letters if script_of(np.array([c]))[0] != 1 + SCRIPTS.index(script)]
        # 1d00..1dff: phonetic signs, letters of no written language.
        assert not [c for c in missing if not 0x1D00 <= int(c, 16) < 0x1E00], (script, missing)
    assert list(_scripts("aZ é1 \n_ش1؟הд,한字。कไ𠀀")) == [1, 1, 0, 1, 0, 0, 0, 0, 2, 0, 0, 3, 5, 0, 4, 7, 0, 8, 9, 7]
