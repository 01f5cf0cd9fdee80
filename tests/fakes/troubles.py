"""What can go wrong with a remote service, by name; a fake is told which by an attribute."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

TROUBLES = (
    "slow",
    "slow body",
    "429",
    "429 with seconds",
    "429 with a date",
    "500",
    "503",
    "html",
    "cut body",
    "error inside a 200",
    "not an object",
    "huge",
    "redirect",
)


class Troubled:
    """An ASGI app that may be in trouble.

    `trouble` is one of TROUBLES or "" and lasts for the next `times` requests. `seen` has every request's
    path and query, `headers` the last one's headers; `retry_after` is the Retry-After of a 429.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.trouble = ""
        self.times = 1_000_000
        self.retry_after = "60"
        self.elsewhere = "http://127.0.0.1:9/"
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.headers: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.seen.append((request.url.path, dict(request.query_params)))
        self.headers = dict(request.headers)
        if self.trouble and self.times > 0:
            self.times -= 1
            response = await self._answer(receive)
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _answer(self, receive: Receive) -> Response:
        match self.trouble:
            case "slow":
                await _until_gone(receive)
                return Response(status_code=204)
            case "slow body":
                return StreamingResponse(_drip(), media_type="application/json")
            case "429":
                return JSONResponse({"error": True, "reason": "Too many concurrent requests"}, 429)
            case "429 with seconds" | "429 with a date":
                return Response("slow down", 429, {"retry-after": self.retry_after})
            case "500" | "503":
                return Response("The service is overloaded", int(self.trouble))
            case "html":
                return Response("<html><body>Please log in to the hotel's network</body></html>", 200)
            case "cut body":
                return Response('{"latitude": 1, "curr', headers={"content-length": "900"})
            case "error inside a 200":
                return Response('{"latitude":1.0,"hourly":{"time":[Unexpected error while streaming data: x')
            case "not an object":
                return JSONResponse(["nothing", "as promised"])
            case "huge":
                return StreamingResponse(_flood(), media_type="application/json")
            case "redirect":
                return RedirectResponse(self.elsewhere, 302)
        raise AssertionError(f"no trouble is called {self.trouble!r}")


async def _until_gone(receive: Receive) -> None:
    while (await asyncio.wait_for(receive(), 10))["type"] != "http.disconnect":
        pass


async def _drip() -> Any:
    yield b'{"latitude": '
    for _ in range(100):
        await asyncio.sleep(0.1)
        yield b" "


async def _flood() -> Any:
    yield b'{"padding": "'
    for _ in range(200):
        yield b"x" * 65_536
    yield b'"}'
