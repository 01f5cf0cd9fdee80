"""The reference of the call that is being handled: a masked error, the log and the audit's line share it."""

import secrets
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("reference", default="")


def mint() -> str:
    """A new reference for the call that begins."""
    reference = secrets.token_hex(4)
    _current.set(reference)
    return reference


def reference() -> str:
    """This call's reference; a new one where nothing is audited."""
    return _current.get() or mint()
