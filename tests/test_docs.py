"""The documentation is run: its Python blocks are executed, its command lines are checked against the verbs and their flags."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiny
from saescope import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- no-run: (?P<reason>.+?) -->\n)?^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
FLAG = r"(?<![\w-])--[a-z0-9][a-z0-9-]*"


def blocks(text: str) -> Iterator[tuple[str, str, str | None, int]]:
    """(language, code, reason not to run it, line of the code) of each fenced block."""
    for match in BLOCK.finditer(text):
        yield match["language"], match["code"], match["reason"], text[: match.start("code")].count("\n") + 1


def command_lines(text: str) -> Iterator[str]:
    """Lines of sh and console blocks that call saescope, with continued lines joined."""
    for language, code, _, _ in blocks(text):
        if language in ("sh", "bash", "shell", "console"):
            for line in re.sub(r"\\\n\s*", " ", code).splitlines():
                if (line := line.strip().removeprefix("$ ")).startswith("saescope"):
                    yield line


def run_python(text: str, name: str) -> int:
    """Run a page's Python blocks in one namespace; returns how many."""
    namespace: dict[str, object] = {"__name__": "docs"}
    n = 0
    for language, code, reason, line in blocks(text):
        if language == "python" and reason is None:
            exec(compile("\n" * (line - 1) + code, name, "exec"), namespace)
            n += 1
    return n


def command_faults(line: str, help_of) -> list[str]:
    """What a command line names that does not exist; `help_of(words)` is the help text of a verb."""
    words = shlex.split(line, comments=True)[1:]
    if not words or words[0] in ("--help", "--version"):
        return []
    if words[0] not in cli.VERBS:
        return [f"{line}: no verb {words[0]}"]
    verb = words[:3] if "--recipe" in words else words[:2] if words[0] == "features" else words[:1]
    known = {*re.findall(FLAG, help_of(verb)), "--help", "--config", "--recipe"}
    return [f"{line}: {' '.join(verb)} has no {word}" for word in words if word.startswith("--") and word.split("=")[0] not in known]


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


STORIES = "\n<|endoftext|>\n".join(f"the cat and dog number {i} ran in the rain and sang a song of {i} birds" for i in range(300))


@pytest.fixture(scope="module")
def tiny_model_folder(tmp_path_factory):
    """What the pages call path/to/model."""
    folder = tmp_path_factory.mktemp("model")
    tiny.tiny_model("llama").save_pretrained(folder)
    tiny.tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_blocks_run(page, tmp_path, monkeypatch, tiny_model_folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stories.txt").write_text(STORIES)
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "model").symlink_to(tiny_model_folder)
    run_python(page.read_text(encoding="utf-8"), str(page))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_command_lines_exist(page, capsys):
    def help_of(verb: list[str]) -> str:
        assert cli.main([*verb, "--help"]) == 0
        return capsys.readouterr().out

    assert [fault for line in command_lines(page.read_text(encoding="utf-8")) for fault in command_faults(line, help_of)] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_verb_is_documented():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [verb for verb in cli.VERBS if f"`{verb}" not in page] == []


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f": {page.relative_to(ROOT / 'docs').as_posix()}" not in nav] == []


def test_documented_lines_of_rooms_are_the_tested_ones():
    from test_architecture import LINES

    text = next(
        code for code in (ROOT / "docs" / "design.md").read_text(encoding="utf-8").split("```") if code.strip().startswith("0   errors")
    )
    drawn = [set(re.findall(r"[a-z][a-z0-9_]*", part)) for line in text.strip().splitlines() for part in line.split("<")]
    assert drawn == [{room for room in line if not room.startswith("_")} for line in LINES]


def test_the_checker_runs_and_skips():
    page = "```python\nx = 1\n```\ntext\n<!-- no-run: why -->\n```python\nx = 2\n```\n```python\nassert x == 1\n```\n```sh\nboom\n```\n"
    assert run_python(page, "page") == 2
    with pytest.raises(ZeroDivisionError):
        run_python("```python\n1 / 0\n```\n", "page")


@pytest.mark.parametrize(
    ("page", "faults"),
    [
        ("```sh\nsaescope run M --at x --text t # --no\n```", 0),
        ("```console\n$ saescope run M \\\n    --at x --config=f.toml\n```", 0),
        ("```sh\nsaescope features build R --at x\nls --foo\nsaescope --help\n```", 0),
        ("```sh\nsaescope run M --att x\n```", 1),
        ("```sh\nsaescope runn M\n```", 1),
        ("```console\n$ saescope run M \\\n    --att x --tex t\n```", 2),
    ],
)
def test_the_checker_knows_verbs_and_flags(page, faults):
    found = [fault for line in command_lines(page + "\n") for fault in command_faults(line, lambda verb: "--at STR  --text STR")]
    assert len(found) == faults
