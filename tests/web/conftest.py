"""Servers over real sockets: one for each set of settings that tests of a module share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from tests.web.served import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """A factory: `served(auth={...})`; the same settings give the same server."""
    running: dict[str, Served] = {}
    state: Path = tmp_path_factory.mktemp("state")
    with ExitStack() as stack:

        def serve(**over: Any) -> Served:
            if repr(over) not in running:
                given = {"servers": ["files"], "state_dir": state, "transport": "http", **over}
                running[repr(over)] = stack.enter_context(Served(Settings.model_validate(given)))
            return running[repr(over)]

        yield serve
