"""Who may import whom: the walls of docs/architecture.md, held by the imports themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent.parent
NOT_LAYERS = {"tests", "docs", "data", "benchmarks"}
OURS = {path.stem for path in HERE.glob("*.py")} | {
    path.parent.name for path in HERE.glob("*/__init__.py") if path.parent.name not in NOT_LAYERS
}
MAY_IMPORT = {
    "server": OURS - {"agent"},
    "auth": {"auth", "environment", "config"},
    "commands": {
        "server",
        "auth",
        "config",
        "environment",
        "backends",
        "commands",
        "errors",
        "logs",
        "ledger",
    },
    "web": {
        "server",
        "auth",
        "web",
        "commands",
        "tools",
        "middleware",
        "reference",
        "tracing",
        "ending",
        "errors",
        "config",
        "tuning",
    },
    "tools": {"backends", "errors", "tools", "tuning"},
    "resources": {"backends", "errors", "config", "tools"},  # config: almanac://settings
    "prompts": {"fencing", "cleaning"},
    "middleware": {
        "middleware",
        "auth",
        "counters",
        "ledger",
        "cleaning",
        "orders",
        "fencing",
        "redaction",
        "reference",
        "errors",
        "config",
    },
    "backends": {"backends", "upstream", "state", "errors", "config"},
    "upstream": {"upstream", "errors", "config"},
    "state": {"state", "upstream", "errors", "config"},
    "ledger": {"ledger", "config"},
    "counters": {"counters", "errors"},
    "fencing": {"cleaning"},
    "orders": {"cleaning"},
    "cleaning": set[str](),
    "redaction": {"config"},
    "completions": set[str](),
    "environment": {"config"},
    "errors": set[str](),
    "config": {"config"},
    "logs": {"redaction", "cleaning", "reference"},
    "reference": set[str](),
    "wire": set[str](),
    "ending": set[str](),
    "transport": {"wire", "ending", "tools", "tuning"},
    "tuning": set[str](),
    "metrics": set[str](),
    "tracing": {"telemetry"},
    "telemetry": {"reference"},
    "observability": {"metrics", "tracing", "middleware", "web", "config"},
    "deferred": set[str](),
}


def test_the_image_holds_every_package() -> None:
    let_in = (HERE / ".dockerignore").read_text(encoding="utf-8").split()
    packages = {name for name in OURS if (HERE / name).is_dir()}
    assert packages - {line.removeprefix("!") for line in let_in} == set()


def modules() -> Iterator[Path]:
    for name in OURS:
        yield from (HERE / name).rglob("*.py")
        if (HERE / f"{name}.py").is_file():
            yield HERE / f"{name}.py"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "an import names its module in full"
            assert not node.level, "an import names its module in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(modules()), ids=lambda path: str(path.relative_to(HERE)))
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    place = path.relative_to(HERE).with_suffix("").parts
    for name in imported(path):
        layer, *rest = name.split(".")
        if layer not in OURS:
            continue
        assert layer in MAY_IMPORT[place[0]], f"{place[0]} may not import {name}"
        if place[0] == layer == "backends" and rest:
            # The shared vocabulary (backends.Result) and its own modules, never another domain.
            mine = place[1] if len(place) > 1 else ""
            assert rest[0][:1].isupper() or rest[0] == mine, f"{mine} may not import {name}"


def test_every_module_of_the_application_has_its_place_among_the_layers() -> None:
    assert set(MAY_IMPORT) == OURS


@pytest.mark.parametrize("path", sorted(modules()), ids=lambda path: str(path.relative_to(HERE)))
def test_a_module_stays_under_three_hundred_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
