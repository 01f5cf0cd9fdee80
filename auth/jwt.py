"""Tokens of an issuer that others run, checked by FastMCP's verifier and a little more strictly."""

import time
from typing import Any

import httpx2
import structlog
from fastmcp.server.auth import AccessToken, JWTVerifier

from config import AuthSettings

log = structlog.get_logger("almanac")

CLOCKS_DIFFER_S = 60


class Verifier(JWTVerifier):
    """Takes no token without an end and a subject, or before its time, and keeps only what it says."""

    async def load_access_token(self, token: str) -> AccessToken | None:
        try:
            found = await super().load_access_token(token)
        except (RecursionError, OverflowError):  # a header of brackets, an end at infinity
            return None
        if found is None or not found.expires_at or not found.subject:
            return None
        begins = found.claims.get("nbf", 0)
        if not isinstance(begins, int | float) or begins > time.time() + CLOCKS_DIFFER_S:
            return None
        return found.model_copy(update={"token": "***"})

    async def _fetch_jwks(self) -> dict[str, Any]:
        try:
            return await super()._fetch_jwks()
        except (httpx2.HTTPError, ValueError) as error:  # else the operator would see only refused callers
            log.warning("the issuer's keys cannot be read, so no new one is known", why=type(error).__name__)
            raise


def verifier(settings: AuthSettings) -> Verifier:
    """What checks the tokens of the issuer that is set."""
    key = settings.jwt_key.get_secret_value().replace("\\n", "\n") if settings.jwt_key else None
    return Verifier(
        public_key=key,
        jwks_uri=settings.jwt_jwks_url,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithm=settings.jwt_algorithm,
    )
