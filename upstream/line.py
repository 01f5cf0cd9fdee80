"""The line to one service: so many requests at once, at its pace, and only ever to its own address."""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2

from upstream.answers import SLOW, Trouble, read_body, same_origin, why_no_connection

REDIRECTS = 2


@dataclass(kw_only=True, eq=False)
class Line:
    """An HTTP client for one address, opened by the first request: a server that only starts pays nothing."""

    url: str
    headers: Mapping[str, str]
    secrets: Mapping[str, str]  # query parameters
    at_once: int
    pace_s: float
    transport: httpx2.AsyncBaseTransport | None

    _client: httpx2.AsyncClient | None = field(default=None, init=False)
    _next: float = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._turns = asyncio.Semaphore(self.at_once)
        self._start = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until one more request may be made, and make it within."""
        async with self._turns:
            if self.pace_s:
                async with self._start:  # one after another, so that a late one does not meet the next
                    now = asyncio.get_running_loop().time
                    await asyncio.sleep(max(0.0, self._next - now()))
                    self._next = now() + self.pace_s
            yield

    async def ask(
        self, path: str, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[httpx2.Response, bytes]:
        """The answer and its body; a redirect is followed on the same server only.

        Raises:
            Trouble: There was none.
        """
        try:
            client = self._open()
            request = client.build_request(
                "GET", self.url + path, params={**params, **self.secrets}, headers=headers
            )
            for _ in range(REDIRECTS + 1):
                response = await client.send(request, stream=True)
                try:
                    content = await read_body(response)
                finally:
                    await response.aclose()
                onward = response.next_request
                if onward is None or not same_origin(onward.url, request.url):
                    break
                request = onward
        except httpx2.TimeoutException as error:
            raise Trouble(SLOW, again=True) from error
        except httpx2.ConnectError as error:
            raise Trouble(why_no_connection(error), again=True) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise Trouble("cannot be asked, because its address is set wrongly") from error
        except httpx2.RequestError as error:
            raise Trouble("broke off in the middle of its answer", again=True) from error
        return response, content

    async def close(self) -> None:
        """End every connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = httpx2.AsyncClient(
                headers=dict(self.headers),
                timeout=httpx2.Timeout(8, connect=3),
                follow_redirects=False,  # one could lead anywhere, this network included
                trust_env=False,  # settings alone say where requests go; a stray ALL_PROXY could raise
                verify=trust() if self.url.startswith("https:") else False,
                transport=self.transport,
            )
        return self._client


@functools.cache
def trust() -> ssl.SSLContext:
    """Whose certificates are believed: 25 ms to read, so once for all."""
    return httpx2.create_ssl_context(trust_env=False)
