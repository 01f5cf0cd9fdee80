"""Refuses a Host that is not this server's, an Origin that may not call it, and a head too long or two-faced.

A page that a browser has open can make its own name mean this machine (DNS rebinding); then its name is the
Host. Names of this machine, the address that the request came to, and what ALMANAC_ALLOWED_HOSTS lists pass.
"""

import re
from collections.abc import Iterable

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from errors import quote
from web.shape import refuse

log = structlog.get_logger("almanac")

UNSPECIFIED = {"0.0.0.0", "::", ""}  # noqa: S104 - a listening address is nobody's name
LOOPBACK = ("localhost", "127.0.0.1", "::1")
OPEN = ("/health", "/ready")  # probes ask by whatever address they have, and they tell nothing
ONCE = ("host", "origin", "authorization", "content-length", "transfer-encoding")
MOST_TOLD = 100  # names that are logged: anybody can send any
NAME = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
ORIGIN = re.compile(r"(https?)://(.+)")


class Named:
    """Asks of every request by which name, and from which page, it was made.

    Args:
        hosts: Names besides those of this machine; `*` is any, `*.example.com` any below that one.
        origins: Origins, in full, besides the server's own.
        bound: The address that the server listens on.
        most: Bytes that the path and the headers may have.
    """

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str], bound: str, most: int
    ) -> None:
        self._app, self._most = app, most
        self._hosts = {*LOOPBACK, *(host.lower() for host in hosts), bound.lower()} - UNSPECIFIED
        self._origins = {_whole(origin) for origin in origins}
        self._told: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        # h11 looks at this limit only while it waits for more, so that one packet may pass it.
        length = len(scope["raw_path"]) + len(scope["query_string"])
        if length + sum(len(name) + len(value) for name, value in scope["headers"]) > self._most:
            await refuse(send, 431)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if any(len(headers.getlist(name)) > 1 for name in ONCE) or (
            "content-length" in headers and "transfer-encoding" in headers
        ):
            await refuse(send, 400)
        elif not self._is_served(host, scope):
            self._tell("refused a request by its Host", host, "ALMANAC_ALLOWED_HOSTS")
            await refuse(send, 421)
        elif "origin" in headers and not self._may_call(headers["origin"], host, scope["scheme"]):
            self._tell("refused a request by its Origin", headers["origin"], "ALMANAC_ALLOWED_ORIGINS")
            await refuse(send, 403, "Pages of this origin may not call this server.")
        else:
            await self._app(scope, receive, send)

    def _is_served(self, host: str, scope: Scope) -> bool:
        found = NAME.fullmatch(host)
        if not found:
            return False
        name = found[1].strip("[]")
        here = (scope.get("server") or ("",))[0]
        below = ("*" + name[dot.start() :] for dot in re.finditer(r"\.", name))
        return not self._hosts.isdisjoint({"*", name, host, *below}) or name == here

    def _may_call(self, origin: str, host: str, scheme: str) -> bool:
        whole = _whole(origin)
        own = {_whole(f"{scheme}://{host}"), _whole(f"https://{host}")}  # a proxy may have ended TLS
        return whole in self._origins or whole in own

    def _tell(self, what: str, value: str, setting: str) -> None:
        if value not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(value)
            log.warning(what, value=quote(value), if_it_is_yours=f"list it in {setting}")


def _whole(origin: str) -> str:
    """An origin with the port that its scheme implies."""
    found = ORIGIN.fullmatch(origin.lower())
    name = found and NAME.fullmatch(found[2])
    if not (found and name):
        return ""
    return f"{found[1]}://{name[1]}:{name[2] or {'http': 80, 'https': 443}[found[1]]}"
