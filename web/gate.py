"""Lets nobody past without a valid token, on any path and by any method, but to the probes and to sign in.

FastMCP asks for a token at `/mcp` alone. What is decided here is decided on the path that is routed by, never
on a URL put together from the Host header.
"""

from collections.abc import Callable, Iterable

import structlog
from fastmcp.server.auth import AuthProvider
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from auth import Access, names
from errors import quote
from web.names import OPEN
from web.shape import refuse

log = structlog.get_logger("almanac")

Record = Callable[[bool, str, str], None]

METADATA = "/.well-known/oauth-protected-resource"


class Gate:
    """Stands behind what checks tokens.

    Args:
        access: Who has which scopes; a valid token with none is refused.
        path: Where MCP is served.
        record: Is told who was let in, or was not and why, in one word.
    """

    def __init__(self, app: ASGIApp, access: Access, path: str, record: Record) -> None:
        self._app, self._access, self._record = app, access, record
        routes = access.provider.get_routes(mcp_path=path)
        self._open = [route for route in routes if isinstance(route, Route)]
        self._challenge = ", ".join(_challenge(access.provider, self._open))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        user = scope.get("user")
        if not isinstance(user, AuthenticatedUser):
            await self._ask(scope, send)
        elif not self._access.granted(user.access_token):  # type: ignore[arg-type]  # ours are FastMCP's
            log.warning("refused a caller who may do nothing", subject=quote(user.access_token.subject or ""))
            self._record(False, names.of_token(user.access_token), "scopes")
            await refuse(
                send, 403, "You are known, but nothing here is open to you; ask who runs the server."
            )
        else:
            self._record(True, names.of_token(user.access_token), "")
            await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        return scope["path"] in OPEN or any(route.matches(scope)[0] != Match.NONE for route in self._open)

    async def _ask(self, scope: Scope, send: Send) -> None:
        sent = any(name == b"authorization" for name, _ in scope["headers"])
        who = names.of_address((scope.get("client") or ("unknown",))[0])
        if sent:
            log.warning("refused a token", address=who.removeprefix("address:"))
        self._record(False, who, "invalid" if sent else "missing")
        parts = [*(['error="invalid_token"'] if sent else []), *filter(None, [self._challenge])]
        challenge = f"Bearer {', '.join(parts)}".strip()
        await refuse(send, 401, headers=[(b"www-authenticate", challenge.encode())])


def _challenge(provider: AuthProvider, routes: Iterable[Route]) -> Iterable[str]:
    """What a client needs to know to get a token, where it can get one by itself."""
    if provider.challenge_scopes:
        yield f'scope="{" ".join(provider.challenge_scopes)}"'
    for route in routes:
        if route.path.startswith(METADATA) and provider.base_url:
            yield f'resource_metadata="{str(provider.base_url).rstrip("/")}{route.path}"'
            return
