"""`/metrics` for Prometheus: on the HTTP port for an admin, or on a port of its own for who reaches that."""

import socket
from typing import Protocol, Self

import structlog
import uvicorn
from fastmcp import FastMCP
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from config import Settings, is_loopback
from web.names import Named
from web.patience import patient
from web.probes import Probes, is_an_admin
from web.shape import OneShape, answer

PATH = "/metrics"
CONNECTIONS = 20

log = structlog.get_logger("almanac")


class Exposed(Protocol):
    async def text(self, accept: str = "") -> tuple[bytes, str]: ...


def add_metrics(server: FastMCP, metrics: Exposed, probes: Probes) -> None:
    """Put it on the HTTP port, where an admin may see it, or everybody if nobody has a token."""

    @server.custom_route(PATH, methods=["GET"])
    async def of_everything(request: Request) -> Response:
        if probes.granted and not is_an_admin(request, probes.granted):
            headers, body = answer(403, "A token with the scope admin may see this.")
            return Response(body, 403, {name.decode(): value.decode() for name, value in headers})
        return await _told(metrics, request)


async def _told(metrics: Exposed, request: Request) -> Response:
    text, kind = await metrics.text(request.headers.get("accept", ""))
    return Response(text, headers={"content-type": kind, "cache-control": "no-store"})


class Port:
    """A port for probes and metrics alone; open while it is entered.

    Every worker listens there, and whichever is asked tells of all. On loopback pages of a browser that make
    their name mean this machine are refused; elsewhere the network says who reaches it.
    """

    def __init__(self, metrics: Exposed, probes: Probes, settings: Settings) -> None:
        self._metrics, self._probes, self._settings = metrics, probes, settings
        self._server: uvicorn.Server | None = None

    async def __aenter__(self) -> Self:
        host = self._settings.host if self._settings.transport == "http" else "127.0.0.1"
        try:
            listening = _listening(host, self._settings.metrics_port or 0)
        except OSError as error:  # over STDIO each client starts a server of its own
            log.warning("no metrics: the port cannot be had", why=error.strerror)
            return self
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app(host),
                http=patient(10, CONNECTIONS),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
            )
        )
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup([listening])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            for server in self._server.servers:
                server.close()
            for connection in list(self._server.server_state.connections):
                connection.transport.close()

    def _app(self, host: str) -> ASGIApp:
        async def of_everything(request: Request) -> Response:
            return await _told(self._metrics, request)

        app = Starlette(
            routes=[
                Route(PATH, of_everything),
                Route("/health", self._probes.health),
                Route("/ready", self._probes.ready),
            ]
        )
        hosts = self._settings.allowed_hosts if is_loopback(host) else ("*",)
        return OneShape(Named(app, hosts, (), host, self._settings.http.max_headers))


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    many = hasattr(socket, "SO_REUSEPORT")
    return socket.create_server((host, port), family=family, backlog=CONNECTIONS, reuse_port=many)
