"""Every setting, with its default and what it takes; `environment.py` reads them once, in `main()`.

A name is `ALMANAC_` + section + field, so `ALMANAC_SQL_MAX_ROWS` is `settings.sql.max_rows`.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
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
    "Variable",
    "WeatherSettings",
    "is_loopback",
    "on_loopback",
    "shown",
    "variables",
]


class Settings(Section):
    """All settings; the sections are named after the domains."""

    transport: Literal["stdio", "http"] = Field(
        "stdio", description="How the server is reached: stdio or http."
    )
    host: str = Field("127.0.0.1", description="Address the HTTP server listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the HTTP server listens on.")
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


class Variable(NamedTuple):
    """One environment variable: where its value goes, and what it takes."""

    name: str
    path: tuple[str, ...]
    description: str
    default: Any
    secret: bool

    def of(self, settings: "Settings") -> Any:
        """The value it has in `settings`."""
        return functools.reduce(getattr, self.path, settings)


def shown(value: Any, whole_paths: bool = False) -> Any:
    """A setting's value fit to be shown: no key, nothing in a URL but scheme, host and path."""
    match value:
        case SecretStr():
            return str(value)
        case Path():
            return str(value) if whole_paths else value.name
        case dict():
            return {name: shown(item, whole_paths) for name, item in value.items()}
        case tuple():
            return ",".join(str(shown(item, whole_paths)) for item in value)
        case str() if value.startswith(("http://", "https://")):
            parts = urlsplit(value)
            _, secret, host = parts.netloc.rpartition("@")
            return parts._replace(
                netloc=f"***@{host}" if secret else host, query="***" if parts.query else "", fragment=""
            ).geturl()
    return value


def variables(section: type[Section] = Settings, path: tuple[str, ...] = ()) -> Iterator[Variable]:
    """Every variable there is, in the order of the sections; docs, .env.example and errors use it."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from variables(field.annotation, (*path, name))
        else:
            yield Variable(
                PREFIX + "_".join((*path, name)).upper(),
                (*path, name),
                field.description or "",
                field.default,
                "SecretStr" in str(field.annotation),
            )
