"""What probes ask: `/health`, whether the process answers, and `/ready`, whether it should be given calls.

Both are open to everybody; why it is not ready is told to an admin only. A domain that cannot be used makes a
replica unready, but not services elsewhere that do not answer: these fail for every replica alike, and none
would be left. Nobody is asked over the network, and what is found holds for a second, so that asking often
makes no work.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fastmcp import FastMCP
from fastmcp.server.auth import AccessToken
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from middleware.running import Running

HOLDS_S = 1.0
PATIENCE_S = 2.0  # for a domain to say how it is, which takes a millisecond
ELSEWHERE = ("translate", "weather")  # their services

Granted = Callable[[AccessToken], frozenset[str]]


class _Health(Protocol):
    @property
    def state(self) -> str: ...
    @property
    def providers(self) -> Any: ...
    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


class HasHealth(Protocol):
    async def health(self) -> Any: ...


class Readiness:
    """How the domains are, asked at most once a second and once for all who ask meanwhile."""

    def __init__(
        self, backends: Mapping[str, HasHealth], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backends, self._clock = backends, clock
        self._found: dict[str, _Health | None] = {}
        self._at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def domains(self) -> Mapping[str, _Health | None]:
        """Each domain's health; None for one that did not say in time."""
        if self._clock() - self._at >= HOLDS_S:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
        return self._found

    async def _ask(self) -> None:
        found = await asyncio.gather(*(self._health(backend) for backend in self._backends.values()))
        self._found, self._at = dict(zip(self._backends, found, strict=True)), self._clock()

    async def _health(self, backend: HasHealth) -> _Health | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                health: _Health = await backend.health()
                return health
        except Exception:  # whatever it is, the domain is not to be used
            return None


def is_usable(domain: str, health: _Health | None) -> bool:
    """Whether a replica with this domain can do what replicas can."""
    if health is None:
        return False
    failing = any(provider.state == "failing" for provider in health.providers)
    return health.state != "unavailable" or (domain in ELSEWHERE and failing)


class Probes:
    """The endpoints of both.

    Args:
        backends: The domains by name.
        running: Knows whether the server is ending.
        granted: The scopes of a token; None where nobody has one, and nobody is told why.
    """

    def __init__(
        self, backends: Mapping[str, HasHealth], running: Running, granted: Granted | None = None
    ) -> None:
        self.readiness = Readiness(backends)
        self.granted = granted
        self._running = running

    def register(self, server: FastMCP) -> None:
        server.custom_route("/health", methods=["GET"])(self.health)
        server.custom_route("/ready", methods=["GET"])(self.ready)

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        domains = await self.readiness.domains()
        usable = all(is_usable(domain, health) for domain, health in domains.items())
        status = "ending" if self._running.is_ending else "ready" if usable else "not ready"
        told: dict[str, Any] = {"status": status}
        if self.granted and is_an_admin(request, self.granted):
            told["domains"] = {
                name: health.model_dump(mode="json") if health else {"state": "unavailable"}
                for name, health in domains.items()
            }
        return JSONResponse(told, 200 if status == "ready" else 503, {"cache-control": "no-store"})


def is_an_admin(request: Request, granted: Granted) -> bool:
    """Whether the request has a token with the scope admin."""
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser

    user = request.scope.get("user")
    return isinstance(user, AuthenticatedUser) and "admin" in granted(user.access_token)  # type: ignore[arg-type]  # ours are FastMCP's
