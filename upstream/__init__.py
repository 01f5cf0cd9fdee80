"""What every remote provider shares: one HTTP client each, a deadline, retries, and asking once for many.

It knows no domain. Trouble becomes `Unavailable` in a sentence that names the provider and never its
address, key or raw error. A 4xx answer, which only the provider's own module can read, is `Declined`.
"""

import asyncio
import email.utils
import functools
import json
import ssl
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, Self, TypeVar

import httpx2

from errors import Unavailable
from upstream.breaker import Breaker
from upstream.once import Kept, Once

__all__ = ["Breaker", "Declined", "Kept", "Once", "Upstream", "deadline_in", "why_no_connection"]

T = TypeVar("T")

MAX_BYTES = 2_000_000  # sixteen days of hourly weather are 60 KB; nothing we ask for comes near
ATTEMPTS = 3


def deadline_in(seconds: float) -> float:
    """The loop's time at which a call that may take `seconds` from now has to be over."""
    return asyncio.get_running_loop().time() + seconds


class Declined(Exception):
    """The provider understood and said no (4xx); what that means is for its own module to say."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"declined with status {status}")
        self.status, self.body = status, body


class _Trouble(Exception):
    """One attempt failed: the words for it, whether another may help, and how long to wait first."""

    def __init__(self, words: str, again: bool = False, after_s: float | None = None) -> None:
        super().__init__(words)
        self.words, self.again, self.after_s = words, again, after_s


@dataclass(kw_only=True, eq=False)
class Upstream:
    """One remote service; open it with `async with`."""

    name: str  # what refusals call it
    url: str
    agent: str  # the User-Agent
    timeout_s: float  # for one question, every retry included
    otherwise: str = ""  # what still works without it: the last sentence of its refusals
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)  # query parameters that are shown nowhere
    at_once: int = 4  # requests it takes at the same time
    retry_on: frozenset[int] = frozenset({502, 503, 504})  # besides 429
    final: Callable[[int, Any], str] = lambda status, body: ""  # words for what no retry can mend
    transport: httpx2.AsyncBaseTransport | None = None  # instead of the network
    clock: Callable[[], float] = time.time

    state: Literal["ready", "untried", "failing"] = field(default="untried", init=False)
    note: str = field(default="", init=False)
    _client: httpx2.AsyncClient | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        self._once = Once(self.clock)
        self._turns = asyncio.Semaphore(self.at_once)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._once.close()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def get(
        self,
        path: str,
        params: Mapping[str, str],
        parse: Callable[[Any], T],
        *,
        key: Hashable,
        ttl_s: float,
        deadline: float,
    ) -> Kept[T]:
        """What `parse` makes of the JSON at `path`, no older than `ttl_s`.

        Args:
            path: Appended to the base address; never holds anything a caller sent.
            parse: Reads the body, None if it was not JSON; its ValueError says the body is no answer.
            key: Questions to the same path with the same key have the same answer.
            deadline: The loop's time at which the caller has to know.

        Raises:
            Unavailable: There was no usable answer in time.
            Declined: A 4xx answer other than 429.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await self._once.get((path, key), ttl_s, lambda: self._fetch(path, params, parse))
        except TimeoutError as error:
            self._refuse(_Trouble("did not answer in time"), error)
        except _Trouble as trouble:
            self._refuse(trouble, trouble)

    def _refuse(self, trouble: _Trouble, cause: BaseException) -> NoReturn:
        self.state, self.note = "failing", trouble.words
        raise Unavailable(f"{self.name} {trouble.words}. {self.otherwise}".rstrip()) from cause

    async def _fetch(self, path: str, params: Mapping[str, str], parse: Callable[[Any], T]) -> T:
        import stamina  # 35 ms with tenacity, needed only once something is asked

        end = deadline_in(self.timeout_s)
        last: _Trouble | None = None

        def again(error: Exception) -> bool | float:
            nonlocal last
            if not isinstance(error, _Trouble) or not error.again:
                return False
            last = error
            if error.after_s is None:
                return True
            return error.after_s if deadline_in(error.after_s) < end else False

        try:
            async with asyncio.timeout_at(end):
                async for attempt in stamina.retry_context(
                    on=again, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=2, wait_jitter=0.3
                ):
                    with attempt:
                        value = await self._attempt(path, params, parse)
        except TimeoutError as error:
            raise last or _Trouble("did not answer in time") from error
        self.state, self.note = "ready", ""
        return value

    async def _attempt(self, path: str, params: Mapping[str, str], parse: Callable[[Any], T]) -> T:
        async with self._turns:
            try:
                request = self._open().stream("GET", self.url + path, params={**params, **self.secrets})
                async with request as response:
                    body = _decoded(await _read(response))
            except httpx2.TimeoutException as error:
                raise _Trouble("did not answer in time", again=True) from error
            except httpx2.ConnectError as error:
                raise _Trouble(why_no_connection(error), again=True) from error
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
                raise _Trouble("cannot be asked, because its address is set wrongly") from error
            except httpx2.RequestError as error:
                raise _Trouble("broke off in the middle of its answer", again=True) from error
        self._judge(response, body)
        try:
            return parse(body)
        except ValueError as error:
            raise _Trouble("sent an answer that cannot be read", again=True) from error

    def _judge(self, response: httpx2.Response, body: Any) -> None:
        """Raise for an answer that is not what was asked for."""
        status = response.status_code
        if words := self.final(status, body):
            raise _Trouble(words)
        after_s = _retry_after(response.headers.get("retry-after", ""), self.clock())
        if status == 429:
            when = "later" if (after_s or 0) > 3600 else f"in {after_s:.0f} s" if after_s else "in a minute"
            raise _Trouble(f"is asked too often; try again {when}", again=True, after_s=after_s)
        if 400 <= status < 500:
            self.state, self.note = "ready", ""
            raise Declined(status, body)
        if status >= 500:
            raise _Trouble(f"is in trouble (HTTP {status})", status in self.retry_on, after_s)
        if status >= 300:
            raise _Trouble("answered with a redirect, which is not followed")

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:  # by the first request: a server that is only started pays nothing
            self._client = httpx2.AsyncClient(
                headers={"User-Agent": self.agent, "Accept": "application/json", **self.headers},
                timeout=httpx2.Timeout(8, connect=3),
                follow_redirects=False,  # a redirect could lead anywhere, this network included
                trust_env=False,  # settings alone say where requests go; a stray ALL_PROXY could raise
                verify=_trust() if self.url.startswith("https:") else False,
                transport=self.transport,
            )
        return self._client


_trust = functools.cache(lambda: httpx2.create_ssl_context(trust_env=False))  # 25 ms, so once for all


async def _read(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_BYTES:
            raise _Trouble("sent far more than was asked for")
    return bytes(content)


def _decoded(content: bytes) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None


def why_no_connection(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "showed a certificate that this machine does not trust"
        cause = cause.__cause__ or cause.__context__
    return "could not be reached"


def _retry_after(header: str, now: float) -> float | None:
    """Seconds to wait, from either form of Retry-After; None if it says nothing usable."""
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None
