"""Checks that the architectures' configs share: a value out of range is refused by name, with the flag that sets it."""

import math
from collections.abc import Sequence
from typing import Any

from saescope.errors import ConfigError, did_you_mean

OWN_FLAGS = ("k", "l1", "l0")
"""Options with a flag of their own on the command line; the others are given as `--set NAME=VALUE`."""


def check_number(name: str, value: Any, *, least: float = 0.0, above: bool = False) -> None:
    """Raises: ConfigError unless `value` is a finite number of at least `least` (with `above`, larger than it)."""
    fits = _is_number(value) and math.isfinite(value) and (value > least if above else value >= least)
    if not fits:
        raise ConfigError(
            f"{name}={value} was asked for. It must be a number {'above' if above else 'of at least'} {least:g}: set {flag(name)}."
        )


def check_whole(name: str, value: Any, *, least: int = 1) -> None:
    """Raises: ConfigError unless `value` is a whole number of at least `least`."""
    if not (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        raise ConfigError(f"{name}={value} was asked for. It must be a whole number of at least {least}: set {flag(name)}.")


def check_switch(name: str, value: Any) -> None:
    """Raises: ConfigError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r} was asked for. It must be true or false: set {flag(name)}.")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raises: ConfigError unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigError(
            f"{name}={value!r} was asked for. There are: {', '.join(choices)}.{did_you_mean(str(value), choices)} Set {flag(name)}."
        )


def check_l0(l0: float | None) -> None:
    """Raises: ConfigError unless the wanted number of active latents is above 0, or None."""
    if l0 is not None:
        check_number("l0", l0, above=True)


def check_l0_fits(l0: float | None, d_sae: int) -> None:
    """Raises: ConfigError if more latents are wanted active than there are."""
    if l0 is not None and l0 > d_sae:
        raise ConfigError(
            f"l0={l0:g} active latents per token were asked of an SAE with d_sae={d_sae}. "
            "l0 must be at most d_sae: lower --l0 or raise --d-sae."
        )


def flag(name: str) -> str:
    """How an option is given on the command line."""
    return f"--{name}" if name in OWN_FLAGS else f"--set {name}=VALUE"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
