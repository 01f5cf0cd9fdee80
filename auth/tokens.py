"""Tokens of our own: random, known here by their SHA-256 alone.

256 random bits need no salt and no slow hash: there is nothing to guess. Every entry is compared, each in
constant time, so that an answer takes as long for one token as for another.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from fastmcp.server.auth import AccessToken, TokenVerifier

from config import AuthToken, Scope

RANDOM_BYTES = 32
PREFIX = "almanac_"  # by which scanners for leaked secrets, and people, know what it is


def mint(name: str, scopes: Sequence[Scope]) -> tuple[str, AuthToken]:
    """A new token, and what the server keeps of it."""
    token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return token, AuthToken(name=name, sha256=hashed(token).hex(), scopes=tuple(scopes))


def hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


class Tokens(TokenVerifier):
    """Knows a token by its hash."""

    def __init__(self, entries: Sequence[AuthToken]) -> None:
        super().__init__()
        self._entries = [(bytes.fromhex(entry.sha256), entry) for entry in entries]

    async def verify_token(self, token: str) -> AccessToken | None:
        given, found = hashed(token), None
        for known, entry in self._entries:  # to the end, whichever it is
            if hmac.compare_digest(known, given):
                found = entry
        if found is None:
            return None
        return AccessToken(
            token="***",  # noqa: S106 - no password: it stands for the token, which nothing can print then
            client_id=found.name,
            subject=found.name,
            scopes=list(found.scopes),
        )
