import json
import os
import signal
import subprocess
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from saescope import __version__, cli, errors
from saescope.cli import _common


@dataclass(frozen=True, kw_only=True)
class Inner:
    lr: float = 1e-3
    """Learning rate."""


@dataclass(frozen=True, kw_only=True)
class Config:
    model: str
    """A model's name or folder."""
    text: str
    """What to read."""
    tokens: int = 1000
    """Tokens to read."""
    d_sae: int | None = None
    """Width."""
    out: Path = Path("runs/demo")
    """Where to."""
    resume: bool = False
    """Continue."""
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        if self.tokens < 1:
            raise errors.ConfigError(f"tokens is {self.tokens}, but it must be at least 1")


def parse(*argv: str) -> Config:
    return _common.parse(argv, Config, prog="saescope verb", description="A verb.", positional=("model",))


@pytest.fixture
def verb(monkeypatch):
    """Install `saescope fake` with a given main()."""

    def install(main):
        monkeypatch.setitem(sys.modules, "saescope.cli.fake", types.SimpleNamespace(main=main))
        monkeypatch.setitem(cli.VERBS, "fake", ("saescope.cli.fake", "a test's verb"))

    return install


def raising(error):
    def main(argv):
        raise error

    return main


# --- the dispatcher ---


def test_help_lists_every_verb(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out and line in out for verb, (_, line) in cli.VERBS.items())


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"saescope {__version__}\n"


def test_no_verb_is_an_error_of_use(capsys):
    assert cli.main([]) == 2
    assert "usage: saescope VERB" in capsys.readouterr().err


def test_unknown_verb_names_the_nearest(capsys):
    assert cli.main(["trian"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ConfigError: 'trian' is not a verb of saescope. Did you mean 'train'")
    assert err.count("\n") == 1


def test_a_verb_gets_the_rest_and_its_code_is_returned(verb):
    seen = []
    verb(lambda argv: seen.append(argv) or 3)
    assert cli.main(["fake", "a", "--b", "c"]) == 3
    assert seen == [["a", "--b", "c"]]


def test_a_users_mistake_is_one_line(verb, capsys):
    verb(raising(errors.WidthMismatch("the SAE reads d_in=3,\n  but it is 4 wide")))
    assert cli.main(["fake"]) == 2
    assert capsys.readouterr() == ("", "error: WidthMismatch: the SAE reads d_in=3, but it is 4 wide\n")


def test_debug_shows_the_traceback(verb, capsys, monkeypatch):
    monkeypatch.setenv("SAESCOPE_DEBUG", "1")
    verb(raising(errors.DiskFull("full")))
    assert cli.main(["fake"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("error: DiskFull: full\n")


def test_our_own_bugs_are_not_dressed_up(verb):
    verb(raising(AssertionError("bug")))
    with pytest.raises(AssertionError):
        cli.main(["fake"])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted. Finished stages and the last checkpoint are kept: the same command continues.\n"),
        (KeyboardInterrupt("Stopped at step 7."), 130, "interrupted. Stopped at step 7.\n"),
        (SystemExit(143), 143, ""),
        (SystemExit(), 0, ""),
        (SystemExit("bad"), 1, "bad\n"),
    ],
)
def test_exit_codes(verb, capsys, error, code, said):
    verb(raising(error))
    assert cli.main(["fake"]) == code
    assert capsys.readouterr().err == said


def test_sigterm_unwinds_and_exits_with_143(verb, capsys):
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def main(argv):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):
                pass
        finally:
            cleaned.append(True)

    verb(main)
    assert cli.main(["fake"]) == 143
    assert cleaned == [True]
    assert capsys.readouterr().err.startswith("terminated. ")
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_reader_that_leaves_is_no_error():
    code = (
        "import sys, types\nfrom saescope import cli\n"
        "def main(argv):\n    for i in range(100000):\n        print(i)\n    return 0\n"
        "sys.modules['saescope.cli.fake'] = types.SimpleNamespace(main=main)\ncli.VERBS['fake'] = ('saescope.cli.fake', '')\n"
        "sys.exit(cli.main(['fake']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("name", sorted(cli.VERBS))
def test_every_verb_exists_and_explains_itself(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert f"saescope {name}" in capsys.readouterr().out


# --- flags ---


def test_flags_become_a_config():
    config = parse("m", "--text", "a b", "--tokens", "6e6", "--d-sae", "1_024", "--lr", "1", "--resume", "--out=x/y")
    assert config == Config(model="m", text="a b", tokens=6_000_000, d_sae=1024, inner=Inner(lr=1.0), resume=True, out=Path("x/y"))
    assert type(config) is Config
    assert parse("m", "--text", "t", "--d_sae", "none").d_sae is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["m", "--text", "t", "--tokns", "3"],
            r"^saescope verb has no option --tokns\. Did you mean '--tokens'.* See: saescope verb --help$",
        ),
        (["m", "--tex", "t"], r"has no option --tex\. Did you mean '--text'"),
        (["m"], r"Missing from saescope verb: --text STR .*See: saescope verb --help$"),
        (["m", "--text", "t", "--tokens", "many"], r"Error parsing --tokens: 'many' is not a whole number\. See"),
        (["m", "--text", "t", "--tokens", "1.5"], r"'1\.5' is not a whole number"),
        (["m", "--text", "t", "--tokens", "inf"], "'inf' is not a whole number"),
        (["m", "--text", "t", "--tokens", "1e999"], "'1e999' is not a whole number"),
        (["m", "--text", "t", "--d-sae", "wide"], r"Error parsing --d-sae: 'wide' is not a whole number\. See"),
        (["m", "--text", "t", "--lr", "fast"], r"'fast' is not a finite number"),
        (["m", "--text", "t", "--tokens"], "Missing value for argument '--tokens'"),
        (["m", "n", "--text", "t"], "does not know what to do with 'n'"),
        (["m", "--text", "t", "--tokens", "0"], "tokens is 0, but it must be at least 1"),
        (["m", "--text", "t", "--config"], "--config names no file"),
    ],
)
def test_wrong_flags_are_one_short_sentence(argv, message, capsys):
    with pytest.raises(errors.ConfigError, match=message) as caught:
        parse(*argv)
    assert len(str(caught.value)) < 200
    assert "│" not in str(caught.value)
    assert capsys.readouterr() == ("", "")


def test_help_of_a_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert not stop.value.code
    out = capsys.readouterr().out
    assert all(
        word in out for word in ("A verb.", "--tokens", "Tokens to read.", "--lr", "--config FILE", "A model's name or folder.", "MODEL")
    )


def test_flags_override_the_config_file(tmp_path):
    (tmp_path / "c.toml").write_text('text = "t"\ntokens = 7\n[inner]\nlr = 0.5\n')
    assert parse("m", "--config", str(tmp_path / "c.toml")) == Config(model="m", text="t", tokens=7, inner=Inner(lr=0.5))
    assert parse("--config=" + str(tmp_path / "c.toml"), "m", "--tokens", "9").tokens == 9
    (tmp_path / "c.json").write_text('{"schema": "saescope.run/1", "model": "m", "text": "t"}')
    assert parse("--config", str(tmp_path / "c.json")) == Config(model="m", text="t")


def test_a_wrong_config_file_is_named(tmp_path):
    (tmp_path / "c.json").write_text('{"tokns": 7}')
    with pytest.raises(errors.ConfigError, match="tokns is not a field of Config"):
        parse("m", "--config", str(tmp_path / "c.json"))
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        parse("m", "--config", str(tmp_path / "absent.json"))


# --- output ---


def test_json_is_strict(capsys):
    _common.print_json({"a": ["ü", None]})
    assert json.loads(capsys.readouterr().out) == {"a": ["ü", None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        _common.print_json(float("nan"))


def test_console_is_plain_off_a_terminal(capsys):
    _common.console().print("[bold red]wide[/] " + "x" * 200)
    assert capsys.readouterr().out == "wide " + "x" * 200 + "\n"


@dataclass(frozen=True, kw_only=True)
class Lists:
    names: tuple[str, ...] = ("a", "b")
    sizes: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    last: int = 0


@pytest.mark.parametrize(
    ("argv", "names", "sizes", "rates"),
    [
        ("", ("a", "b"), (), ()),
        ("--names x,y --sizes 1,2", ("x", "y"), (1, 2), ()),
        ("--names x y --sizes 1e3 2_000 --last 3", ("x", "y"), (1000, 2000), ()),
        ("--names k=1,2 z --rates 0.5,1e-3", ("k=1,2", "z"), (), (0.5, 1e-3)),
        ("--names= --sizes", (), (), ()),
    ],
)
def test_several_values_are_separated_by_commas_or_spaces(argv, names, sizes, rates):
    parsed = _common.parse(argv.split(), Lists, prog="saescope verb")
    assert (parsed.names, parsed.sizes, parsed.rates) == (names, sizes, rates)


def test_a_wrong_value_of_several_is_named():
    with pytest.raises(errors.ConfigError, match=r"--sizes.*'1.5' is not a whole number"):
        _common.parse(["--sizes", "1,1.5"], Lists, prog="saescope verb")
