"""Almanac as it is shipped, all guards on, with a trivial tool in one more mounted sub-server.

`almanac.py` serves over STDIO, `almanac.py PORT` over Streamable HTTP; ALMANAC_* variables set it as usual.
"""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
if __name__ == "__main__":
    import wire

    wire.claim()

import server
from tuning import FixedServer

create = server.create_server


def create_server(*args: Any, **options: Any) -> Any:
    root = create(*args, **options)
    bench = FixedServer("bench", mask_error_details=True, dereference_schemas=False)  # as the other domains

    @bench.tool
    async def same(text: str) -> str:
        """The text."""
        return text

    root.mount(bench, namespace="bench")
    return root


server.create_server = create_server  # in the processes of ALMANAC_WORKERS, too, which import this


def main() -> None:
    if sys.argv[1:]:
        os.environ |= {"ALMANAC_TRANSPORT": "http", "ALMANAC_PORT": sys.argv[1]}
        del sys.argv[1:]
    server.main()


if __name__ == "__main__":
    main()
