"""A job of several parts, told as one stage after the other."""

from contextlib import contextmanager

import pytest

from saescope.pipeline.reporter import Parts, Silent


class Notes:
    def __init__(self):
        self.lines = []

    @contextmanager
    def stage(self, title, total, done=0):
        self.lines.append(("open", title, total))
        yield lambda done, **facts: self.lines.append((title, done))
        self.lines.append(("close", title))


def test_each_part_is_a_stage_that_is_closed_before_the_next():
    notes = Notes()
    with Parts(notes, "evaluating") as progress:
        progress("select", 1, 2)
        progress("select", 2, 2)
        progress("fidelity", 5, 9)
    one, two = "evaluating: select", "evaluating: fidelity"
    assert notes.lines == [("open", one, 2), (one, 1), (one, 2), ("close", one), ("open", two, 9), (two, 5), ("close", two)]


def test_no_part_is_no_stage():
    notes = Notes()
    with Parts(notes, "evaluating"):
        pass
    assert notes.lines == []


def test_silence(capsys):
    silent = Silent()
    silent.say("hello")
    with silent.stage("training", 5) as tick:
        tick(3, fvu=0.1)
    with pytest.raises(ValueError), silent.stage("training", None, 2):
        raise ValueError
    assert capsys.readouterr() == ("", "")
