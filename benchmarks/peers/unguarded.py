"""`almanac.py` without any of the guards in `middleware/`: what these cost is the difference."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
if __name__ == "__main__":
    import wire

    wire.claim()

import server
from benchmarks.peers import almanac
from tuning import FixedServer

guarded = server.create_server


def create_server(*args: Any, **options: Any) -> Any:
    root = guarded(*args, **options)

    @asynccontextmanager
    async def without_guards(_: Any) -> AsyncIterator[None]:
        # Only now, for what serves has looked for some of them before.
        root.middleware[:] = [
            one for one in root.middleware if not type(one).__module__.startswith("middleware.")
        ]
        yield

    root.mount(FixedServer("last", lifespan=without_guards), namespace="last")
    return root


server.create_server = create_server
if __name__ == "__main__":
    almanac.main()
