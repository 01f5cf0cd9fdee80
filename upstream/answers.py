"""What a remote service answered: read within bounds, judged, and put into words when it is no use."""

import asyncio
import contextlib
import email.utils
import json
import re
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import httpx2

MAX_BYTES = 2_000_000  # sixteen days of hourly weather are 60 KB; nothing we ask for comes near
LONGEST_PAUSE_S = 86_400
UNTOLD_S = 1800  # when they were to say it and do not
LEAST_HELD_S = 60  # whatever its headers say: nothing we ask for changes within a minute
SLOW = "did not answer in time"
MAX_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?:$|[,\s])")


class Declined(Exception):
    """The provider understood and said no (4xx); what that means is for its own module to say."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"declined with status {status}")
        self.status, self.body = status, body


class Unusable(ValueError):
    """A body that can be read and is no answer all the same; its text says why, after the provider's name."""


class Trouble(Exception):
    """One attempt failed.

    Args:
        words: What happened, after the provider's name.
        again: Whether another attempt may help.
        after_s: Seconds it asked to wait before that.
        open_s: Seconds for which nobody should ask at all.
        ours: It was never asked, so that this says nothing about it.
    """

    def __init__(
        self,
        words: str,
        again: bool = False,
        after_s: float | None = None,
        open_s: float | None = None,
        ours: bool = False,
    ) -> None:
        super().__init__(words)
        self.words, self.again, self.after_s, self.ours = words, again, after_s, ours
        wait_s = after_s if open_s is None else open_s
        self.open_s = None if wait_s is None else min(wait_s, LONGEST_PAUSE_S)


class Final(NamedTuple):
    """An answer that no retry makes better: words for it, and for how long to leave the service alone."""

    words: str
    open_s: float | None = None


def not_admitted(status: int, _: Any) -> str:
    """Words for a service that answers nobody whose User-Agent it does not like; a `final`."""
    return "does not admit this server (HTTP 403): a contact of yours may be missing" if status == 403 else ""


async def read_body(response: httpx2.Response) -> bytes:
    """The body, which may not be larger than anything we ask for."""
    content = bytearray()
    async with contextlib.aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            content += chunk
            if len(content) > MAX_BYTES:
                break
        else:
            return bytes(content)
    await asyncio.sleep(0)  # the generators below it are closed by tasks of their own
    raise Trouble("sent far more than was asked for")


def decoded(content: bytes) -> Any:
    """The JSON of a body, None if it is none."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None


def judge(response: httpx2.Response, body: Any, now: float, retry_on: frozenset[int]) -> None:
    """Raise for an answer that is not what was asked for."""
    status = response.status_code
    after_s = retry_after(response.headers.get("retry-after", ""), now)
    if status == 429:
        when = "later" if (after_s or 0) > 3600 else f"in {after_s:.0f} s" if after_s else "in a minute"
        raise Trouble(f"is asked too often; try again {when}", again=True, after_s=after_s)
    if 400 <= status < 500:
        raise Declined(status, body)
    if status >= 500:
        raise Trouble(f"is in trouble (HTTP {status})", status in retry_on, after_s)
    if status >= 300:
        raise Trouble("answered with a redirect, which is not followed")


def same_origin(one: httpx2.URL, other: httpx2.URL) -> bool:
    """Whether both lead to the same server, the only one a redirect may lead to."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def why_no_connection(error: BaseException) -> str:
    """Words for a connection that was not made."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "showed a certificate that this machine does not trust"
        cause = cause.__cause__ or cause.__context__
    return "could not be reached"


def retry_after(header: str, now: float) -> float | None:
    """Seconds to wait, from either form of Retry-After; None if it says nothing usable."""
    if header.isascii() and header.isdigit():
        return float(header[:9])
    when = _date(header)
    return None if when is None else max(0.0, when - now)


def holds_until(headers: Mapping[str, str], now: float) -> float:
    """The time until which an answer holds, as its own headers say."""
    if found := MAX_AGE.search(headers.get("cache-control", "")):
        return now + max(LEAST_HELD_S, int(found[1]))
    expires = _date(headers.get("expires", ""))
    if expires is None:
        return now + UNTOLD_S
    here = _date(headers.get("date", "")) or now  # the same clock that wrote Expires
    return now + max(LEAST_HELD_S, expires - here)


def _date(header: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
