"""Every setting, with its default and what it takes; `environment.py` reads them once, in `main()`.

A name is `ALMANAC_` + section + field, so `ALMANAC_SQL_MAX_ROWS` is `settings.sql.max_rows`.
"""

import functools
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
)

PREFIX = "ALMANAC_"
HERE = Path(__file__).resolve().parent


def _split(value: Any) -> Any:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _pairs(value: Any) -> Any:
    """'world=data/world.db,sales=/data/sales.db' as a mapping; whatever is no text stays as it is."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for number, part in enumerate(_split(value), 1):
        name, _, path = (piece.strip() for piece in part.partition("="))
        if not (name and path):
            raise ValueError(f"each entry is name=value; entry {number} is not")
        if name in found:
            raise ValueError(f"entry {number} has a name that is taken")
        found[name] = path
    return found


def _absolute(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path holds no NUL character")
    try:
        return HERE / path.expanduser()  # a client starts us in any directory, so never relative to that
    except RuntimeError:
        raise ValueError("there is no such user's home") from None


def _writable(path: Path) -> Path:
    try:
        return _absolute(path)
    except ValueError:  # a user without a home, as in many containers: nothing can be made below a device
        return Path(os.devnull) / "almanac"


def _without_slash(url: str) -> str:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        whole = False
    if not whole:
        raise ValueError("a URL is http:// or https:// and a host")
    return url.rstrip("/")


def _kept_here(local_only: bool, info: ValidationInfo) -> bool:
    out = [name for name in info.data.get("providers", ()) if name in ("deepl", "google", "mymemory")]
    if local_only and out:
        raise ValueError(f"the providers name {out[0]}, which sends texts out")
    return local_only


def on_loopback(url: str) -> bool:
    """Whether an address is this machine's own, told without asking anybody."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Location = Annotated[Path, AfterValidator(_absolute)]
Url = Annotated[str, AfterValidator(_without_slash)]
Domain = Literal["translate", "weather", "sql", "files"]
Tag = Literal[Domain, "hub", "read", "write", "local", "network"]
Tags = Annotated[tuple[Tag, ...], BeforeValidator(_split)]
Seconds = Annotated[float, Field(gt=0, le=600)]
CountedName = Annotated[str, Field(pattern=r"^(translate|weather|sql|files|status)(_[a-z_]+)?$")]
Credits = Annotated[int, Field(ge=0, le=1_000_000)]
DatabaseName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


TranslationProvider = Literal["auto", "deepl", "libretranslate", "google", "mymemory", "apertium"]


class TranslateSettings(Section):
    """Translation: which engines, in which order, where they are, and what may leave the machine."""

    providers: Annotated[tuple[TranslationProvider, ...], BeforeValidator(_split)] = Field(
        ("auto",),
        min_length=1,
        description="Engines to try, best first: deepl, libretranslate, google, mymemory, apertium; `auto` "
        "stands for those of them that are configured, in this order. `apertium` runs here, the others send "
        "the text out.",
    )
    local_only: Annotated[bool, AfterValidator(_kept_here)] = Field(
        False,
        description="Whether every text stays on this machine: only Apertium, and a LibreTranslate on "
        "loopback, are used.",
    )
    deepl_key: SecretStr | None = Field(None, description="DeepL API key, of the free or the paid plan.")
    deepl_url: Url | None = Field(
        None, description="Where DeepL is asked, if not where its key belongs (a proxy of your own)."
    )
    libretranslate_url: Url | None = Field(
        None, description="A LibreTranslate server, such as http://127.0.0.1:5000."
    )
    libretranslate_key: SecretStr | None = Field(
        None, description="API key of that LibreTranslate server, if it wants one."
    )
    google_url: Url = Field(
        "https://translate.google.com/m", description="Where deep-translator's Google engine asks."
    )
    mymemory_url: Url = Field(
        "https://api.mymemory.translated.net/get", description="Where deep-translator's MyMemory engine asks."
    )
    apertium_modes: Location = Field(
        Path("/usr/share/apertium/modes"), description="Directory of Apertium's installed modes."
    )
    apertium_pairs: int = Field(
        3, ge=1, le=32, description="Most Apertium pairs kept running at once, 100 to 170 MB each."
    )
    apertium_idle: Seconds = Field(300, description="Seconds after which an Apertium pair unused is closed.")
    timeout: Seconds = Field(20, description="Seconds one translation may take over all engines.")
    max_chars: int = Field(50_000, ge=1, le=1_000_000, description="Characters one call may translate.")
    document_timeout: Annotated[float, Field(gt=0, le=86_400)] = Field(
        600, description="Seconds one document of the sandbox may take."
    )
    max_document: int = Field(
        10_000_000, ge=1, le=1_000_000_000, description="Characters one document of the sandbox may hold."
    )
    cache: Literal["on", "hash-only", "off"] = Field(
        "on",
        description="What is remembered of translations, by a hash of the text: on keeps the translation in "
        "clear, hash-only keeps it so that only who has the text can read it, off keeps nothing.",
    )


class WeatherSettings(Section):
    """Weather: whom to ask, where each API is, and who is asking."""

    open_meteo_url: Url = Field("https://api.open-meteo.com", description="Open-Meteo's forecast API.")
    providers: Annotated[tuple[Literal["open_meteo", "met_norway", "nws"], ...], BeforeValidator(_split)] = (
        Field(
            ("open_meteo", "met_norway", "nws"),
            min_length=1,
            description="Forecast services to try, best first; `nws` covers the United States only.",
        )
    )
    geocoding_url: Url = Field(
        "https://geocoding-api.open-meteo.com",
        description="Open-Meteo's geocoder, for places world.db lacks.",
    )
    archive_url: Url = Field("https://archive-api.open-meteo.com", description="Open-Meteo's archive API.")
    air_quality_url: Url = Field(
        "https://air-quality-api.open-meteo.com", description="Open-Meteo's air quality API."
    )
    met_norway_url: Url = Field("https://api.met.no", description="MET Norway's API.")
    nws_url: Url = Field("https://api.weather.gov", description="US National Weather Service's API.")
    open_meteo_key: SecretStr | None = Field(None, description="Open-Meteo API key, for its customer- hosts.")
    contact: str = Field(
        "almanac-mcp-server", description="Who is asking (a site or e-mail), sent in the User-Agent."
    )
    places: Location = Field(
        HERE / "data/world.db", description="Database in which places are found offline."
    )
    timeout: Seconds = Field(12, description="Seconds one weather call may take, retries included.")


class SqlSettings(Section):
    """SQL: which databases, and how much one query may take."""

    databases: Annotated[dict[DatabaseName, Location], BeforeValidator(_pairs)] = Field(
        {"world": HERE / "data/world.db"},
        min_length=1,
        description="Databases as name=path, comma-separated; the first is the default one.",
    )
    timeout: Seconds = Field(5, description="Seconds one query may run.")
    export_timeout: Seconds = Field(300, description="Seconds one export of a query into a file may run.")
    max_rows: int = Field(10_000, ge=1, le=1_000_000, description="Most rows one call may ask for.")
    max_bytes: int = Field(
        2_000_000, ge=10_000, le=100_000_000, description="Most bytes one result may hold."
    )
    max_memory: int = Field(
        64_000_000,
        ge=16_000_000,
        le=8_000_000_000,
        description="Most bytes one query may hold in memory while it sorts, groups and joins.",
    )
    connections: int = Field(
        4, ge=1, le=32, description="Most queries that run at once on one database, each in its own process."
    )


# What a served directory must not give away by accident: secrets, keys, version control's internals.
# fmt: off
HIDDEN = (
    ".env*", "!.env.example", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "id_rsa*",
    "id_dsa*", "id_ecdsa*", "id_ed25519*", ".git/", ".hg/", ".svn/", ".ssh/", ".gnupg/", ".aws/", ".azure/",
    ".kube/", ".docker/", ".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass", ".git-credentials", ".htpasswd",
    ".almanac-*.part",
)
# fmt: on


class FilesSettings(Section):
    """Files: the one directory that is served, and how much one call may read."""

    root: Location = Field(
        HERE / "data/files", description="The directory that is served; nothing outside it is."
    )
    deny: Annotated[Names, AfterValidator(lambda given: (*HIDDEN, *given))] = Field(
        HIDDEN,
        description="What is never listed, found, searched or read, in .gitignore syntax. Yours comes on top "
        "of the default; `!*.pem` takes one back.",
    )
    max_bytes: int = Field(
        5_000_000, ge=1_000, le=100_000_000, description="Most bytes one call may return, media included."
    )
    timeout: Seconds = Field(10, description="Seconds one list, find or search may take.")
    hardlinks: Literal["allow", "refuse"] = Field(
        "allow",
        description="Whether files with several names (hard links) are opened: one may lie outside the root.",
    )
    ripgrep: bool = Field(
        True, description="Whether ripgrep, where it is installed, helps to search large trees."
    )
    write: bool = Field(
        False, description="Whether files may be written; the tools that write are absent otherwise."
    )
    max_written: int = Field(
        1_000_000_000,
        ge=1_000,
        le=1_000_000_000_000,
        description="Most bytes written until the server is restarted.",
    )
    max_files: int = Field(
        10_000,
        ge=1,
        le=100_000_000,
        description="Most files and directories made until the server is restarted.",
    )
    confirm: Literal["ask", "never"] = Field(
        "ask",
        description="Whether the user is asked before anything is deleted, overwritten or moved: `ask`, which "
        "refuses clients that cannot ask, or `never`.",
    )


Rate = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$")]


class LimitsSettings(Section):
    """Limits: how often and how much one caller may call. None is set, but for calls at once."""

    rate: Rate | None = Field(None, description="Calls of one tool by one caller, as 100/minute.")
    quotas: Annotated[dict[CountedName, Rate], BeforeValidator(_pairs)] = Field(
        {}, description="Quotas of a caller by domain or tool: translate=50/day,weather_alerts=500/day."
    )
    budget: Rate | None = Field(
        None, description="Credits of one caller, as 1000/day; each call costs some of them."
    )
    costs: Annotated[dict[CountedName, Credits], BeforeValidator(_pairs)] = Field(
        {}, description="Credits one call costs, by domain or tool: translate=5,status=0. Others cost 1."
    )
    at_once: int = Field(64, ge=1, le=10_000, description="Calls of one caller that may run at once.")
    on_failure: Literal["refuse", "local"] = Field(
        "refuse",
        description="While the shared storage of the counters fails: refuse calls, or let each replica count "
        "for itself.",
    )


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
    allowed_origins: Names = Field((), description="Web origins that may call over HTTP; others get 403.")
    servers: Annotated[tuple[Domain, ...], BeforeValidator(_split)] = Field(
        get_args(Domain), min_length=1, description="Sub-servers to serve."
    )
    include_tags: Tags = Field(
        (), description="Serve only what has one of these tags: a domain, read, local, network."
    )
    exclude_tags: Tags = Field((), description="Serve nothing that has one of these tags.")
    state_dir: Annotated[Path, AfterValidator(_writable)] = Field(
        Path("~/.local/state/almanac"),
        validate_default=True,
        description="Where caches and counters are kept; made when first written to.",
    )
    state_url: SecretStr | None = Field(
        None, description="Redis or Valkey (redis://, rediss://) that replicas share instead of state_dir."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message written to standard error."
    )
    translate: TranslateSettings = TranslateSettings()
    weather: WeatherSettings = WeatherSettings()
    sql: SqlSettings = SqlSettings()
    files: FilesSettings = FilesSettings()
    limits: LimitsSettings = LimitsSettings()


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
