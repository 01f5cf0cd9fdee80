"""What became of a call, in a word, for the audit and whatever else counts calls."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple

from fastmcp.exceptions import AuthorizationError, NotFoundError, ToolError
from mcp import MCPError

from errors import Forbidden, Refusal, TooMuch, Unavailable, Unknown

GUARDS = ("middleware.limits", "middleware.quotas")
KINDS: dict[type[Exception], str] = {
    Unknown: "unknown",
    Forbidden: "denied",
    TooMuch: "too_much",
    Unavailable: "unavailable",
    AuthorizationError: "denied",
    NotFoundError: "unknown",
}


class Outcome(NamedTuple):
    """`word` is ok, asked (the user), unknown, denied, limited, too_much, unavailable, bad_arguments, failed
    or cancelled.

    `by` is the module that refused; `cause` is what failed, class and place, innermost last. No message: it
    may quote a file or a row.
    """

    word: str
    by: str = ""
    cause: tuple[str, ...] = ()


def of_error(error: BaseException) -> Outcome:
    """The outcome of a call that raised."""
    chain = tuple(_chain(error))
    for link in chain:
        for kind, word in KINDS.items():
            if isinstance(link, kind):
                by = _raised_in(link)
                if by in GUARDS and word == "too_much":
                    return Outcome("limited", by)
                return Outcome(word, by, _causes(chain) if word == "unavailable" else ())
    if not isinstance(error, Exception):
        return Outcome("cancelled")
    if len(chain) == 1 and isinstance(error, ToolError | MCPError):
        return Outcome("bad_arguments")  # the one thing that is said and has no cause
    return Outcome("failed", "", _causes(chain))


def of_result(result: Any) -> Outcome:
    """The outcome of a call that gave a result."""
    if getattr(result, "is_error", False):
        return Outcome("failed")
    return Outcome("asked" if "InputRequired" in type(result).__name__ else "ok")


def refusal_of(error: BaseException) -> Refusal | None:
    """The refusal that an error is, or was raised from."""
    return next((link for link in _chain(error) if isinstance(link, Refusal)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _causes(chain: tuple[BaseException, ...]) -> tuple[str, ...]:
    return tuple(
        f"{type(link).__name__} at {_place(link.__traceback__)}"
        for link in chain[:6]
        if _place(link.__traceback__)
    )


def _last(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _raised_in(error: BaseException) -> str:
    last = _last(error.__traceback__)
    return str(last.tb_frame.f_globals.get("__name__", "")) if last else ""


def _place(trace: TracebackType | None) -> str:
    last = _last(trace)
    return f"{last.tb_frame.f_globals.get('__name__', '')}:{last.tb_lineno}" if last else ""
