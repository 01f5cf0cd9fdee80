"""Every setting, with its default and what it takes; `environment.py` reads them once, in `main()`.

A name is `ALMANAC_` + section + field, so `ALMANAC_SQL_MAX_ROWS` is `settings.sql.max_rows`.
"""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
)

from config.domains import HIDDEN, FilesSettings, SqlSettings, TranslateSettings, WeatherSettings
from config.guards import (
    TOKEN_NAME,
    AuditSettings,
    AuthSettings,
    AuthToken,
    HttpSettings,
    LimitsSettings,
    Scope,
    networks,
    origins,
)
from config.kinds import (
    HERE,
    PREFIX,
    Domain,
    Names,
    Section,
    SharedUrl,
    Tags,
    comma_separated,
    is_loopback,
    on_loopback,
    writable,
)

__all__ = [
    "HERE",
    "HIDDEN",
    "PREFIX",
    "TOKEN_NAME",
    "AuditSettings",
    "AuthSettings",
    "AuthToken",
    "Domain",
    "FilesSettings",
    "HttpSettings",
    "LimitsSettings",
    "Scope",
    "Section",
    "Settings",
    "SqlSettings",
    "TranslateSettings",
    "WeatherSettings",
    "is_loopback",
    "on_loopback",
]


def _if_counted(port: int | None, info: ValidationInfo) -> int | None:
    if port and not info.data.get("metrics"):
        raise ValueError(f"it needs {PREFIX}METRICS=true")
    return port


class Settings(Section):
    """All settings; the sections are named after the domains."""

    transport: Literal["stdio", "http"] = Field(
        "stdio", description="How the server is reached: stdio or http."
    )
    host: str = Field("127.0.0.1", description="Address the HTTP server listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the HTTP server listens on.")
    workers: int = Field(
        1, ge=1, le=64, description="Processes that serve HTTP, each on a core of its own at most."
    )
    allowed_hosts: Names = Field(
        (), description="Host names clients may use over HTTP, besides loopback; others get 421."
    )
    allowed_origins: Annotated[Names, AfterValidator(origins)] = Field(
        (), description="Web origins that may call over HTTP, besides the server's own; others get 403."
    )
    trusted_proxies: Annotated[Names, AfterValidator(networks)] = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed."
    )
    servers: Annotated[tuple[Domain, ...], BeforeValidator(comma_separated)] = Field(
        get_args(Domain), min_length=1, description="Sub-servers to serve."
    )
    include_tags: Tags = Field(
        (), description="Serve only what has one of these tags: a domain, read, local, network."
    )
    exclude_tags: Tags = Field((), description="Serve nothing that has one of these tags.")
    state_dir: Annotated[Path, AfterValidator(writable)] = Field(
        Path("~/.local/state/almanac"),
        validate_default=True,
        description="Where caches and counters are kept; made when first written to.",
    )
    state_url: SharedUrl | None = Field(
        None,
        description="Redis or Valkey that replicas share instead of state_dir: redis://, rediss://, "
        "valkey:// or valkeys:// and a host.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message written to standard error."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="How lines are written to standard error: console, or json, an object each."
    )
    shutdown_grace: Annotated[float, Field(ge=0, le=600)] = Field(
        8,  # Docker kills ten seconds after it has asked
        description="Seconds that calls under way have to finish once the server is told to end.",
    )
    metrics: bool = Field(
        False, description="Whether calls are counted for Prometheus, which fetches /metrics."
    )
    metrics_port: Annotated[int | None, Field(ge=1, le=65535), AfterValidator(_if_counted)] = Field(
        None,
        description="Port of their own for /health, /ready and /metrics, where nobody is asked for a token; "
        "without it /metrics is on the HTTP port and, where tokens are asked for, needs one with admin.",
    )
    fence: bool = Field(
        True,
        description="Whether text from outside is marked as data, cleaned of invisible characters where a "
        "model reads it, and looked through for phrases that read as orders.",
    )
    translate: TranslateSettings = TranslateSettings()
    weather: WeatherSettings = WeatherSettings()
    sql: SqlSettings = SqlSettings()
    files: FilesSettings = FilesSettings()
    limits: LimitsSettings = LimitsSettings()
    audit: AuditSettings = AuditSettings()
    auth: AuthSettings = AuthSettings()
    http: HttpSettings = HttpSettings()
