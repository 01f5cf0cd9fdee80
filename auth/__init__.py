"""Who may come in over HTTP: what checks a caller's token, and which scopes it then has.

Scopes are `read` and `write`, as components are tagged, and `admin`, which is everything. One does not
hold another but that: a token that only writes reads nothing.
"""

import ipaddress
import sys
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Self, get_args

from fastmcp.server.auth import AccessToken, AuthProvider

from auth.tokens import Tokens, mint
from config import AuthSettings, Scope, Settings, is_loopback


class Access(NamedTuple):
    """What a server with auth asks of a token: is it good, and for what. Leaving it closes what it keeps."""

    provider: AuthProvider
    granted: Callable[[AccessToken], frozenset[str]]
    close: Callable[[], Awaitable[None]] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.close:
            await self.close()


def access(settings: Settings) -> Access | None:
    """What checks tokens; None where nobody is asked for one.

    Raises:
        ConfigurationError: Where people sign in cannot be asked now.
    """
    match settings.auth.mode:
        case "tokens":
            return Access(Tokens(settings.auth.tokens), _its_own)
        case "jwt":
            from auth.jwt import verifier

            return Access(verifier(settings.auth), _its_own)
        case "oauth":
            from auth.oauth import granted_by, provider

            found, close = provider(settings)
            return Access(found, granted_by(settings.auth.oauth_users), close)
    return None


def _its_own(token: AccessToken) -> frozenset[str]:
    return frozenset(token.scopes)


def for_this_run(settings: Settings) -> Settings:
    """The same, with a token made for the run where nothing is said and others can reach the server."""
    if settings.auth.mode or not _is_reached_from_outside(settings):
        return settings
    token, entry = mint("this-run", get_args(Scope))
    host = settings.host if _is_address(settings.host) else "THIS-HOST"
    # Written, not logged: logs go elsewhere, and no token does.
    sys.stderr.write(
        "Others can reach this server and ALMANAC_AUTH_MODE is not set, so here is a token for this run:\n\n"
        f"  {token}\n\nClients send it as `Authorization: Bearer ...`. To set one up:\n"
        f"  server.py connect claude-code --url http://{host}:{settings.port}/mcp --token {token}\n"
        "For lasting tokens: server.py token new NAME. To serve everybody: ALMANAC_AUTH_MODE=none.\n"
    )
    sys.stderr.flush()
    return settings.model_copy(update={"auth": AuthSettings(tokens=(entry,), mode="tokens")})


def _is_reached_from_outside(settings: Settings) -> bool:
    # A proxy is how others reach loopback.
    return not is_loopback(settings.host) or bool(settings.trusted_proxies)


def _is_address(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return bool(host)
