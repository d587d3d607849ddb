"""Configs: small frozen dataclasses, written as JSON, read from JSON or TOML, given as flags on the command line.

Fields may be bool, int, float, str, Path, Literal, Optional and other unions, tuple, list, dict, and nested dataclasses.
A dataclass only validates (`__post_init__`); everything about files and text is here.
"""

import dataclasses
import hashlib
import json
import math
import tomllib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from saescope.errors import ConfigError, did_you_mean

C = TypeVar("C")
_PLAIN = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text", Path: "a path"}
_REQUIRED: Any = object()


def to_dict(config: Any) -> dict[str, Any]:
    """The config as JSON values: tuples become lists, paths become texts. `from_dict` is its inverse."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def from_dict(cls: type[C], data: Mapping[str, Any], *, where: str = "") -> C:
    """The config that `to_dict` wrote, or a person did; fields left out keep their defaults.

    A whole float counts as an int (TOML's `tokens = 6e6`). `where` is the dotted name of a nested config, for messages.

    Raises: ConfigError for an unknown key (nearest fields), a value of another type, a required field left out, NaN and infinity.
    """
    values = _values(cls, data, where)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name not in values and _default(field) is _REQUIRED:
            raise ConfigError(
                f"{where}{field.name} is not set, and it has no default. Set it in the config file, or give {_flag(field.name)}."
            )
    return cls(**values)


def partial(cls: type[C], data: Mapping[str, Any], *, absent: Any) -> C:
    """An instance made without `__init__`, where required fields that `data` leaves out are `absent`: a config file under flags."""
    values = _values(cls, data, "")
    config = object.__new__(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        default = _default(field)
        object.__setattr__(config, field.name, values.get(field.name, absent if default is _REQUIRED else default))
    return config


def read_config(path: Path | str) -> dict[str, Any]:
    """The table in a .json or .toml file, without the `schema` that a run's config.json carries.

    Raises: ConfigError if there is no such file, or it cannot be read as what its name says.
    """
    path = Path(path)
    readers = {".json": json.loads, ".toml": tomllib.loads}
    if path.suffix not in readers:
        raise ConfigError(f"the config {path} is neither .json nor .toml. Give a file of one of these two formats.")
    try:
        data = readers[path.suffix](path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"the config {path} cannot be read ({error.strerror}). Check the path given to --config.") from error
    except ValueError as error:
        raise ConfigError(f"the config {path} is not valid {path.suffix[1:].upper()}: {error}. Correct that line.") from error
    if not isinstance(data, dict):
        raise ConfigError(f"the config {path} holds a {type(data).__name__}, but a table of fields was expected: {{...}}.")
    return {key: value for key, value in data.items() if key != "schema"}


def config_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """The fields in which two configs differ, each as "d_sae: 4096 -> 2048"; nested fields are dotted."""
    left, right = _flat(a), _flat(b)
    return [
        f"{name}: {_shown(left, name)} -> {_shown(right, name)}"
        for name in dict.fromkeys([*left, *right])
        if _shown(left, name) != _shown(right, name)
    ]


def config_hash(config: Any) -> str:
    """sha256 of the canonical JSON (sorted keys, no spaces, UTF-8, no NaN) of a config or of its dict."""
    data = config if isinstance(config, Mapping) else to_dict(config)
    text = json.dumps(_plain(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath):
        return value.as_posix()
    assert value is None or isinstance(value, bool | int | float | str), f"a config cannot hold a {type(value).__name__}"
    return value


def _values(cls: type, data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise _wrong(where.removesuffix("."), data, "a table of fields")
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    for key in data:
        if key not in names:
            hint = did_you_mean(str(key), names) or f" Its fields: {', '.join(names)}."
            raise ConfigError(f"{where}{key} is not a field of {cls.__name__}.{hint}")
    return {key: _convert(value, hints[key], f"{where}{key}") for key, value in data.items()}


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where=f"{where}.")  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        return _convert_union(value, hint, where)
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in args):
            return value
        near = did_you_mean(value, [str(choice) for choice in args]) if isinstance(value, str) else ""
        raise ConfigError(f"{where} is {value!r}, but it must be {_expected(hint)}.{near}")
    if origin in (tuple, list, Sequence) and isinstance(value, tuple | list):
        return _convert_sequence(value, hint, where)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {key: _convert(item, args[1], f"{where}.{key}") for key, item in value.items()}
    return _convert_plain(value, hint, where)


def _convert_plain(value: Any, hint: Any, where: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is float and number:
        return float(value)
    if hint is int and number and value == int(value):
        return int(value)
    if hint is Path and isinstance(value, str | PurePath):
        return Path(value)
    if hint in (bool, str) and isinstance(value, hint):
        return value
    if hint in (None, type(None)) and value is None:
        return None
    raise _wrong(where, value, _expected(hint))


def _convert_union(value: Any, hint: Any, where: str) -> Any:
    members = get_args(hint)
    configs = [member for member in members if dataclasses.is_dataclass(member)]
    assert len(configs) <= 1, f"{where}: JSON cannot tell two dataclasses of one union apart"
    if isinstance(value, Mapping) and configs:
        return _convert(value, configs[0], where)
    # The exact type first, so that `int | str` keeps "3" a text and `float | int` keeps 3 whole.
    for member in sorted(members, key=lambda member: type(value) is not member):
        try:
            return _convert(value, member, where)
        except ConfigError:
            continue
    raise _wrong(where, value, _expected(hint))


def _convert_sequence(value: Sequence[Any], hint: Any, where: str) -> Any:
    args, kind = get_args(hint), list if get_origin(hint) is list else tuple
    if kind is tuple and get_origin(hint) is tuple and not (len(args) == 2 and args[1] is ...):
        if len(value) != len(args):
            raise _wrong(where, list(value), _expected(hint))
        return tuple(_convert(item, arg, f"{where}[{i}]") for i, (item, arg) in enumerate(zip(value, args, strict=True)))
    return kind(_convert(item, args[0], f"{where}[{i}]") for i, item in enumerate(value))


def _expected(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if hint in (None, type(None)):
        return "nothing (null)"
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_expected(member) for member in args)
    if origin in (tuple, list, Sequence):
        return f"a list of {len(args)} values" if origin is tuple and args[-1] is not ... else f"a list, each {_expected(args[0])}"
    if origin in (dict, Mapping) or dataclasses.is_dataclass(hint):
        return "a table of fields"
    assert hint in _PLAIN, f"a config field cannot be typed {hint}"
    return _PLAIN[hint]


def _wrong(where: str, value: Any, expected: str) -> ConfigError:
    name = where or "the config"
    return ConfigError(
        f"{name} is {value!r} ({type(value).__name__}), but it must be {expected}. Change it in the config file, or give {_flag(name)}."
    )


def _flag(name: str) -> str:
    return "--" + name.split(".")[-1].split("[")[0].replace("_", "-")


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else _REQUIRED


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _plain(value)
    return flat


def _shown(flat: Mapping[str, Any], name: str) -> str:
    return json.dumps(flat[name], ensure_ascii=False) if name in flat else "(absent)"
