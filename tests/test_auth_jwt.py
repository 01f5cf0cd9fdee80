"""Tokens of an issuer: every way in which one can be wrong, with a published key set and with a key."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import structlog
from joserfc import jwk, jwt

from auth import Access, access
from config import Settings
from environment import load

ISSUER, AUDIENCE = "https://issuer.example", "almanac"
KEY = jwk.ECKey.generate_key("P-256", {"kid": "one", "use": "sig"}, private=True)
OTHER = jwk.ECKey.generate_key("P-256", {"kid": "one"}, private=True)
PEM = KEY.as_pem(private=False).decode()
SECRET = "s" * 32


def claims(**over: Any) -> dict[str, Any]:
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "exp": int(time.time()) + 60,
        "scope": "read write",
    }
    return {name: value for name, value in {**usual, **over}.items() if value is not None}


def signed(key: Any = KEY, header: dict[str, Any] | None = None, **over: Any) -> str:
    return jwt.encode({"alg": "ES256", "kid": "one", **(header or {})}, claims(**over), key)


def by_hand(header: dict[str, Any], body: Any = None, secret: bytes | None = None) -> str:
    """A token with any header: unsigned, or signed with a secret by HMAC."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims() if body is None else body)
    ]
    signature = hmac.digest(secret, b".".join(parts), hashlib.sha256) if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


class Keys:
    """An issuer's key set over HTTP, which counts how often it is asked for."""

    def __init__(self) -> None:
        self.keys: list[Any] = [KEY.as_dict(private=False)]
        self.asked = 0
        self.status = 200
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.asked += 1
                body = json.dumps({"keys": keys.keys}).encode()
                self.send_response(keys.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def keys() -> Iterator[Keys]:
    found = Keys()
    yield found
    found.server.shutdown()
    found.server.server_close()


def settings(**over: str) -> Settings:
    usual = {"MODE": "jwt", "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, "JWT_ALGORITHM": "ES256"}
    return load({f"ALMANAC_AUTH_{name}": value for name, value in {**usual, **over}.items()})


def asked_of(**over: str) -> Access:
    found = access(settings(**over))
    assert found is not None
    return found


@pytest.fixture(params=["key", "key set", "one line"])
def asked(request: pytest.FixtureRequest, keys: Keys) -> Access:
    if request.param == "key set":
        return asked_of(JWT_JWKS_URL=keys.url)
    return asked_of(JWT_KEY=PEM if request.param == "key" else PEM.replace("\n", "\\n"))


async def test_a_good_token_lets_its_subject_in_with_its_scopes(asked: Access) -> None:
    token = signed()
    found = await asked.provider.verify_token(token)
    assert found is not None
    assert found.subject == "ann"
    assert asked.granted(found) == {"read", "write"}
    assert token not in repr(found)


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ({"scope": "admin other"}, {"admin"}),
        ({"scope": None, "scp": ["read"]}, {"read"}),
        ({"scope": None, "scp": "read"}, {"read"}),
        ({"scope": None}, set()),
        ({"scope": "openid profile"}, set()),
        ({"scope": ["write"]}, {"write"}),
    ],
)
async def test_scopes_are_those_that_the_issuer_wrote(said: dict[str, Any], scopes: set[str]) -> None:
    asked = asked_of(JWT_KEY=PEM)
    found = await asked.provider.verify_token(signed(**said))
    assert found is not None
    assert asked.granted(found) & {"read", "write", "admin"} == scopes


WRONG: dict[str, Any] = {
    "none": lambda: by_hand({"alg": "none"}),
    "None": lambda: by_hand({"alg": "None", "kid": "one"}),
    "no algorithm": lambda: by_hand({"kid": "one"}),
    "public key as a secret": lambda: by_hand({"alg": "HS256", "kid": "one"}, secret=PEM.encode()),
    "public key as a secret, stripped": lambda: by_hand({"alg": "HS256"}, secret=PEM.strip().encode()),
    "another algorithm of the key": lambda: jwt.encode(
        {"alg": "ES384"}, claims(), jwk.ECKey.generate_key("P-384"), algorithms=["ES384"]
    ),
    "another key by the same name": lambda: signed(OTHER),
    "a key of its own": lambda: signed(OTHER, {"jwk": OTHER.as_dict(private=False)}),
    "unknown kid and key": lambda: signed(OTHER, {"kid": "two"}),
    "kid of a path": lambda: signed(OTHER, {"kid": "../../../dev/null"}),
    "critical header": lambda: signed(header={"crit": ["b64"], "b64": False}),
    "audience": lambda: signed(aud="another"),
    "audiences": lambda: signed(aud=["another", "almanac.evil"]),
    "no audience": lambda: signed(aud=None),
    "issuer": lambda: signed(iss="https://issuer.example.evil"),
    "no issuer": lambda: signed(iss=None),
    "expired": lambda: signed(exp=int(time.time()) - 1),
    "no end": lambda: signed(exp=None),
    "an end of words": lambda: by_hand({"alg": "ES256"}, claims(exp="tomorrow")),
    "an end at infinity": lambda: signed(exp=float("inf")),
    "not yet": lambda: signed(nbf=int(time.time()) + 600),
    "not yet, in words": lambda: signed(nbf="later"),
    "no subject": lambda: signed(sub=None),
    "empty subject": lambda: signed(sub=""),
    "subject of another kind": lambda: signed(sub={"a": 1}),
    "changed claims": lambda: ".".join(
        part if n != 1 else by_hand({}, claims(sub="root")).split(".")[1]
        for n, part in enumerate(signed().split("."))
    ),
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "two parts": lambda: signed().rpartition(".")[0],
    "encrypted form": lambda: "a.b.c.d.e",
    "nothing": lambda: "",
    "dots": lambda: "..",
    "not base64": lambda: "é.é.é",
    "a header of brackets": lambda: base64.urlsafe_b64encode(b"[" * 20_000).decode() + ".e30.e30",
    "a header of objects": lambda: base64.urlsafe_b64encode(b'{"a":' * 5_000).decode() + ".e30.e30",
    "a header that is a list": lambda: by_hand([1]),  # type: ignore[arg-type]  # as an attacker may
    "claims that are a list": lambda: by_hand({"alg": "ES256"}, [1]),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_token_lets_nobody_in_and_is_in_no_log(
    asked: Access, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = WRONG[name]()
    with caplog.at_level("DEBUG"), structlog.testing.capture_logs() as logged:
        assert await asked.provider.verify_token(token) is None
    assert len(token) < 20 or token not in f"{caplog.text}{logged}"


async def test_a_secret_is_taken_with_its_own_algorithm_alone() -> None:
    asked = asked_of(JWT_KEY=SECRET, JWT_ALGORITHM="HS256")
    good = by_hand({"alg": "HS256"}, secret=SECRET.encode())
    assert await asked.provider.verify_token(good)
    for wrong in (
        by_hand({"alg": "HS256"}, secret=SECRET[1:].encode()),
        by_hand({"alg": "none"}),
        by_hand({"alg": "HS512"}, secret=SECRET.encode()),
        signed(),
    ):
        assert await asked.provider.verify_token(wrong) is None


async def test_the_key_set_is_asked_for_once_however_many_unknown_keys_are_named(keys: Keys) -> None:
    asked = asked_of(JWT_JWKS_URL=keys.url)
    for number in range(50):
        assert await asked.provider.verify_token(signed(OTHER, {"kid": f"unknown{number}"})) is None
        assert await asked.provider.verify_token(signed())
    assert keys.asked == 1


async def test_keys_that_cannot_be_read_let_nobody_in_and_are_told_to_the_operator(keys: Keys) -> None:
    keys.status = 500
    with structlog.testing.capture_logs() as logged:
        assert await asked_of(JWT_JWKS_URL=keys.url).provider.verify_token(signed()) is None
    assert "keys cannot be read" in logged[0]["event"]


async def test_a_key_set_that_holds_a_secret_or_rubbish_is_no_way_in(keys: Keys) -> None:
    secret = base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")
    keys.keys = [{"kty": "oct", "k": secret, "kid": "one"}, 7, {"kid": "one"}, None]
    asked = asked_of(JWT_JWKS_URL=keys.url)
    for token in (by_hand({"alg": "HS256", "kid": "one"}, secret=SECRET.encode()), signed()):
        assert await asked.provider.verify_token(token) is None
