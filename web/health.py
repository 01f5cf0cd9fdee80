"""What probes ask. `/health` is open to everybody and says only that the process answers; and `/ready`."""

from collections.abc import Mapping

from fastmcp import FastMCP
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from middleware.running import Running
from web.ready import Granted, HasHealth, Readiness, add_ready


def register(
    server: FastMCP,
    backends: Mapping[str, HasHealth],
    running: Running,
    granted: Granted | None,
) -> None:
    @server.custom_route("/health", methods=["GET"])
    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    add_ready(server, Readiness(backends), running, granted)
