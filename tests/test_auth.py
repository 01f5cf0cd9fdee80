"""Who may come in: tokens, their rotation, and what a server does where nothing is said."""

import hmac
import statistics
import time
from collections.abc import Callable

import pytest
import structlog

import auth.tokens
from auth import access, for_this_run
from auth.tokens import Tokens, hashed, mint
from config import AuthToken, Scope, Settings
from config.variables import shown, variables
from environment import ConfigurationError, load


def entry(token: str, name: str = "ann", scopes: tuple[Scope, ...] = ("read",)) -> AuthToken:
    return AuthToken(name=name, sha256=hashed(token).hex(), scopes=scopes)


async def test_a_minted_token_is_random_and_only_its_hash_is_kept() -> None:
    token, kept = mint("ann", ("read", "write"))
    assert token != mint("ann", ("read",))[0]
    assert len(token) >= len("almanac_") + 43  # 256 bits in base64
    assert token not in repr(kept)
    found = await Tokens([kept]).verify_token(token)
    assert found is not None
    assert (found.subject, found.client_id, found.scopes) == ("ann", "ann", ["read", "write"])
    assert token not in repr(found)


@pytest.mark.parametrize("wrong", ["", " ", "almanac_", "nonsense", "é", "\udc80", "x" * 100_000])
async def test_a_token_that_is_not_known_lets_nobody_in(wrong: str) -> None:
    token, kept = mint("ann", ("read",))
    verifier = Tokens([kept])
    assert await verifier.verify_token(wrong) is None
    assert await verifier.verify_token(token[:-1]) is None
    assert await verifier.verify_token(token + "x") is None
    assert await verifier.verify_token(kept.sha256) is None, "the hash is not the token"


async def test_two_tokens_of_one_name_are_valid_while_they_are_rotated() -> None:
    old, new = mint("ann", ("read",)), mint("ann", ("read", "write"))
    verifier = Tokens([old[1], new[1]])
    found = [await verifier.verify_token(token) for token in (old[0], new[0])]
    assert [one and (one.subject, one.scopes) for one in found] == [
        ("ann", ["read"]),
        ("ann", ["read", "write"]),
    ]
    assert await Tokens([new[1]]).verify_token(old[0]) is None


async def test_every_entry_is_compared_in_constant_time_whichever_matches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(auth.tokens, "hmac", type("Hmac", (), {"compare_digest": staticmethod(counted)}))
    verifier = Tokens([entry(token, name=token) for token in "abcde"])
    for token in ("a", "c", "e", "none"):
        compared.clear()
        await verifier.verify_token(token)
        assert len(compared) == 5, token
        assert all(len(one) == len(other) == 32 for one, other in compared), "hashes, never the tokens"


async def test_a_token_that_is_nearly_right_takes_no_longer_than_one_that_is_not() -> None:
    token, kept = mint("ann", ("read",))
    verifier = Tokens([kept, *(mint(str(n), ("read",))[1] for n in range(20))])
    near, far = token[:-1] + ("A" if token[-1] != "A" else "B"), "z" * len(token)
    took: dict[str, list[int]] = {near: [], far: []}
    for _ in range(2_000):
        for guess, times in took.items():
            began = time.perf_counter_ns()
            await verifier.verify_token(guess)
            times.append(time.perf_counter_ns() - began)
    ratio = statistics.median(took[near]) / statistics.median(took[far])
    assert 0.6 < ratio < 1.6  # coarse: a busy machine; the count above is the proof


HASH, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("my-secret-token", "entry 1"),
        (f"ann:{HASH}:read,my-secret-token", "entry 2"),
        ("ann:my-secret-token:read", "entry 1"),
        (f"ann:{HASH}:all", "read, write and admin"),
        (f"ann:{HASH}:", "read, write and admin"),
        (f"a b:{HASH}:read", "entry 1"),
        (f"ann:{HASH}:read,bob:{HASH}:read", "same token"),
        (f"ann:{HASH}:read,ann:{OTHER}:read,ann:{THIRD}:read", "at most two"),
    ],
)
def test_a_wrong_list_of_tokens_stops_the_start_and_shows_nothing_of_it(value: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"ALMANAC_AUTH_TOKENS": value})
    assert str(caught.value).startswith("ALMANAC_AUTH_TOKENS: ")
    assert why in str(caught.value)
    assert "my-secret-token" not in str(caught.value)
    assert HASH not in str(caught.value)


def test_hashes_and_keys_are_not_shown_among_the_settings() -> None:
    settings = load(
        {
            "ALMANAC_AUTH_MODE": "tokens",
            "ALMANAC_AUTH_TOKENS": f"ann:{HASH}:read+write, bob:{OTHER}:admin",
            "ALMANAC_AUTH_OAUTH_SIGNING_KEY": "k" * 40,
            "ALMANAC_AUTH_JWT_KEY": "s" * 40,
        }
    )
    visible = {variable.name: shown(variable.of(settings)) for variable in variables()}
    assert visible["ALMANAC_AUTH_TOKENS"] == "ann:***:read+write,bob:***:admin"
    assert not any(secret in str(visible) for secret in (HASH, OTHER, "k" * 40, "s" * 40))


JWT = {"ALMANAC_AUTH_MODE": "jwt", "ALMANAC_AUTH_JWT_ISSUER": "i", "ALMANAC_AUTH_JWT_AUDIENCE": "a"}
OAUTH = {
    "ALMANAC_AUTH_MODE": "oauth",
    "ALMANAC_AUTH_OAUTH_PROVIDER": "github",
    "ALMANAC_AUTH_OAUTH_CLIENT_ID": "id",
    "ALMANAC_AUTH_OAUTH_CLIENT_SECRET": "secret",
    "ALMANAC_AUTH_OAUTH_BASE_URL": "https://mcp.example.com",
    "ALMANAC_AUTH_OAUTH_USERS": "ann=read",
    "ALMANAC_AUTH_OAUTH_SIGNING_KEY": "k" * 32,
}
PEM = "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"ALMANAC_AUTH_MODE": "tokens"}, "needs ALMANAC_AUTH_TOKENS"),
        ({"ALMANAC_AUTH_MODE": "jwt"}, "needs ALMANAC_AUTH_JWT_ISSUER"),
        ({**JWT, "ALMANAC_AUTH_JWT_AUDIENCE": ""}, "needs ALMANAC_AUTH_JWT_AUDIENCE"),
        (JWT, "needs one of"),
        (
            {**JWT, "ALMANAC_AUTH_JWT_KEY": PEM, "ALMANAC_AUTH_JWT_JWKS_URL": "https://x.example"},
            "needs one of",
        ),
        (
            {**JWT, "ALMANAC_AUTH_JWT_KEY": PEM, "ALMANAC_AUTH_JWT_ALGORITHM": "HS256"},
            "never a public key",
        ),
        (
            {**JWT, "ALMANAC_AUTH_JWT_JWKS_URL": "https://x.example", "ALMANAC_AUTH_JWT_ALGORITHM": "HS256"},
            "never a public key",
        ),
        ({**JWT, "ALMANAC_AUTH_JWT_KEY": "s" * 31, "ALMANAC_AUTH_JWT_ALGORITHM": "HS256"}, "32 bytes"),
        ({**JWT, "ALMANAC_AUTH_JWT_KEY": "s" * 63, "ALMANAC_AUTH_JWT_ALGORITHM": "HS512"}, "64 bytes"),
        ({**JWT, "ALMANAC_AUTH_JWT_KEY": "s" * 64}, "needs a public key in PEM"),
        ({**JWT, "ALMANAC_AUTH_JWT_KEY": PEM, "ALMANAC_AUTH_JWT_ALGORITHM": "none"}, "ALMANAC_AUTH_JWT_ALG"),
        ({"ALMANAC_AUTH_MODE": "oauth"}, "needs ALMANAC_AUTH_OAUTH_PROVIDER"),
        ({**OAUTH, "ALMANAC_AUTH_OAUTH_USERS": ""}, "needs ALMANAC_AUTH_OAUTH_USERS"),
        ({**OAUTH, "ALMANAC_AUTH_OAUTH_SIGNING_KEY": "k" * 31}, "32 characters"),
        ({**OAUTH, "ALMANAC_AUTH_OAUTH_PROVIDER": "auth0"}, "needs ALMANAC_AUTH_OAUTH_TENANT"),
        (
            {
                **OAUTH,
                "ALMANAC_AUTH_OAUTH_PROVIDER": "azure",
                "ALMANAC_AUTH_OAUTH_TENANT": "common",
                "ALMANAC_AUTH_OAUTH_API": "use",
            },
            "one by its id",
        ),
        ({**OAUTH, "ALMANAC_AUTH_OAUTH_USERS": "ann=root"}, "ALMANAC_AUTH_OAUTH_USERS"),
        # Who lists tokens means them to be asked for: nothing is served open because a line was forgotten.
        ({"ALMANAC_AUTH_TOKENS": f"ann:{HASH}:read"}, "as ALMANAC_AUTH_TOKENS is set"),
        ({**JWT, "ALMANAC_AUTH_MODE": ""}, "as ALMANAC_AUTH_JWT_ISSUER is set"),
        ({**OAUTH, "ALMANAC_AUTH_MODE": ""}, "as ALMANAC_AUTH_OAUTH_PROVIDER is set"),
    ],
)
def test_a_mode_that_lacks_something_or_mixes_keys_stops_the_start(environ: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        load(environ)


@pytest.mark.parametrize("mode", [{}, {"ALMANAC_AUTH_MODE": "none"}])
def test_nobody_is_asked_without_a_mode(mode: dict[str, str]) -> None:
    assert access(load(mode)) is None


Make = Callable[..., Settings]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "mcp.example.com"])
async def test_beyond_loopback_a_token_is_made_for_the_run_and_printed_once(
    settings: Make, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with structlog.testing.capture_logs() as logged:
        guarded = for_this_run(settings(transport="http", host=host))
    told = capsys.readouterr()
    assert told.out == ""
    assert logged == [], "a log goes elsewhere, and no token does"
    token = next(word for word in told.err.split() if word.startswith("almanac_"))
    asked = access(guarded)
    assert asked is not None
    found = await asked.provider.verify_token(token)
    assert found is not None
    assert asked.granted(found) == {"read", "write", "admin"}
    assert "connect" in told.err


def test_a_proxy_in_front_of_loopback_makes_a_token_too(settings: Make) -> None:
    assert for_this_run(settings(trusted_proxies=["127.0.0.1"])).auth.mode == "tokens"


@pytest.mark.parametrize(
    "over",
    [
        {"host": "127.0.0.1"},
        {"host": "127.8.8.8"},
        {"host": "localhost"},
        {"host": "::1"},
        {"host": "0.0.0.0", "auth": {"mode": "none"}},
        {"host": "0.0.0.0", "auth": {"mode": "tokens", "tokens": f"ann:{HASH}:read"}},
    ],
)
def test_on_loopback_or_with_a_mode_nothing_is_made(
    settings: Make, over: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings(transport="http", **over)
    assert for_this_run(given) == given
    assert capsys.readouterr().err == ""
