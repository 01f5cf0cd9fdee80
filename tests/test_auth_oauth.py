"""Signing in elsewhere: the whole way of a client, restarts, replicas, and who may do what."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import structlog
from fastmcp.server.auth import AccessToken

from auth import access
from auth.oauth import granted_by
from config import Settings
from environment import ConfigurationError, load
from tests.fakes.openid import SECRET, OpenId
from tests.test_auth import OAUTH
from tests.test_state import Redis, redis, redis_program  # noqa: F401 - fixtures
from tests.web.served import LIST, MCP, Served, answered, free_port, is_an_error

BACK = "http://127.0.0.1:9/callback"
VERIFIER = "v" * 64


@pytest.fixture
def openid() -> Iterator[OpenId]:
    found = OpenId("https://almanac.example")
    yield found
    found.close()


def settings(openid: OpenId, port: int, state: Path, **over: Any) -> Settings:
    auth = {
        "mode": "oauth",
        "oauth_provider": "auth0",
        "oauth_client_id": "almanac",
        "oauth_client_secret": SECRET,
        "oauth_tenant": openid.url,
        "oauth_api": openid.audience,
        "oauth_base_url": f"http://127.0.0.1:{port}",
        "oauth_signing_key": "signing-key-canary-" + "k" * 32,
        "oauth_users": "auth0|ann=read",
    }
    rest = {name: over.pop(name) for name in ("state_url",) if name in over}
    fields = list(auth)
    auth.update(over)
    given = {"servers": ["files"], "state_dir": state, "transport": "http", **rest}
    return Settings.model_validate({**given, "auth": {name: auth[name] for name in fields}})


def sign_in(server: Served) -> dict[str, Any]:
    """All that a client and its user's browser do; what the token endpoint answers."""
    base = f"http://127.0.0.1:{server.port}"
    with httpx2.Client(base_url=base) as browser:
        refused = browser.post("/mcp", json=LIST)
        metadata = re.search(r'resource_metadata="([^"]+)"', refused.headers["www-authenticate"])
        assert refused.status_code == 401
        assert metadata is not None
        resource = browser.get(metadata[1]).json()
        issuer = browser.get(
            f"{resource['authorization_servers'][0].rstrip('/')}/.well-known/oauth-authorization-server"
        )
        places = issuer.json()
        client = browser.post(
            places["registration_endpoint"], json={"redirect_uris": [BACK], "client_name": "test"}
        ).json()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        page = browser.get(
            places["authorization_endpoint"],
            params={
                "response_type": "code",
                "client_id": client["client_id"],
                "redirect_uri": BACK,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
                "state": "s",
                "resource": resource["resource"],
            },
            follow_redirects=True,
        )
        form = dict(re.findall(r'name="(txn_id|csrf_token)" value="([^"]+)"', page.text))
        assert page.headers["content-type"].startswith("text/html")
        agreed = browser.post("/consent", data={**form, "action": "approve"}, headers={"Origin": base})
        while not agreed.headers["location"].startswith(BACK):
            agreed = browser.get(agreed.headers["location"])
        code = parse_qs(urlsplit(agreed.headers["location"]).query)["code"][0]
        answer = browser.post(
            places["token_endpoint"],
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": BACK,
                "client_id": client["client_id"],
                "code_verifier": VERIFIER,
                "resource": resource["resource"],
            },
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def status_of(server: Served, token: str) -> int:
    return server.ask(body=LIST, token=token)[0]


@pytest.mark.timeout(60)
def test_a_user_signs_in_and_what_is_kept_is_encrypted_and_outlives_a_restart(
    openid: OpenId, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    given = settings(openid, port, tmp_path)
    with structlog.testing.capture_logs() as logged:
        with Served(given, port=port) as server:
            token = sign_in(server)["access_token"]
            status, _, body = server.ask(body=LIST, token=token)
            assert status == 200
            assert "files_read" in {tool["name"] for tool in answered(body)["result"]["tools"]}
            assert status_of(server, openid.given[0]) == 401, "the provider's own token is not ours"
        with Served(given, port=port) as server:
            assert status_of(server, token) == 200
        with Served(settings(openid, port, tmp_path, oauth_users="bob=read"), port=port) as server:
            status, _, body = server.ask(body=LIST, token=token)
            assert status == 403, "who is not listed"
            assert is_an_error(body)
        with Served(settings(openid, port, tmp_path, oauth_signing_key="x" * 40), port=port) as server:
            assert status_of(server, token) == 401, "another key"
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert kept
    told = kept.decode("latin-1") + f"{logged}{capfd.readouterr()}"
    for secret in (token, openid.given[0], SECRET, "signing-key-canary"):
        assert secret not in told
    assert (tmp_path / "oauth").stat().st_mode & 0o077 == 0


@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")  # key_value's
def test_replicas_share_what_is_kept_in_redis(openid: OpenId, tmp_path: Path, redis: Redis) -> None:  # noqa: F811
    port = free_port()
    url = redis.url.get_secret_value()
    with Served(settings(openid, port, tmp_path / "one", state_url=url), port=port) as one:
        token = sign_in(one)["access_token"]
        another = free_port()
        replica = settings(openid, port, tmp_path / "two", state_url=url)
        with Served(replica, port=another) as two:
            assert status_of(two, token) == 200
    assert not (tmp_path / "one" / "oauth").exists()


def test_only_the_ways_to_sign_in_are_open(openid: OpenId, tmp_path: Path) -> None:
    port = free_port()
    with Served(settings(openid, port, tmp_path), port=port) as server:
        for path in ("/mcp", "/metrics", "/authorize/x", "/.well-known/other", "/consent/", "/token/.."):
            assert server.ask("GET", path)[0] == 401, path
        for path in ("/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp"):
            assert server.ask("GET", path)[0] == 200, path
        status, _, body = server.ask(
            "POST", "/token", b"grant_type=x", Content_Type="application/x-www-form-urlencoded"
        )
        assert status in (400, 401)
        assert b"error" in body
        assert (
            server.ask(
                "POST", "/register", b"x" * 5_000_000, **{k.replace("-", "_"): v for k, v in MCP.items()}
            )[0]
            == 413
        )


def test_a_provider_that_cannot_be_reached_stops_the_start_with_its_setting(
    tmp_path: Path, openid: OpenId
) -> None:
    openid.close()
    with pytest.raises(ConfigurationError, match="ALMANAC_AUTH_OAUTH_TENANT") as caught:
        access(settings(openid, 1, tmp_path))
    assert SECRET not in str(caught.value)


def test_a_state_directory_that_cannot_be_written_stops_the_start_with_its_setting(openid: OpenId) -> None:
    with pytest.raises(ConfigurationError, match="ALMANAC_STATE_DIR"):
        access(settings(openid, 1, Path("/dev/null/x")))


@pytest.mark.parametrize(
    ("provider", "tenant", "api"),
    [
        ("github", "", ""),
        ("google", "", ""),
        ("azure", "11111111-2222-3333-4444-555555555555", "use"),
        ("workos", "https://example.authkit.app", ""),
    ],
)
def test_the_providers_that_ask_nobody_at_the_start_are_there_by_name(
    provider: str, tenant: str, api: str, tmp_path: Path
) -> None:
    over = {"OAUTH_PROVIDER": provider, "OAUTH_TENANT": tenant, "OAUTH_API": api}
    environ = {**OAUTH, **{f"ALMANAC_AUTH_{name}": value for name, value in over.items()}}
    found = access(load({**environ, "ALMANAC_STATE_DIR": str(tmp_path)}))
    assert found is not None
    assert type(found.provider).__name__.lower().startswith(provider)


USERS = {"octo": ("read",), "Ann@Example.com": ("write",), "auth0|Ab": ("admin",), "oid-1": ("write",)}


@pytest.mark.parametrize(
    ("subject", "claims", "scopes"),
    [
        ("1", {"login": "OCTO"}, {"read"}),
        ("1", {"login": "octopus"}, set()),
        ("1", {"email": "ann@example.com", "email_verified": True}, {"write"}),
        ("1", {"email": "ann@example.com", "email_verified": "true"}, {"write"}),
        ("1", {"email": "ann@example.com", "email_verified": False}, set()),
        ("1", {"email": "ann@example.com"}, set()),
        ("1", {"email": ["ann@example.com"], "email_verified": True}, set()),
        ("1", {"preferred_username": "ann@example.com", "name": "octo", "nickname": "octo"}, set()),
        ("auth0|Ab", {}, {"admin"}),
        ("auth0|ab", {}, set()),
        ("x", {"oid": "oid-1"}, {"write"}),
        ("*", {"login": "*"}, set()),
        ("octo", {"login": "octo", "email": "ann@example.com", "email_verified": True}, {"read", "write"}),
        ("None", {"login": None}, set()),
    ],
)
def test_a_user_has_the_scopes_of_the_list_and_nobody_else_has_any(
    subject: str, claims: dict[str, Any], scopes: set[str]
) -> None:
    token = AccessToken(token="***", client_id="c", scopes=["admin"], subject=subject, claims=claims)
    assert granted_by(USERS)(token) == scopes
    assert granted_by({**USERS, "*": ("read",)})(token) == scopes | {"read"}
