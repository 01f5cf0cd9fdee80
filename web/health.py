"""`/health`: open to everybody, says only that the process answers."""

from fastmcp import FastMCP
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


def register(server: FastMCP) -> None:
    @server.custom_route("/health", methods=["GET"])
    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})
