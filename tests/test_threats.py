"""Every incident that docs/threats.md tells of names the tests that would fail if it were so here."""

import ast
import re
from pathlib import Path

from config.variables import variables

HERE = Path(__file__).resolve().parents[1]
PAGE = (HERE / "docs/threats.md").read_text(encoding="utf-8")
INCIDENTS = 17
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_test_that_the_page_of_threats_names_is_there() -> None:
    for path, name in NAMED.findall(PAGE):
        tree = ast.parse((HERE / path).read_text(encoding="utf-8"))
        functions = {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"{path} has no {name}"


def test_every_incident_names_a_test() -> None:
    rows = [line for line in PAGE.partition("## What has happened")[2].splitlines() if line.startswith("| ")]
    incidents = rows[1:]  # the first says what the columns are
    assert len(incidents) == INCIDENTS
    for row in incidents:
        assert NAMED.search(row), row


def test_every_setting_that_the_page_names_exists() -> None:
    known = {variable.name for variable in variables()}
    assert set(re.findall(r"ALMANAC_[A-Z_]+", PAGE)) <= known
