"""Serves MCP over HTTP behind everything that an open port needs; docs/threats.md says what that is."""

from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastmcp import FastMCP
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from auth import Access
from config import Settings
from middleware.audit import Audit
from web.body import Body
from web.direct import Direct
from web.gate import Gate, Record
from web.names import Named
from web.page import Page
from web.patience import patient
from web.shape import OneShape

PATH = "/mcp"
END_S = 2  # for calls that are running when the server is told to end


def server(root: FastMCP, settings: Settings, access: Access | None) -> uvicorn.Server:
    """What listens until SIGTERM or SIGINT, set up and not yet listening."""
    http = settings.http
    options: dict[str, Any] = {"http": patient(http.timeout, http.connections)}
    return uvicorn.Server(
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
            timeout_graceful_shutdown=END_S,
            **options,
        )
    )


def guarded(root: FastMCP, settings: Settings, access: Access | None) -> ASGIApp:
    """The application, from the outside in: shape of errors, names, CORS, tokens, gate, body, answers."""
    inner = [Middleware(Body, most=settings.http.max_body), Middleware(Direct, root=root, path=PATH)]
    if access:  # behind FastMCP's own, which has looked at the token by then
        inner.insert(0, Middleware(Gate, access=access, path=PATH, record=_recorded_by(root)))
    app: ASGIApp = root.http_app(
        path=PATH,
        middleware=inner,
        stateless_http=True,  # any process can answer any request, in both eras
        host_origin_protection=False,  # FastMCP's lets pages of any loopback port call
    )
    if settings.allowed_origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=("Mcp-Session-Id", "MCP-Protocol-Version", "WWW-Authenticate"),
            max_age=600,
        )
    app = Page(app, settings.auth.mode)  # in front of who asks for a token
    hosts = [*settings.allowed_hosts]
    if settings.auth.oauth_base_url:  # where browsers are sent to sign in
        hosts.append(urlsplit(settings.auth.oauth_base_url).netloc)
    return OneShape(Named(app, hosts, settings.allowed_origins, settings.host, settings.http.max_headers))


def _recorded_by(root: FastMCP) -> Record:
    """What records who was let in: the server's audit, which its other calls go through as well."""
    return next(guard for guard in root.middleware if isinstance(guard, Audit)).authentication
