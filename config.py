"""Every setting, read once in `main()`: environment first, then the .env file, then these defaults.

A name is `ALMANAC_` + section + field, so `ALMANAC_SQL_MAX_ROWS` is `settings.sql.max_rows`. A name
that does not exist or a value that does not parse stops the start, naming the variable and what it
takes and never what it held: the wrong variable may hold a key.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

PREFIX = "ALMANAC_"
HERE = Path(__file__).resolve().parent


class ConfigurationError(Exception):
    """A setting is wrong; the text names the variable and what it takes, a line for each."""


def _split(value: Any) -> Any:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _pairs(value: Any) -> Any:
    """'world=data/world.db,sales=/data/sales.db' as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in _split(value)]
    for number, (name, _, path) in enumerate(pairs, 1):
        if not (name.strip() and path.strip()):
            raise ValueError(f"each entry is name=path; entry {number} is not")
    return {name.strip(): path.strip() for name, _, path in pairs}


def _absolute(path: Path) -> Path:
    return HERE / path.expanduser()  # a client starts us in any directory, so never relative to that


def _without_slash(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("a URL starts with http:// or https://")
    return url.rstrip("/")


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Location = Annotated[Path, AfterValidator(_absolute)]
Url = Annotated[str, AfterValidator(_without_slash)]
Domain = Literal["translate", "weather", "sql", "files"]
Tag = Literal["translate", "weather", "sql", "files", "hub", "read", "write", "local", "network"]
Tags = Annotated[tuple[Tag, ...], BeforeValidator(_split)]
Seconds = Annotated[float, Field(gt=0, le=600)]
DatabaseName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TranslateSettings(Section):
    """Translation: which engines, in which order, and where they are."""

    providers: Annotated[tuple[Literal["google", "mymemory", "apertium"], ...], BeforeValidator(_split)] = (
        Field(
            ("google", "mymemory", "apertium"),
            description="Engines to try, best first; `apertium` runs here, the others send the text out.",
        )
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
    timeout: Seconds = Field(20, description="Seconds one translation may take over all engines.")
    max_chars: int = Field(50_000, ge=1, le=1_000_000, description="Characters one call may translate.")


class WeatherSettings(Section):
    """Weather: where each API is, and who is asking."""

    open_meteo_url: Url = Field("https://api.open-meteo.com", description="Open-Meteo's forecast API.")
    geocoding_url: Url = Field(
        "https://geocoding-api.open-meteo.com",
        description="Open-Meteo's geocoder, for places world.db lacks.",
    )
    archive_url: Url = Field("https://archive-api.open-meteo.com", description="Open-Meteo's archive API.")
    air_quality_url: Url = Field(
        "https://air-quality-api.open-meteo.com", description="Open-Meteo's air quality API."
    )
    nws_url: Url = Field("https://api.weather.gov", description="US National Weather Service, for alerts.")
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
        ("translate", "weather", "sql", "files"), min_length=1, description="Sub-servers to serve."
    )
    include_tags: Tags = Field(
        (), description="Serve only what has one of these tags: a domain, read, local, network."
    )
    exclude_tags: Tags = Field((), description="Serve nothing that has one of these tags.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message written to standard error."
    )
    translate: TranslateSettings = TranslateSettings()
    weather: WeatherSettings = WeatherSettings()
    sql: SqlSettings = SqlSettings()
    files: FilesSettings = FilesSettings()


class Variable(NamedTuple):
    """One environment variable: where its value goes, and what it takes."""

    name: str
    path: tuple[str, ...]
    description: str
    default: Any
    secret: bool


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


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Args:
        environ: Variables and their values; `ALMANAC_ENV_FILE` in it names the file with weaker ones.

    Raises:
        ConfigurationError: An unknown name, or a value that a variable does not take.
    """
    env_file = Path(environ.get(PREFIX + "ENV_FILE") or HERE / ".env")
    if PREFIX + "ENV_FILE" in environ and not env_file.is_file():
        raise ConfigurationError(f"{PREFIX}ENV_FILE names no file that can be read.")
    found = {**dotenv_values(env_file), **environ}
    known = {variable.name: variable for variable in variables()}
    given = {name.upper(): value for name, value in found.items() if name.upper().startswith(PREFIX)}
    given.pop(PREFIX + "ENV_FILE", None)

    problems = [_unknown(name, known) for name in given if name not in known]
    values: dict[str, Any] = {}
    for name, variable in known.items():
        if given.get(name):  # set but empty means not set, as compose files write it
            *sections, field = variable.path
            target = values
            for section in sections:
                target = target.setdefault(section, {})
            target[field] = given[name]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        by_path = {variable.path: variable for variable in known.values()}
        for detail in error.errors(include_input=False, include_url=False):
            # The location may go on past the field, into an item of a list or a key of a mapping.
            path = tuple(str(part) for part in detail["loc"])
            variable = next(by_path[path[:n]] for n in range(len(path), 0, -1) if path[:n] in by_path)
            message = f"{detail['msg']}." if not variable.secret else "This value is not accepted."
            problems.append(f"{variable.name}: {message} It takes: {variable.description}")
        raise ConfigurationError("\n".join(problems)) from None
    if problems:
        raise ConfigurationError("\n".join(problems))
    return settings


def _unknown(name: str, known: Mapping[str, Variable]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"{name}: there is no such setting. The nearest is {near[0]}."
