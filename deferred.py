"""Imports whose models are built when they are first used: of mcp's 500 a call needs some dozens.

A third of the start of FastMCP goes into validators that nothing asks for. pydantic builds each where it is
written unless its configuration says otherwise, and both ways to say so are its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pydantic

LATER = pydantic.ConfigDict(defer_build=True)


class _Adapters:
    """Stands for `pydantic.TypeAdapter` where adapters are made that nobody may want."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __getitem__(self, of: object) -> Self:
        return self

    def __call__(self, of: object) -> Any:
        try:
            return self._make(of, config=LATER, _parent_depth=3)  # names are looked up where it is made
        except (pydantic.PydanticUserError, TypeError):  # a model has its own; or pydantic has changed
            return self._make(of)


@contextmanager
def models() -> Iterator[None]:
    """What is imported in this block builds its models when they are first used."""
    before, adapter = pydantic.BaseModel.model_config, pydantic.TypeAdapter
    pydantic.BaseModel.model_config = {**before, **LATER}
    try:
        pydantic.TypeAdapter = _Adapters(adapter)  # type: ignore[assignment, misc]  # while this is imported
        import mcp_types  # noqa: F401  # makes six for the ends of a connection, which the server never asks
    finally:
        pydantic.TypeAdapter = adapter  # type: ignore[misc]
    try:
        yield
    finally:
        pydantic.BaseModel.model_config = before
