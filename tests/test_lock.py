"""What is locked: everything that the application imports, and no word about where it came from."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOT_SERVED = {"tests", "benchmarks", "docs", "data", "agent"}


def _files() -> Iterator[Path]:
    """The checkout's own files: nothing of an environment, a cache or a repository's insides."""
    for path in ROOT.iterdir():
        if path.is_file():
            yield path
        elif not path.name.startswith(".") or path.name in (".ci", ".github"):
            yield from (inner for inner in path.rglob("*") if inner.is_file())


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked() -> set[str]:
    lines = (ROOT / "requirements/run.txt").read_text(encoding="utf-8").splitlines()
    return {_plain(line.split("==")[0]) for line in lines if "==" in line}


def _project() -> dict[str, Any]:
    read: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(read["project"])


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_what_the_application_imports_is_locked_for_running_and_not_only_for_development() -> None:
    ours = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    sources = packages_distributions()
    locked = _locked() | set(_project()["optional-dependencies"])  # imported where one is set up
    served = [
        path
        for path in _files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] not in {*NOT_SERVED, ".ci"}
    ]
    assert len(served) > 20
    missing = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in served
        for name in _imported(path)
        if name not in sys.stdlib_module_names
        and name not in ours
        and locked.isdisjoint(_plain(source) for source in sources.get(name, ()))
    }
    assert not missing


def test_every_dependency_of_the_project_is_locked() -> None:
    names = {_plain(re.split(r"[\s<>=!;\[~]", wanted)[0]) for wanted in _project()["dependencies"]}
    assert names <= _locked()


def test_no_file_says_which_package_index_was_asked() -> None:
    # Put together here, or this file would be the one that is found.
    hosts = re.compile(
        "|".join(["py" + "pi" + r"\.", "python" + "hosted", "files\\." + "python", "npm" + r"js\."])
    )
    found = []
    for path in _files():
        if path.suffix not in (".db", ".png", ".jpg", ".wav", ".mp3", ".pyc"):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [str(path.relative_to(ROOT))] if hosts.search(text) else []
    assert not found
