"""The settings of what guards every call: limits, tokens, the HTTP port, the audit."""

import ipaddress
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
)

from config.kinds import (
    PREFIX,
    CountedName,
    Credits,
    Location,
    Seconds,
    Section,
    Url,
    comma_separated,
    named_values,
)

Rate = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$")]


class LimitsSettings(Section):
    """Limits: how often and how much one caller may call. None is set, but for calls at once."""

    rate: Rate | None = Field(None, description="Calls of one tool by one caller, as 100/minute.")
    quotas: Annotated[dict[CountedName, Rate], BeforeValidator(named_values)] = Field(
        {}, description="Quotas of a caller by domain or tool: translate=50/day,weather_alerts=500/day."
    )
    budget: Rate | None = Field(
        None, description="Credits of one caller, as 1000/day; each call costs some of them."
    )
    costs: Annotated[dict[CountedName, Credits], BeforeValidator(named_values)] = Field(
        {}, description="Credits one call costs, by domain or tool: translate=5,status=0. Others cost 1."
    )
    at_once: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Calls of one caller that may run at once; if set, over all replicas that share "
        "ALMANAC_STATE_URL.",
    )
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


TOKEN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class AuthToken(Section):
    """A token that lets a caller in: whose it is, its SHA-256 and what it may do; shown without the hash."""

    name: str
    sha256: str
    scopes: tuple[Scope, ...]

    def __str__(self) -> str:
        return self.entry("***")

    def entry(self, sha256: str = "") -> str:
        """As the setting has it."""
        return f"{self.name}:{sha256 or self.sha256}:{'+'.join(self.scopes)}"


def _tokens(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = []
    for number, part in enumerate(comma_separated(value), 1):
        name, _, rest = part.partition(":")
        digest, _, scopes = rest.partition(":")
        if not TOKEN_NAME.fullmatch(name) or not re.fullmatch(r"[0-9a-f]{64}", digest):
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
    pairs = named_values(value)
    return {name: _scopes(scopes) for name, scopes in pairs.items()} if pairs is not value else value


MEANT = (
    "tokens",
    "jwt_jwks_url",
    "jwt_key",
    "jwt_issuer",
    "oauth_provider",
    "oauth_client_id",
)  # to be asked for


def _complete(mode: str | None, info: ValidationInfo) -> str | None:
    """Refuses a mode that lacks what it needs; it is the last field, so that it sees the others."""
    if mode is None and (said := [name for name in MEANT if info.data.get(name)]):
        raise ValueError(f"say which mode it is, as {PREFIX}AUTH_{said[0].upper()} is set")

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
        description="For `oauth`: 32 random characters or more, which sign the tokens given out and encrypt "
        "what is kept; the same on every replica, and after a restart.",
    )
    oauth_users: Annotated[dict[str, tuple[Scope, ...]], BeforeValidator(_users)] = Field(
        {},
        description="For `oauth`: who may do what, by GitHub login, verified e-mail, or "
        "subject (Azure: object id): "
        "ann@example.com=read+write,*=read. `*` is all who can sign in; who is not listed gets nothing.",
    )
    mode: Annotated[Literal["none", "tokens", "jwt", "oauth"] | None, AfterValidator(_complete)] = Field(
        None,
        validate_default=True,
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


def networks(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(
            str(ipaddress.ip_network(name)).removesuffix("/32").removesuffix("/128") for name in names
        )
    except ValueError:
        raise ValueError("each is an address or a network such as 10.0.0.0/8") from None


def origins(names: tuple[str, ...]) -> tuple[str, ...]:
    for number, name in enumerate(names, 1):
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", name):
            raise ValueError(f"an origin is like https://app.example.com, in full; entry {number} is not")
    return names


class AuditSettings(Section):
    """Audit: where calls are recorded, what of their arguments, and for how long."""

    path: Literal["off"] | Location | None = Field(
        None,
        description="File of the audit, a JSON line for each call; `audit/audit.jsonl` in the state "
        "directory if not set. `off` records nothing.",
    )
    arguments: Literal["shape", "redacted", "none"] = Field(
        "shape",
        description="What is recorded of arguments: shape (types, lengths, short keyed hashes), redacted "
        "(values without credentials, e-mail addresses, phone and card numbers), or none.",
    )
    on_failure: Literal["refuse", "warn"] = Field(
        "warn",
        description="While the audit cannot be written (a full disk): refuse calls, or warn in the log and "
        "keep the last 1,000 events in memory.",
    )
    max_bytes: int = Field(
        10_000_000, ge=10_000, le=10_000_000_000, description="Bytes after which another file is begun."
    )
    keep: int = Field(10, ge=0, le=100_000, description="Files kept besides the current one; 0 is all.")
    key: SecretStr | None = Field(
        None,
        description="Key of the audit's chain, the same for `server.py audit verify`; without it one is made "
        "in the state directory.",
    )
