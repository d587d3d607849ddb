"""Stages as a bar, as a table, or as plain lines."""

import io
import re
import sys

from saescope.cli import _reporter

ROWS = {
    "topk[16]": {"mse": 12.5, "auxk": 0.5, "fvu": 0.123, "l0": 16.0, "dead": 0.031, "lr": 4e-4},
    "jumprelu": {"mse": 20.0, "sparsity": 4.0, "fvu": 0.31, "l0": 33.25, "dead": 0.0, "lr": 7e-5, "window": 3e-6},
}


class Screen(io.StringIO):
    def isatty(self):
        return True


def put_screen(monkeypatch) -> Screen:
    """A terminal in place of stderr."""
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return screen


def test_meter_says_rate_and_time_left():
    now = [100.0]
    meter = _reporter.Meter("training", total=6_000_000, done=1_000_000, clock=lambda: now[0])
    assert meter.line() == "training  1,000,000 / 6,000,000 tokens  16.7 %"
    now[0] += 100
    meter.update(3_000_000, loss=0.123456, dead=3)
    assert meter.line() == "training  3,000,000 / 6,000,000 tokens  50.0 %  20,000 tokens/s  2:30 left  loss 0.1235  dead 3"
    meter.update(6_000_000)
    assert meter.line() == "training  6,000,000 / 6,000,000 tokens  100.0 %  50,000 tokens/s"


def test_meter_without_a_total():
    now = [0.0]
    meter = _reporter.Meter("reading", total=None, unit="documents", clock=lambda: now[0])
    now[0] = 2.0
    meter.update(10)
    assert meter.line() == "reading  10 documents  5 documents/s"


def test_progress_prints_plain_lines(capsys):
    with _reporter.progress("training", total=10, every_s=0) as tick:
        tick(5, loss=0.5)
        tick(10)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[:3] for line in lines] == [["training", "5 / 10 tokens", "50.0 %"], ["training", "10 / 10 tokens", "100.0 %"]]
    with _reporter.progress("training", total=10, every_s=1e9) as tick:
        tick(5)
        tick(10)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    screen = put_screen(monkeypatch)
    with _reporter.progress("training", total=10) as tick:
        tick(10, loss=0.25)
    assert "\x1b[" in screen.getvalue()
    assert all(word in screen.getvalue() for word in ("training", "100%", "loss 0.25"))


def test_several_saes_on_a_terminal_are_a_table_below_the_bar(monkeypatch):
    screen = put_screen(monkeypatch)
    with _reporter.progress("training", total=10) as tick:
        tick(5, rows=ROWS)
        print("a sentence in between", file=sys.stderr)
        tick(10, rows=ROWS)
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).replace("\r", "")
    last = drawn[drawn.rindex("training") :].splitlines()
    assert "100%" in last[0]
    assert "tokens/s" in last[0]
    assert last[1].split() == ["SAE", "FVU", "L0", "dead", "loss", "lr"]
    assert last[2].split() == ["topk[16]", "0.123", "16.0", "3.1", "%", "13.0", "4.0e−4"]
    assert last[3].split()[:2] == ["jumprelu", "0.310"]
    assert "window 3.0e−6: thresholds hardly learn" in last[3]
    assert "a sentence in between" in drawn


def test_several_saes_elsewhere_are_ranges_and_a_table_at_the_end(capsys):
    with _reporter.progress("training", total=10, every_s=0) as tick:
        tick(5, rows=ROWS)
        tick(10, rows=ROWS)
    first, second, *table = capsys.readouterr().err.splitlines()
    assert first.endswith("2 SAEs  fvu 0.123 .. 0.310  L0 16.0 .. 33.2  dead 0 % .. 3.1 %")
    assert second.startswith("training  10 / 10 tokens")
    assert [line.split()[0] for line in table] == ["SAE", "topk[16]", "jumprelu"]


def test_the_pipeline_reports_on_stderr(capsys):
    terminal = _reporter.Terminal()
    terminal.say("hello")
    with terminal.stage("training", 10, 5) as tick:
        tick(10, fvu=0.5)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hello\ntraining  10 / 10 tokens  100.0 %")
    assert "fvu 0.5" in err
