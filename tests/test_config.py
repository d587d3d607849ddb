import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saescope.config import config_difference, config_hash, from_dict, partial, read_config, to_dict
from saescope.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True, kw_only=True)
class Outer:
    model: str
    d_sae: int | None = None
    batch_tokens: int = 4096
    sae: Literal["topk", "relu"] = "topk"
    out: Path = Path("runs/demo")
    texts: tuple[str, ...] = ()
    resume: bool = False
    inner: Inner = field(default_factory=Inner)
    weights: dict[str, float] = field(default_factory=dict)
    extra: Inner | None = None

    def __post_init__(self):
        if self.batch_tokens < 1:
            raise ConfigError(f"batch_tokens is {self.batch_tokens}, but it must be at least 1")


full = Outer(model="m", d_sae=8, texts=("a", "b"), out=Path("x/ü"), inner=Inner(lr=0.5), weights={"l1": 2.0}, extra=Inner())


def test_round_trip():
    assert from_dict(Outer, to_dict(full)) == full
    assert from_dict(Outer, json.loads(json.dumps(to_dict(full)))) == full


@given(
    st.builds(
        Outer,
        model=st.text(),
        d_sae=st.none() | st.integers(),
        batch_tokens=st.integers(1),
        texts=st.lists(st.text()).map(tuple),
        weights=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
        inner=st.builds(Inner, lr=st.floats(allow_nan=False, allow_infinity=False)),
    )
)
def test_round_trip_of_any_config(config):
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config


def test_defaults_fill_what_is_left_out():
    assert from_dict(Outer, {"model": "m"}) == Outer(model="m")
    assert from_dict(Outer, {"model": "m", "inner": {"lr": 1}}).inner == Inner(lr=1.0)


def test_whole_floats_are_ints():
    config = from_dict(Outer, {"model": "m", "batch_tokens": 6e6, "d_sae": 2.0})
    assert (config.batch_tokens, type(config.batch_tokens), config.d_sae) == (6_000_000, int, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_token": 1}, r"batch_token is not a field of Outer\. Did you mean 'batch_tokens'"),
        ({"zzz": 1}, r"zzz is not a field of Outer\. Its fields: model, d_sae"),
        ({"inner": {"lrr": 1}}, r"inner\.lrr is not a field of Inner\. Did you mean 'lr'"),
        ({"batch_tokens": "many"}, r"batch_tokens is 'many' \(str\), but it must be a whole number\. .*--batch-tokens"),
        ({"batch_tokens": 1.5}, "batch_tokens is 1.5"),
        ({"batch_tokens": True}, "batch_tokens is True"),
        ({"batch_tokens": float("inf")}, "batch_tokens is inf"),
        ({"d_sae": "8"}, "d_sae is '8' .* a whole number or nothing"),
        ({"resume": 1}, "resume is 1 .* true or false"),
        ({"sae": "topkk"}, r"sae is 'topkk', but it must be one of 'topk', 'relu'\. Did you mean 'topk'"),
        ({"inner": {"lr": float("nan")}}, r"inner\.lr is nan .* a finite number"),
        ({"inner": {"betas": [0.9]}}, r"inner\.betas is \[0\.9\] .* a list of 2 values"),
        ({"inner": 3}, "inner is 3 .* a table of fields"),
        ({"texts": "a.txt"}, "texts is 'a.txt' .* a list, each a text"),
        ({"texts": ["a", 1]}, r"texts\[1\] is 1"),
        ({"weights": {"l1": "x"}}, r"weights\.l1 is 'x'"),
        ({"out": 3}, "out is 3 .* a path"),
        ({"model": None}, "model is None"),
        ({"batch_tokens": 0}, "at least 1"),
    ],
)
def test_wrong_values_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(Outer, {"model": "m", **change})


def test_a_required_field_is_asked_for():
    with pytest.raises(ConfigError, match=r"model is not set.*--model"):
        from_dict(Outer, {})


def test_the_whole_must_be_a_table():
    with pytest.raises(ConfigError, match="must be a table of fields"):
        from_dict(Outer, [1])  # type: ignore[arg-type]


def test_union_keeps_the_exact_type():
    @dataclass(frozen=True)
    class Mixed:
        a: int | str = 0
        b: float | int = 0
        c: Any = None
        d: list[int] = field(default_factory=list)

    mixed = from_dict(Mixed, {"a": "3", "b": 3, "c": {"x": [1]}, "d": [1, 2]})
    assert (mixed.a, mixed.b, type(mixed.b), mixed.c, mixed.d) == ("3", 3, int, {"x": [1]}, [1, 2])


def test_partial_leaves_required_fields_open():
    config = partial(Outer, {"d_sae": 4}, absent="?")
    assert (config.model, config.d_sae, config.inner) == ("?", 4, Inner())
    with pytest.raises(ConfigError, match="d_sa is not a field"):
        partial(Outer, {"d_sa": 4}, absent="?")


def test_read_json_and_toml(tmp_path):
    (tmp_path / "a.json").write_text('{"schema": "saescope.run/1", "d_sae": 8}', encoding="utf-8")
    (tmp_path / "a.toml").write_text("d_sae = 8\n[inner]\nlr = 0.5\n", encoding="utf-8")
    assert read_config(tmp_path / "a.json") == {"d_sae": 8}
    assert read_config(tmp_path / "a.toml") == {"d_sae": 8, "inner": {"lr": 0.5}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", b"x: 1", "neither .json nor .toml"),
        ("a.json", b"{", "not valid JSON: .*line 1"),
        ("a.toml", b"x = ", "not valid TOML"),
        ("a.json", b"[1]", "holds a list"),
        ("a.json", b"\xff\xfe", "not valid JSON"),
        ("missing.json", None, "cannot be read .*--config"),
    ],
)
def test_unreadable_files_are_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / name)


def test_difference_names_every_field():
    a = {"d_sae": 4096, "inner": {"lr": 0.1, "same": 1}, "sae": "topk", "texts": ("a",), "gone": 1}
    b = {"d_sae": 2048, "inner": {"lr": 0.2, "same": 1}, "sae": "relu", "texts": ["a"], "new": None}
    assert config_difference(a, b) == [
        "d_sae: 4096 -> 2048",
        "inner.lr: 0.1 -> 0.2",
        'sae: "topk" -> "relu"',
        "gone: 1 -> (absent)",
        "new: (absent) -> null",
    ]
    assert config_difference(a, a) == []


def test_hash_is_of_the_content():
    assert config_hash(full) == config_hash(to_dict(full)) == config_hash(dict(reversed(to_dict(full).items())))
    assert config_hash(full) != config_hash(dataclasses.replace(full, d_sae=9))
    assert len(config_hash(full)) == 64
