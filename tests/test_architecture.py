"""The rules of the house, read from the source: who may import whom, where randomness may come from, how large a piece may be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "saescope"

# A room may import every room of an earlier line and itself, none of its own line.
LINES = [
    {"errors", "shapes", "_version"},
    {"disk", "draws"},
    {"files"},
    {"config", "stats", "parallel", "bf16"},
    {"run_folder"},
    {"models", "saes", "data", "render"},
    {"activations", "interventions", "interop"},
    {"training", "evals", "features", "circuits", "toys"},
    {"explain"},
    {"web"},
    {"pipeline"},
    {"recipes"},
    {"cli"},
]
LINE_OF = {room: number for number, rooms in enumerate(LINES) for room in rooms}
PUBLIC_DOOR = "__init__"  # src/saescope/__init__.py: names every room, is imported by none

GLOBAL_TORCH = r"(rand|randn|randint|randperm|normal|bernoulli|multinomial|poisson|rand_like|randn_like|randint_like)"
SEEDERS = r"(manual_seed|seed|initial_seed|get_rng_state|set_rng_state|random\.\w+|cuda\.(manual_seed|manual_seed_all|seed|seed_all))"
IN_PLACE = {"uniform_", "normal_", "random_", "bernoulli_", "exponential_", "geometric_", "log_normal_", "cauchy_"}
UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "random"}
ALLOWED_URLS = ("http://www.w3.org/",)  # names of XML namespaces; nothing is fetched from there


def modules() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def relative(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def imported_rooms(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of every import of the package: at the top, inside functions, under TYPE_CHECKING."""
    package = ("saescope", *path.relative_to(SRC).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names = [(".".join([*base, *filter(None, [node.module])]), tuple(alias.name for alias in node.names))]
        else:
            continue
        for name, members in names:
            parts = name.split(".")
            if parts[0] != "saescope":
                continue
            for room in parts[1:2] or members or (PUBLIC_DOOR,):
                yield node.lineno, room


def import_faults(source: str, path: Path) -> list[str]:
    room, faults = room_of(path), []
    if room == PUBLIC_DOOR:
        return []
    for line, other in imported_rooms(ast.parse(source), path):
        if other == room:
            continue
        if other not in LINE_OF:
            faults.append(f"{relative(path)}:{line} imports saescope.{other}, which is no room: import the module that defines the name")
        elif LINE_OF[other] >= LINE_OF[room]:
            faults.append(f"{relative(path)}:{line} {room} (line {LINE_OF[room]}) imports {other} (line {LINE_OF[other]})")
    return faults


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def call_faults(source: str, path: Path) -> list[str]:
    """Draws from global generators, unpickling, and running text as code."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            roots = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            bad = [
                root
                for root in roots
                if (root.split(".")[0] in UNSAFE_MODULES and not getattr(node, "level", 0)) or root.startswith("numpy.random")
            ]
            if isinstance(node, ast.ImportFrom) and node.module == "torch":
                bad += [alias.name for alias in node.names if re.fullmatch(f"{GLOBAL_TORCH}|{SEEDERS}|load", alias.name)]
            faults += [f"{relative(path)}:{node.lineno} imports {name}" for name in bad]
        elif isinstance(node, ast.Call) and (why := bad_call(node, path)):
            faults.append(f"{relative(path)}:{node.lineno} {why}")
    return faults


def bad_call(node: ast.Call, path: Path) -> str:
    name, words = dotted(node.func), {keyword.arg: keyword.value for keyword in node.keywords}
    if re.fullmatch(rf"torch\.{SEEDERS}", name) or (re.fullmatch(rf"torch\.{GLOBAL_TORCH}", name) and "generator" not in words):
        return f"{name} draws from the global generator: use draws()"
    if re.match(r"(np|numpy)\.random\.", name) and not (path.name == "draws.py" and name.split(".")[-1] in ("Generator", "Philox")):
        return f"{name}: use draws()"
    if isinstance(node.func, ast.Attribute) and node.func.attr in IN_PLACE and "generator" not in words:
        return f".{node.func.attr}() draws from the global generator: use draws()"
    if re.search(r"(^|\.)init\.(uniform|normal|trunc_normal|xavier|kaiming|orthogonal|sparse)\w*_$", name) and "generator" not in words:
        return f"{name} draws from the global generator: use draws()"
    if name == "torch.load" and not (room_of(path) == "interop" and is_constant(words.get("weights_only"), True)):
        return "torch.load: safetensors only (in interop, with weights_only=True)"
    if name in ("np.load", "numpy.load") and not is_constant(words.get("allow_pickle"), False):
        return f"{name} without allow_pickle=False"
    if name in ("eval", "exec", "compile"):
        return f"{name}() runs text as code"
    return ""


def is_constant(node: ast.AST | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def size_faults(source: str, path: Path) -> list[str]:
    faults = []
    if (lines := len(source.splitlines())) > 300:
        faults.append(f"{relative(path)} has {lines} lines, 300 are allowed")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > 60:
            faults.append(f"{relative(path)}:{node.lineno} {node.name} has {lines} lines, 60 are allowed")
        args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, *filter(None, [node.args.vararg, node.args.kwarg])]
        names = [arg.arg for arg in args if arg.arg not in ("self", "cls")]
        on_a_gpu = any(ast.unparse(decorator) == "triton.jit" for decorator in node.decorator_list)  # takes pointers and sizes, no tensors
        if len(names) > 8 and not on_a_gpu:
            faults.append(f"{relative(path)}:{node.lineno} {node.name} has {len(names)} parameters, 8 are allowed")
    return faults


def page_faults(text: str, name: str) -> list[str]:
    """What may not stand in a template or a static file."""
    faults = [f"{name}: the filter `safe` switches escaping off"] if re.search(r"\|\s*safe\b|autoescape\s+false", text) else []
    urls = re.findall(r"""(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s"')]*""", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
    return faults + [f"{name}: {url} is an external address" for url in urls if not url.startswith(ALLOWED_URLS)]


def all_faults(rule) -> list[str]:
    return [fault for path in modules() for fault in rule(path.read_text(encoding="utf-8"), path)]


def test_every_room_is_in_the_plan():
    assert {room_of(path) for path in modules()} - {PUBLIC_DOOR} <= set(LINE_OF)


def test_rooms_import_only_lower_rooms():
    assert all_faults(import_faults) == []


def test_nothing_draws_from_a_global_generator_or_unpickles():
    assert all_faults(call_faults) == []


def test_pieces_are_small():
    assert all_faults(size_faults) == []


def test_pages_escape_everything_and_fetch_nothing():
    pages = [path for suffix in ("html", "jinja", "j2", "js", "mjs", "css", "svg") for path in SRC.rglob(f"*.{suffix}")]
    assert [fault for path in pages for fault in page_faults(path.read_text(encoding="utf-8"), relative(path))] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("saes/x.py", "from saescope.models.hook_point import HookPoint"),
        ("saes/x.py", "from saescope import models"),
        ("saes/x.py", "import saescope.models"),
        ("saes/x.py", "from ..models import hook_point"),
        ("saes/x.py", "def f():\n    from saescope.training.loop import train"),
        ("saes/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from saescope.data.corpus import Corpus"),
        ("evals/x.py", "from saescope.features.store import FeatureStore"),
        ("config.py", "from saescope.stats import bootstrap"),
        ("web/x.py", "from saescope import train"),
        ("web/x.py", "import saescope"),
        ("errors.py", "from saescope import shapes"),
    ],
)
def test_import_rule_catches(module, source):
    assert len(import_faults(source, SRC / module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "evals/x.py",
            "from saescope import errors, files\nfrom saescope.models import hook_point\nfrom . import y\nfrom .y import z\nimport torch",
        ),
        ("cli/__init__.py", "from saescope.pipeline import run"),
        ("run_folder.py", "from saescope.config import to_dict"),
    ],
)
def test_import_rule_allows(module, source):
    assert import_faults(source, SRC / module) == []


@pytest.mark.parametrize(
    "source",
    [
        "torch.manual_seed(0)",
        "torch.cuda.manual_seed_all(0)",
        "torch.randn(3)",
        "torch.randperm(10, device=d)",
        "x = torch.empty(3).uniform_(-1, 1)",
        "torch.nn.init.kaiming_uniform_(w)",
        "np.random.default_rng(0)",
        "numpy.random.rand(3)",
        "import random",
        "from random import shuffle",
        "from numpy.random import default_rng",
        "from torch import randn",
        "import pickle",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "exec(text)",
    ],
)
def test_call_rule_catches(source):
    assert len(call_faults(source, SRC / "evals" / "x.py")) == 1


def test_call_rule_allows():
    assert (
        call_faults("torch.randn(3, generator=g)\nnp.load(p, allow_pickle=False)\nmodel.eval()\nre.compile('x')", SRC / "evals" / "x.py")
        == []
    )
    assert call_faults("np.random.Generator(np.random.Philox(key=1))", SRC / "draws.py") == []
    assert call_faults("def f(g: np.random.Generator): ...", SRC / "evals" / "x.py") == []
    assert call_faults("torch.load(p, weights_only=True)", SRC / "interop" / "x.py") == []


def test_size_rule_catches():
    body = "\n".join(["    pass"] * 60)
    assert len(size_faults(f"def f():\n{body}", SRC / "x.py")) == 1
    assert len(size_faults("def f(self, a, b, c, d, e, f, g, *, h, i): ...", SRC / "x.py")) == 1
    assert size_faults("def f(self, a, b, c, d, e, f, g, *, h): ...", SRC / "x.py") == []
    assert len(size_faults("\n" * 301, SRC / "x.py")) == 1


@pytest.mark.parametrize(
    "page",
    [
        "{{ text|safe }}",
        "{{ text | safe }}",
        "{% autoescape false %}",
        '<script src="https://cdn.example.com/a.js">',
        "@import '//fonts.example.org/f.css'",
    ],
)
def test_page_rule_catches(page):
    assert len(page_faults(page, "x.html")) == 1


def test_page_rule_allows():
    assert page_faults('<svg xmlns="http://www.w3.org/2000/svg"></svg> {{ text }} {{ data|tojson }} a // comment', "x.html") == []
