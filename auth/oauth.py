"""Signing in at somebody else's: FastMCP's providers by name, with a key and a store that outlive a restart.

Whoever has an account at GitHub can sign in there, so signing in alone gives nothing: a list says who may do
what. What is kept (registered clients, tokens of the provider) is encrypted in the state directory, or in
Redis for replicas.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastmcp.server.auth import AccessToken, AuthProvider
from pydantic import SecretStr

from config import AuthSettings, Settings
from environment import ConfigurationError

REMEMBER_S = 300  # a token that the provider found good: GitHub and Google would be asked at every call
MOST_REMEMBERED = 1_000
REDIS_S = 2.0


def provider(settings: Settings) -> tuple[AuthProvider, Callable[[], Awaitable[None]] | None]:
    """The provider that is set, and what closes it, if anything has to be.

    Raises:
        ConfigurationError: It cannot be reached, or nothing can be kept.
    """
    given = settings.auth
    kept, close = _shared(settings.state_url) if settings.state_url else (_files(settings), None)
    common: dict[str, Any] = {
        "client_id": given.oauth_client_id,
        "client_secret": _plain(given.oauth_client_secret),
        "base_url": given.oauth_base_url,
        "jwt_signing_key": _derived(given, "tokens"),
        "client_storage": _encrypted(kept, given),
    }
    try:
        return _provider(given, common), close
    except Exception as error:  # whatever its discovery raises, the operator has to act
        raise ConfigurationError(
            f"ALMANAC_AUTH_OAUTH_TENANT: {given.oauth_provider} could not be set up from it "
            f"({type(error).__name__}). It takes: Azure's tenant id, Cognito's user pool id, the domain at "
            "Auth0 or AuthKit; where people sign in has to be reachable at the start."
        ) from error


def _provider(given: AuthSettings, common: dict[str, Any]) -> AuthProvider:
    remember: dict[str, Any] = {"cache_ttl_seconds": REMEMBER_S, "max_cache_size": MOST_REMEMBERED}
    where = given.oauth_tenant if given.oauth_tenant.startswith("http") else f"https://{given.oauth_tenant}"
    match given.oauth_provider:
        case "github":
            from fastmcp.server.auth.providers.github import GitHubProvider

            return GitHubProvider(required_scopes=["read:user"], **common, **remember)
        case "google":
            from fastmcp.server.auth.providers.google import GoogleProvider

            return GoogleProvider(required_scopes=["openid", "email"], **common, **remember)
        case "azure":
            from fastmcp.server.auth.providers.azure import AzureProvider

            return AzureProvider(tenant_id=given.oauth_tenant, required_scopes=[given.oauth_api], **common)
        case "auth0":
            from fastmcp.server.auth.providers.auth0 import Auth0Provider

            return Auth0Provider(
                config_url=f"{where}/.well-known/openid-configuration", audience=given.oauth_api, **common
            )
        case "workos":
            from fastmcp.server.auth.providers.workos import WorkOSProvider

            return WorkOSProvider(authkit_domain=where, **common)
        case _:
            from fastmcp.server.auth.providers.aws import AWSCognitoProvider

            # A user pool's id is its region and a name: eu-central-1_AbCdEf.
            region = given.oauth_tenant.partition("_")[0]
            return AWSCognitoProvider(user_pool_id=given.oauth_tenant, aws_region=region, **common)


def granted_by(users: Mapping[str, tuple[str, ...]]) -> Callable[[AccessToken], frozenset[str]]:
    """Which scopes somebody who has signed in has, by the list of users."""
    folded = {name.lower(): scopes for name, scopes in users.items() if name != "*"}

    def granted(token: AccessToken) -> frozenset[str]:
        claims = token.claims
        found = [users.get("*", ()), users.get(str(token.subject), ())]
        found += [
            users.get(str(claims.get("oid")), ())
        ]  # Azure's id of a user; the subject is each client's own
        names = [claims.get("login"), claims.get("username")]
        if str(claims.get("email_verified")).lower() == "true":  # Google says it as text
            names.append(claims.get("email"))
        found += [folded.get(name.lower(), ()) for name in names if isinstance(name, str)]
        return frozenset(scope for scopes in found for scope in scopes)

    return granted


def _encrypted(kept: Any, given: AuthSettings) -> Any:
    from cryptography.fernet import Fernet
    from key_value.aio.wrappers.encryption import FernetEncryptionWrapper

    return FernetEncryptionWrapper(
        kept,
        fernet=Fernet(_derived(given, "storage")),
        raise_on_decryption_error=False,  # after a change of the key, clients register anew
    )


def _files(settings: Settings) -> Any:
    from key_value.aio.stores.filetree import (
        FileTreeStore,
        FileTreeV1CollectionSanitizationStrategy,
        FileTreeV1KeySanitizationStrategy,
    )

    directory = settings.state_dir / "oauth"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"ALMANAC_STATE_DIR: oauth keeps who registered, and this cannot be written ({error.strerror})."
        ) from None
    return FileTreeStore(
        data_directory=directory,
        key_sanitization_strategy=FileTreeV1KeySanitizationStrategy(directory),
        collection_sanitization_strategy=FileTreeV1CollectionSanitizationStrategy(directory),
    )


def _shared(url: SecretStr) -> tuple[Any, Callable[[], Awaitable[None]]]:
    from key_value.aio.stores.redis import RedisStore
    from key_value.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
    from redis.asyncio import Redis

    client = Redis.from_url(
        url.get_secret_value(),
        socket_timeout=REDIS_S,
        socket_connect_timeout=REDIS_S,
        decode_responses=True,
    )
    return PrefixCollectionsWrapper(RedisStore(client=client), prefix="almanac-oauth"), client.aclose


def _derived(given: AuthSettings, purpose: str) -> bytes:
    """A key for one purpose; the one that is set is random and long, so that no slow derivation is needed."""
    from fastmcp.server.auth.jwt_issuer import derive_jwt_key

    return derive_jwt_key(high_entropy_material=_plain(given.oauth_signing_key), salt=f"almanac-{purpose}")


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
