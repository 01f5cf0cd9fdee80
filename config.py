"""Every setting, with its default and what it takes; `environment.py` reads them once, in `main()`.

A name is `ALMANAC_` + section + field, so `ALMANAC_SQL_MAX_ROWS` is `settings.sql.max_rows`.
"""

import functools
import ipaddress
import os
import re
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
        10_000_000, ge=1, le=1_000_000_000, description="Bytes one document of the sandbox may hold."
    )
    cache: Literal["on", "hash-only", "off"] = Field(
        "on",
        description="What is remembered of translations, by a hash of the text: on keeps the translation in "
        "clear, hash-only keeps it so that only who has the text can read it, off keeps nothing.",
    )


class WeatherSettings(Section):
    """Weather: whom to ask, where each API is, and who is asking."""

    providers: Annotated[tuple[Literal["open_meteo", "met_norway", "nws"], ...], BeforeValidator(_split)] = (
        Field(
            ("open_meteo", "met_norway", "nws"),
            min_length=1,
            description="Forecast services to try, best first; `nws` covers the United States only.",
        )
    )
    open_meteo_url: Url = Field("https://api.open-meteo.com", description="Open-Meteo's forecast API.")
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


Scope = Literal["read", "write", "admin"]


def _scopes(text: str) -> tuple[Scope, ...]:
    parts = {part.strip() for part in text.split("+")}
    if not parts <= set(get_args(Scope)):
        raise ValueError("scopes are read, write and admin, joined by +")
    return tuple(scope for scope in get_args(Scope) if scope in parts)


class AuthToken(Section):
    """A token that lets a caller in: whose it is, its SHA-256 and what it may do; shown without the hash."""

    name: str
    sha256: str
    scopes: tuple[Scope, ...]

    def __str__(self) -> str:
        return f"{self.name}:***:{'+'.join(self.scopes)}"


def _tokens(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = []
    for number, part in enumerate(_split(value), 1):
        name, _, rest = part.partition(":")
        digest, _, scopes = rest.partition(":")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", name) or not re.fullmatch(
            r"[0-9a-f]{64}", digest
        ):
            raise ValueError(f"each entry is name:SHA-256 of the token:scopes; entry {number} is not")
        found.append(AuthToken(name=name, sha256=digest, scopes=_scopes(scopes)))
    return tuple(found)


def _at_most_two(tokens: tuple[AuthToken, ...]) -> tuple[AuthToken, ...]:
    if len({token.sha256 for token in tokens}) < len(tokens):
        raise ValueError("two entries have the same token")
    names = [token.name for token in tokens]
    if any(names.count(name) > 2 for name in names):
        raise ValueError("a name has at most two tokens: the old one and the new one, while you rotate them")
    return tokens


def _users(value: Any) -> Any:
    pairs = _pairs(value)
    return {name: _scopes(scopes) for name, scopes in pairs.items()} if pairs is not value else value


def _complete(mode: str, info: ValidationInfo) -> str:
    """Refuses a mode that lacks what it needs; it is the last field, so that it sees the others."""

    def given(name: str) -> Any:
        value = info.data.get(name)
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    def need(*names: str) -> None:
        for name in names:
            if not given(name):
                raise ValueError(f"{mode} needs {PREFIX}AUTH_{name.upper()}")

    if mode == "tokens":
        need("tokens")
    elif mode == "jwt":
        need("jwt_issuer", "jwt_audience")
        _one_kind_of_key(given("jwt_algorithm") or "", given("jwt_key") or "", given("jwt_jwks_url"))
    elif mode == "oauth":
        need("oauth_provider", "oauth_client_id", "oauth_client_secret", "oauth_base_url", "oauth_users")
        if len(given("oauth_signing_key") or "") < 32:
            raise ValueError(f"oauth needs {PREFIX}AUTH_OAUTH_SIGNING_KEY of 32 characters or more")
        if given("oauth_provider") not in ("github", "google"):
            need("oauth_tenant")
        if given("oauth_provider") in ("azure", "auth0"):
            need("oauth_api")
        if given("oauth_tenant") in ("common", "organizations", "consumers"):
            raise ValueError("a tenant of Azure is one by its id: others could name their users as yours")
    return mode


def _one_kind_of_key(algorithm: str, key: str, jwks_url: str | None) -> None:
    if bool(key) == bool(jwks_url):
        raise ValueError(f"jwt needs one of {PREFIX}AUTH_JWT_JWKS_URL and {PREFIX}AUTH_JWT_KEY")
    if algorithm.startswith("HS"):
        if jwks_url or "-----BEGIN" in key:  # whoever knows a public key could sign with it
            raise ValueError(f"{algorithm} goes with a secret in {PREFIX}AUTH_JWT_KEY, never a public key")
        if len(key.encode()) < int(algorithm[2:]) // 8:
            raise ValueError(f"{algorithm} needs a secret of {int(algorithm[2:]) // 8} bytes or more")
    elif key and "-----BEGIN" not in key:
        raise ValueError(f"{algorithm} needs a public key in PEM in {PREFIX}AUTH_JWT_KEY")


class AuthSettings(Section):
    """Auth: who may come in over HTTP. Over STDIO nobody is asked: who starts the server has it."""

    tokens: Annotated[tuple[AuthToken, ...], BeforeValidator(_tokens), AfterValidator(_at_most_two)] = Field(
        (),
        description="For `tokens`: name:SHA-256:scopes, comma-separated, scopes joined by +; "
        "`server.py token new NAME` makes an entry. A name may have two while they are rotated.",
    )
    jwt_jwks_url: Url | None = Field(None, description="For `jwt`: where the issuer publishes its keys.")
    jwt_key: SecretStr | None = Field(
        None,
        description="For `jwt`, instead of the URL: a public key in PEM, or the secret of an HS algorithm.",
    )
    jwt_issuer: str = Field("", description="For `jwt`: the issuer that tokens name.")
    jwt_audience: str = Field("", description="For `jwt`: the audience that tokens name, this server.")
    jwt_algorithm: Literal[
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA",
        "HS256", "HS384", "HS512",
    ] = Field("RS256", description="For `jwt`: the one algorithm of signature that is taken.")  # fmt: skip
    oauth_provider: Literal["github", "google", "azure", "auth0", "workos", "cognito"] | None = Field(
        None, description="For `oauth`: where people sign in: github, google, azure, auth0, workos, cognito."
    )
    oauth_client_id: str = Field("", description="For `oauth`: the client id this server has there.")
    oauth_client_secret: SecretStr | None = Field(
        None, description="For `oauth`: the secret that goes with it."
    )
    oauth_tenant: str = Field(
        "",
        description="For `oauth`: Azure's tenant id, Cognito's user pool id, the domain at Auth0, AuthKit's "
        "domain at WorkOS.",
    )
    oauth_api: str = Field(
        "", description="For `oauth`: the API's audience at Auth0, the name of the scope it exposes at Azure."
    )
    oauth_base_url: Url | None = Field(
        None, description="For `oauth`: this server as browsers reach it, such as https://mcp.example.com."
    )
    oauth_signing_key: SecretStr | None = Field(
        None,
        description="For `oauth`: signs the tokens given out and encrypts what is kept; the same on every "
        "replica, and after a restart.",
    )
    oauth_users: Annotated[dict[str, tuple[Scope, ...]], BeforeValidator(_users)] = Field(
        {},
        description="For `oauth`: who may do what, by GitHub login, verified e-mail, or "
        "subject (Azure: object id): "
        "ann@example.com=read+write,*=read. `*` is all who can sign in; who is not listed gets nothing.",
    )
    mode: Annotated[Literal["none", "tokens", "jwt", "oauth"], AfterValidator(_complete)] | None = Field(
        None,
        description="How callers over HTTP prove who they are: none, tokens, jwt, oauth. Not set, they need "
        "not on loopback; beyond it a token is made for the run and printed.",
    )


class HttpSettings(Section):
    """HTTP: how much, and how slowly, one client may send."""

    max_body: int = Field(
        4_000_000,
        ge=1_000,
        le=4_194_304,  # the protocol's library reads no more
        description="Most bytes of one request's body.",
    )
    max_headers: int = Field(
        32_000, ge=2_000, le=1_000_000, description="Most bytes of one request's line and headers."
    )
    timeout: Seconds = Field(
        30, description="Seconds one request may take to arrive, and a client may leave an answer unread."
    )
    connections: int = Field(1_000, ge=1, le=100_000, description="Most connections at once; others get 503.")


def _networks(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(
            str(ipaddress.ip_network(name)).removesuffix("/32").removesuffix("/128") for name in names
        )
    except ValueError:
        raise ValueError("each is an address or a network such as 10.0.0.0/8") from None


def _origins(names: tuple[str, ...]) -> tuple[str, ...]:
    for number, name in enumerate(names, 1):
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", name):
            raise ValueError(f"an origin is like https://app.example.com, in full; entry {number} is not")
    return names


class AuditSettings(Section):
    """Audit: where calls are recorded, what of their arguments, and for how long."""

    path: Literal["off"] | Location | None = Field(
        None,
        description="File of the audit, a JSON line for each call; `audit/audit.jsonl` in the state directory "
        "if not set. `off` records nothing.",
    )
    arguments: Literal["shape", "redacted", "none"] = Field(
        "shape",
        description="What is recorded of arguments: shape (types, lengths, short keyed hashes), redacted "
        "(values without credentials, e-mail addresses, phone and card numbers), or none.",
    )
    on_failure: Literal["refuse", "warn"] = Field(
        "warn",
        description="While the audit cannot be written (a full disk): refuse calls, or warn in the log and keep "
        "the last 1,000 events in memory.",
    )
    max_bytes: int = Field(
        10_000_000, ge=10_000, le=10_000_000_000, description="Bytes after which another file is begun."
    )
    keep: int = Field(10, ge=0, le=100_000, description="Files kept besides the current one; 0 is all.")
    key: SecretStr | None = Field(
        None,
        description="Key of the audit's chain, the same for `server.py audit verify`; without it one is made in "
        "the state directory.",
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
    allowed_origins: Annotated[Names, AfterValidator(_origins)] = Field(
        (), description="Web origins that may call over HTTP, besides the server's own; others get 403."
    )
    trusted_proxies: Annotated[Names, AfterValidator(_networks)] = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed."
    )
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
    fence: bool = Field(
        True,
        description="Whether text from outside is marked as data, cleaned of invisible characters where a model "
        "reads it, and looked through for phrases that read as orders.",
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
