"""Who is calling: the token's subject over HTTP, else the address, else "local" over STDIO."""

import hashlib
from typing import NamedTuple

from fastmcp.server.dependencies import get_access_token, get_http_request

from auth import names


class Caller(NamedTuple):
    """`name` is for people and the audit; `key` is what its calls are counted under."""

    name: str

    @property
    def key(self) -> str:
        # A subject may hold anything and be of any length; a key of the counters may not.
        return hashlib.sha256(self.name.encode("utf-8", "replace")).hexdigest()[:32]


def caller() -> Caller:
    """Who makes the call that is being handled."""
    if token := get_access_token():
        return Caller(names.of_token(token))
    try:
        client = get_http_request().client
    except RuntimeError:  # no HTTP request: STDIO, or in this process
        return Caller("local")
    return Caller(names.of_address(client.host if client else "unknown"))
