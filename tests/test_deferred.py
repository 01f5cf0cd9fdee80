"""Models that are built when they are first used."""

import subprocess
import sys
from pathlib import Path

import pydantic
import pytest

import deferred

ADAPTER = pydantic.TypeAdapter
HERE = Path(__file__).resolve().parent.parent


def built(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True, timeout=25
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_the_server_builds_few_of_the_protocols_models_when_it_is_imported() -> None:
    """When this fails, mcp defers them itself or is imported before: then `deferred.models` can go."""
    done = built(
        "import server, mcp_types, pydantic\n"
        "def all_of(c): return [c, *(d for s in c.__subclasses__() for d in all_of(s))]\n"
        "found = [c for c in set(all_of(pydantic.BaseModel)) if c.__module__.startswith('mcp_types')]\n"
        "print(sum(c.__pydantic_complete__ for c in found), len(found))"
    )
    complete, known = map(int, done.split())
    assert known > 300
    assert complete < known / 3


def test_afterwards_models_and_adapters_are_built_at_once_as_ever() -> None:
    before = dict(pydantic.BaseModel.model_config)
    with deferred.models():
        pass
    assert pydantic.BaseModel.model_config == before

    class Later(pydantic.BaseModel):
        x: int

    assert Later.__pydantic_complete__
    assert pydantic.TypeAdapter is ADAPTER


@pytest.mark.slow
def test_adapters_that_the_server_never_asks_still_answer() -> None:
    method = built(
        "import server, mcp_types as t\n"
        "request = {'method': 'tools/call', 'params': {'name': 'x'}}\n"
        "print(t.client_request_adapter.validate_python(request).method)"
    )
    assert method == "tools/call"


def test_an_import_that_fails_leaves_nothing_deferred() -> None:
    with pytest.raises(ImportError), deferred.models():
        raise ImportError
    assert pydantic.TypeAdapter is ADAPTER
    assert not pydantic.BaseModel.model_config.get("defer_build")


def test_what_was_deferred_works_when_it_is_used() -> None:
    with deferred.models():

        class Inner(pydantic.BaseModel):
            x: int

        class Outer(pydantic.BaseModel):
            inner: Inner

    assert not Outer.__pydantic_complete__
    assert Outer.model_validate_json('{"inner": {"x": "7"}}') == Outer(inner=Inner(x=7))
    assert Outer.model_json_schema()["properties"]["inner"] == {"$ref": "#/$defs/Inner"}
    with pytest.raises(pydantic.ValidationError):
        Outer.model_validate({"inner": {}})
