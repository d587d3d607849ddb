"""What the verbs share: flags from a config class, JSON on stdout, and a console."""

import contextlib
import dataclasses
import io
import json
import math
import re
import sys
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from saescope.config import partial, read_config
from saescope.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from rich.console import Console

C = TypeVar("C")


def parse(
    argv: Sequence[str],
    cls: type[C],
    *,
    prog: str,
    description: str = "",
    positional: Sequence[str] = (),
    usual: Mapping[str, Any] | None = None,
) -> C:
    """The config that flags describe: a flag per field, those named in `positional` without one.

    `--config FILE` (JSON or TOML) sets fields, without it `usual` does; flags override both. Whole numbers may be written 6e6 or
    1_000. The string under a field is its help. `--help` prints and exits with 0.

    Raises: ConfigError for an unknown flag (nearest flags), a value of another type, a required flag left out.
    """
    import tyro

    argv, file = _take_config(list(argv))
    form = _with_positionals(cls, positional)
    below = read_config(file) if file is not None else usual
    default = partial(form, below, absent=tyro.MISSING) if below is not None else tyro.MISSING_NONPROP
    options: dict[str, Any] = {
        "prog": prog,
        "description": description + "\n\n--config FILE reads these options from a JSON or TOML file; flags override it.",
        "registry": _number_rules(),
        "config": (tyro.conf.OmitArgPrefixes,),
        "default": default,
    }
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(form, args=argv, return_unknown_args=True, **options)
    except SystemExit as stop:
        if not stop.code:
            raise
        unknown = [word for word in argv if word.startswith("--") and _flag(word) not in _flags(form, options)]
        raise ConfigError(_unknown(unknown, form, options) if unknown else f"{_unboxed(said.getvalue())} See: {prog} --help") from None
    if unknown:
        raise ConfigError(_unknown(unknown, form, options))
    return cls(**{field.name: getattr(parsed, field.name) for field in dataclasses.fields(cls) if field.init})  # type: ignore[arg-type]


def print_json(value: Any) -> None:
    """One JSON value on stdout, for --json."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def console(*, stderr: bool = False) -> "Console":
    """A rich console: colours on a terminal, plain text of a fixed width elsewhere (logs, pipes, CI)."""
    from rich.console import Console

    plain = not (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, soft_wrap=plain, width=140 if plain else None, color_system=None if plain else "auto")


def _take_config(argv: list[str]) -> tuple[list[str], str | None]:
    for i, word in enumerate(argv):
        if word == "--config":
            if i + 1 == len(argv):
                raise ConfigError("--config names no file. Give one: --config FILE.json, or FILE.toml")
            return argv[:i] + argv[i + 2 :], argv[i + 1]
        if word.startswith("--config="):
            return argv[:i] + argv[i + 1 :], word.removeprefix("--config=")
    return argv, None


def _with_positionals(cls: type, names: Sequence[str]) -> Any:
    """The config class with some fields marked for tyro, so that the class itself need not know of command lines."""
    import tyro

    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    marked: list[Any] = []
    for name in names:
        given = {key: getattr(fields[name], key) for key in ("default", "default_factory")}
        positional: Any = tyro.conf.Positional
        hint = Annotated[hints[name], tyro.conf.arg(metavar=name.upper())]
        marked.append((name, positional[hint], dataclasses.field(kw_only=True, **given)))
    return dataclasses.make_dataclass(cls.__name__, marked, bases=(cls,), frozen=True) if marked else cls


def _number_rules() -> Any:
    """tyro's rules for numbers, optional ones too: 6e6 is a whole number, "none" is no number, and a refusal is one sentence.

    Several values are separated by spaces or commas; a word with an "=" (NAME=VALUE) keeps its commas.
    """
    import tyro

    registry = tyro.constructors.ConstructorRegistry()

    def rule(info: Any) -> Any:
        union = get_origin(info.type) in (Union, types.UnionType)
        members = set(get_args(info.type)) if union else {info.type}
        kind = next(iter(members - {type(None)}), None)
        if kind not in (int, float) or not members <= {kind, type(None)}:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="INT" if kind is int else "FLOAT",
            instance_from_str=lambda words: None if union and words[0].lower() == "none" else _number(words[0], kind),
            is_instance=lambda value: (union and value is None) or (isinstance(value, int | float) and not isinstance(value, bool)),
            str_from_instance=lambda value: ["none" if value is None else f"{value}"],
        )

    def several(info: Any) -> Any:
        kind, *rest = get_args(info.type) or (None,)
        if get_origin(info.type) is not tuple or rest != [Ellipsis] or kind not in (int, float, str):
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs="*",
            metavar={int: "INT,...", float: "FLOAT,...", str: "NAME,..."}[kind],
            instance_from_str=lambda words: tuple(part if kind is str else _number(part, kind) for part in _parts(words)),
            is_instance=lambda value: isinstance(value, tuple | list),
            str_from_instance=lambda value: [",".join(map(str, value))] if value else [],
        )

    registry.primitive_rule(rule)
    registry.primitive_rule(several)
    return registry


def _parts(words: Sequence[str]) -> list[str]:
    return [part for word in words for part in ([word] if "=" in word else word.split(",")) if part]


def _number(word: str, kind: type) -> Any:
    with contextlib.suppress(ValueError):
        if kind is float:
            return _finite(float(word))
        return int(word) if "e" not in word.lower() and "." not in word else _whole(float(word))
    raise ValueError(f"{word!r} is not a {'whole' if kind is int else 'finite'} number.")


def _whole(value: float) -> int:
    if _finite(value) != int(value):
        raise ValueError
    return int(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError
    return value


def _flags(form: Any, options: dict[str, Any]) -> set[str]:
    """Every flag of a form, from its help."""
    import tyro

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        tyro.cli(form, args=["--help"], **options)
    return {"--config", *re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]*", re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue()))}


def _flag(word: str) -> str:
    return word.split("=")[0].replace("_", "-")


def _unknown(words: Sequence[str], form: Any, options: dict[str, Any]) -> str:
    flags = [word for word in words if word.startswith("-")]
    prog = options["prog"]
    if not flags:
        return f"{prog} does not know what to do with {words[0]!r}. See: {prog} --help"
    flag = _flag(flags[0])
    return f"{prog} has no option {flag}.{did_you_mean(flag, _flags(form, options))} See: {prog} --help"


def _unboxed(said: str) -> str:
    """The first paragraph of tyro's message without its box, as one line. The title is in the border, or above the first rule in ASCII."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", said)
    lines = [line.strip("│ ") for line in text.splitlines() if not re.match(r"\s*[╭╰]", line)]
    paragraphs = " ".join("\n" if re.fullmatch(r"[─-]{3,}", line) else line for line in lines).split("\n")
    message = paragraphs[0 if "╭" in text else min(1, len(paragraphs) - 1)]
    return " ".join(message.split()).rstrip(".") + "."
