import pytest

from saescope.data.holdout import HeldOut, parse_holdout, part_of
from saescope.errors import ConfigError, NoTokens, UnreadableText


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("test.txt", ("test.txt", None)),
        ("test.txt:200", ("test.txt", 200)),
        ("C:\\text\\test.txt", ("C:\\text\\test.txt", None)),
        ("C:\\text\\test.txt:5", ("C:\\text\\test.txt", 5)),
        ("a:b/test.txt", ("a:b/test.txt", None)),
        ("12:30:7", ("12:30", 7)),
    ],
)
def test_only_digits_after_the_last_colon_are_a_number(given, expected):
    assert parse_holdout(given) == expected


def test_a_path_that_exists_is_a_path_whatever_its_name(tmp_path):
    path = tmp_path / "at_12:30"
    path.write_text("text")
    assert parse_holdout(str(path)) == (str(path), None)
    assert parse_holdout(f"{path}:3") == (str(path), 3)


def test_parts_by_hash():
    parts = [part_of(i, report_is_given=False) for i in range(5000)]
    assert 0.93 > parts.count("train") / 5000 > 0.87
    assert 0.07 > parts.count("select") / 5000 > 0.03
    assert 0.07 > parts.count("report") / 5000 > 0.03
    given = [part_of(i, report_is_given=True) for i in range(5000)]
    assert [part == "select" for part in given] == [part == "select" for part in parts], "S does not depend on the holdout"
    assert "report" not in given
    assert [i for i, part in enumerate(parts) if part == "report"][:5] == [1, 3, 13, 15, 27], "the rule must never change"


def test_first_n_documents_are_held_out(tmp_path):
    path = tmp_path / "test.txt"
    path.write_text("a\n<|endoftext|>\n\n<|endoftext|>\nb\n<|endoftext|>\nc")
    held = HeldOut(f"{path}:2", column="text")
    assert len(held) == 2
    assert " a \n" in held
    assert "c" not in held
    assert HeldOut(str(path), column="text").sha256() == HeldOut(f"{path}:3", column="text").sha256() != held.sha256()


def test_numbers_are_unique_also_for_copies(tmp_path):
    path = tmp_path / "test.txt"
    path.write_text("\n<|endoftext|>\n".join(["a", "b", "a", "a"]))
    held = HeldOut(str(path), column="text")
    for number, text in [(3, "a"), (5, "z"), (7, "a")]:
        held.look(number, text)
    assert list(held.numbered(100)) == [(3, "a"), (101, "b"), (7, "a"), (103, "a")]
    assert list(held.numbered(100)) == list(held.numbered(100))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("test.txt:3", ConfigError, r"first 3 documents, but .*test\.txt has 2\. Hold out at most 2"),
        ("test.txt:0", ConfigError, "holds out nothing"),
        ("tst.txt:1", UnreadableText, r"Did you mean 'test\.txt'"),
        ("empty.txt", NoTokens, r"the holdout .*empty\.txt holds no text"),
    ],
)
def test_holdouts_that_cannot_be(tmp_path, given, error, message):
    (tmp_path / "test.txt").write_text("a\n<|endoftext|>\nb")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(error, match=message):
        HeldOut(str(tmp_path / given), column="text")


def test_an_empty_holdout_is_refused():
    with pytest.raises(ConfigError, match="holds out nothing"):
        HeldOut("", column="text")
