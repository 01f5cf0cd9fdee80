"""Serves MCP over HTTP behind everything that an open port needs; docs/threats.md says what that is."""

from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
import uvicorn
from fastmcp import FastMCP
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

import tracing
from auth import Access
from config import Settings
from middleware.audit import Audit
from middleware.instrumentation import Instrumentation
from middleware.running import Running
from web.body import Body
from web.ending import Server
from web.gate import Gate
from web.names import Named
from web.page import Page
from web.patience import patient
from web.requests import Requests
from web.shape import OneShape

PATH = "/mcp"
Guard = TypeVar("Guard")

log = structlog.get_logger("almanac")


def server(root: FastMCP, settings: Settings, access: Access | None) -> uvicorn.Server:
    """What listens until SIGTERM or SIGINT, set up and not yet listening."""
    http = settings.http
    options: dict[str, Any] = {"http": patient(http.timeout, http.connections)}
    return Server(
        uvicorn.Config(
            guarded(root, settings, access),
            host=settings.host,
            port=settings.port,
            h11_max_incomplete_event_size=http.max_headers,
            ws="none",
            lifespan="on",
            log_config=None,  # its lines go through our handler
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            **options,
        ),
        _of_the(root, Running),
        settings.shutdown_grace,
    )


def _direct(root: FastMCP) -> list[Middleware]:
    try:
        from web.direct import Direct
    except ImportError as error:  # of mcp's, which may move what this needs
        log.warning("mcp has changed, and its own way is taken, which is slower", missing=str(error))
        return []
    return [Middleware(Direct, root=root, path=PATH)]


def _traced(root: FastMCP) -> list[Middleware]:
    telemetry = tracing.started(root.version or "")  # when the server was made
    if not (telemetry and telemetry.traces):
        return []
    from web.traced import Traced

    return [Middleware(Traced, path=PATH)]


def guarded(root: FastMCP, settings: Settings, access: Access | None) -> ASGIApp:
    """The application.

    From the outside in: references, errors, names, the page, CORS, tokens, gate, body, span, answers.
    """
    gate = []
    if access:  # behind FastMCP's own, which has looked at the token by then
        record = _of_the(root, Audit).authentication
        gate = [Middleware(Gate, access=access, path=PATH, record=record)]
    body = Middleware(Body, most=settings.http.max_body)
    app: ASGIApp = root.http_app(
        path=PATH,
        middleware=[*gate, body, *_traced(root), *_direct(root)],
        stateless_http=True,  # any process can answer any request, in both eras
        host_origin_protection=False,  # FastMCP's lets pages of any loopback port call
    )
    if settings.allowed_origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=("Mcp-Session-Id", "MCP-Protocol-Version", "WWW-Authenticate", "X-Request-Id"),
            max_age=600,
        )
    app = Page(app, settings.auth.mode)  # in front of who asks for a token
    hosts = [*settings.allowed_hosts]
    if settings.auth.oauth_base_url:  # where browsers are sent to sign in
        hosts.append(urlsplit(settings.auth.oauth_base_url).netloc)
    app = OneShape(Named(app, hosts, settings.allowed_origins, settings.host, settings.http.max_headers))
    running = _of_the(root, Running)
    meters = next((guard for guard in root.middleware if isinstance(guard, Instrumentation)), None)
    return Requests(app, lambda: running.is_ending, meters.answered if meters else None)


def _of_the(root: FastMCP, kind: type[Guard]) -> Guard:
    """The guard of this kind that the server's calls go through."""
    return next(guard for guard in root.middleware if isinstance(guard, kind))
