"""One JSON shape for every error that is not the protocol's own: `{"error": ..., "error_description": ...}`.

It is the shape that OAuth prescribes for its endpoints, so that there is one.
"""

import json
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "This is not a request that can be understood."),
    401: ("unauthorized", "Send a token that is valid here, as Authorization: Bearer TOKEN."),
    403: ("forbidden", "This caller may not do this."),
    404: ("not_found", "There is nothing here; MCP is served at /mcp."),
    405: ("method_not_allowed", "This method is not served here; MCP is spoken by POST."),
    408: ("request_timeout", "The request did not arrive in time."),
    413: ("content_too_large", "The request's body is larger than this server takes."),
    415: ("unsupported_media_type", "Send application/json."),
    421: ("misdirected_request", "This server is not known by that name."),
    431: ("header_fields_too_large", "The request's line and headers are larger than this server takes."),
    501: ("not_implemented", "This server does not know this way to send a body."),
    500: ("server_error", "The server failed; the request was fine."),
    503: ("unavailable", "The server has as many connections as it takes; try again in a moment."),
}


def answer(status: int, description: str = "") -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of an error."""
    name, words = ERRORS.get(status) or ("error", "The request was not served.")
    body = json.dumps({"error": name, "error_description": description or words}).encode()
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ], body


async def refuse(
    send: Send, status: int, description: str = "", headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Send an error."""
    usual, body = answer(status, description)
    await send({"type": "http.response.start", "status": status, "headers": [*usual, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})


# What the protocol's library says to a body that is no message: two pages of classes and of what was sent.
PAGES = b'"message":"Validation error:'
NO_MESSAGE = (
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":'
    b'"This is not one JSON-RPC 2.0 request, notification or response; batches are not part of MCP."}}'
)


class OneShape:
    """Gives errors of the libraries, which are words or nothing at all, this shape."""

    KEPT = ("application/json", "text/event-stream", "text/html")  # the last: pages of a sign-in, for people
    DROPPED = (b"content-type", b"content-length", b"transfer-encoding")

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shaped = False
        held: Message | None = None  # the head of an answer whose body has to be seen first

        async def shaping(message: Message) -> None:
            nonlocal shaped, held
            if held and PAGES in message.get("body", b"") and not message.get("more_body"):
                length = (b"content-length", str(len(NO_MESSAGE)).encode())
                kept = [item for item in held["headers"] if item[0].lower() != length[0]]
                held = {**held, "headers": [*kept, length]}
                message = {**message, "body": NO_MESSAGE}
            if held:
                await send(held)
                held = None
            if message["type"] == "http.response.start" and message["status"] >= 400:
                given = Headers(raw=message["headers"])
                if not given.get("content-type", "").startswith(self.KEPT):
                    shaped = True
                    kept = [item for item in message["headers"] if item[0].lower() not in self.DROPPED]
                    await refuse(send, message["status"], headers=kept)
                elif message["status"] == 400:
                    held = message
                    return
            if not shaped:
                await send(message)

        await self._app(scope, receive, shaping if scope["type"] == "http" else send)
