"""The reference of what is being handled: error, log, audit, trace and the answer's `X-Request-Id` share it.

A request over HTTP may bring its own, so that a proxy's log leads to ours; anything else gets a new one.
"""

import re
import secrets
from contextvars import ContextVar

# Forty letters and digits in a row would be taken out of the log as a key.
WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,38}")

_current: ContextVar[str] = ContextVar("reference", default="")
_requests: ContextVar[str] = ContextVar("requests", default="")


def begin(given: str) -> str:
    """The reference of a request over HTTP, and of the call in it: its own if it is well formed."""
    found = given if WELL_FORMED.fullmatch(given) else secrets.token_hex(4)
    _requests.set(found)
    _current.set(found)
    return found


def mint() -> str:
    """The reference of the call that begins: its request's, or a new one."""
    found = _requests.get() or secrets.token_hex(4)
    _current.set(found)
    return found


def reference() -> str:
    """This call's reference; a new one where nothing is audited."""
    return _current.get() or mint()


def known() -> str:
    """The reference of what is being handled, or nothing."""
    return _current.get()
