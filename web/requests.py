"""What holds for every request over HTTP: it has a reference, and is the last one while the server ends."""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import reference

HEADER = b"x-request-id"
CLOSE = (b"connection", b"close")


class Requests:
    """Stands around everything else.

    Args:
        is_ending: Whether clients should go elsewhere with their next request.
        told: Is told the status of each answer.
    """

    def __init__(
        self, app: ASGIApp, is_ending: Callable[[], bool], told: Callable[[int], None] | None = None
    ) -> None:
        self._app, self._is_ending, self._told = app, is_ending, told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == HEADER]
        number = reference.begin(given[0].decode("latin-1") if len(given) == 1 else "")
        mark = (HEADER, number.encode())

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), mark]
                if self._is_ending():
                    headers = [head for head in headers if head[0].lower() != b"connection"] + [CLOSE]
                message = {**message, "headers": headers}
                if self._told:
                    self._told(message["status"])
            await send(message)

        await self._app(scope, receive, marked)
