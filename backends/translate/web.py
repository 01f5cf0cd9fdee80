"""One question to a remote engine over HTTP: bounded in time and bytes, sent once, and nowhere else.

`upstream.Upstream` asks by GET, tries again and remembers answers by what was asked in clear. A text goes
out once, by POST where the service takes it so, for the next engine of the chain is the second try; and
what is remembered of it is the operator's choice.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anyio
import httpx2

from backends.translate.engine import Trouble
from upstream import asking, retry_after, trust, why_no_connection

USER_AGENT = "almanac-mcp-server"
MAX_ANSWER_BYTES = 2_000_000  # a real answer to the longest question is under 100 kB
UNREADABLE = "sent an answer that cannot be read"
UNREACHED_S = 60.0  # an offline machine must not wait at every call
BUSY_S = 60.0  # for a service that does not say how long it has had too much
LONGEST_REST_S = 3600.0
# What pages come in. Python knows more under that name, and some of it raises or takes quadratic time.
_CHARSET = re.compile(
    r"utf-?8|(us-)?ascii|iso-8859-\d+|windows-12\d\d|koi8-[ru]|shift_jis|euc-(jp|kr)|gb(k|2312|18030)|big5",
    re.IGNORECASE,
)


class Answer(NamedTuple):
    """What a service sent, whatever its status."""

    status: int
    text: str
    retry_after_s: float | None


@dataclass(kw_only=True, eq=False)
class Web:
    """The connections to one service.

    Args:
        secure: Whether it is asked over TLS.
        timeout_s: For one question.
        headers: Sent with each, such as a key.
    """

    secure: bool
    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict)
    _client: httpx2.AsyncClient | None = field(default=None, init=False)

    def load(self) -> None:
        """Make the client; the first in a process reads the certificates, so in a worker thread."""
        self._client = httpx2.AsyncClient(
            headers={"User-Agent": USER_AGENT, **self.headers},
            timeout=httpx2.Timeout(self.timeout_s, connect=min(3, self.timeout_s)),
            follow_redirects=False,  # a redirect leads to a captcha, or where nobody meant to send the text
            trust_env=False,  # settings alone say where a text goes
            verify=trust() if self.secure else False,
        )

    async def send(
        self, method: str, url: str, *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        """Ask once.

        Raises:
            Trouble: There was no whole answer in time, or one that is no text.
        """
        if self._client is None:
            self.load()
        assert self._client is not None  # noqa: S101 - load() has made it
        body = bytearray()
        try:
            with anyio.fail_after(self.timeout_s), asking(method, url) as answered:
                async with self._client.stream(method, url, params=params, json=json) as response:
                    answered(response.status_code)
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > MAX_ANSWER_BYTES:
                            raise Trouble("sent an answer without end")
                    charset = response.charset_encoding or "utf-8"
        except (TimeoutError, httpx2.TimeoutException):
            raise Trouble("did not answer in time", rest_s=UNREACHED_S) from None
        except httpx2.ConnectError as error:
            raise Trouble(why_no_connection(error), rest_s=UNREACHED_S) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Trouble(why_no_connection(error)) from None
        return Answer(
            response.status_code,
            _decoded(body, charset),
            retry_after(response.headers.get("retry-after", ""), time.time()),
        )

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def check_status(status: int, retry_after_s: float | None = None) -> None:
    """Raises Trouble for a status that no translation comes with."""
    if status == 429:
        rest_s = BUSY_S if retry_after_s is None else min(retry_after_s, LONGEST_REST_S)
        raise Trouble("has had too many requests", rest_s=rest_s)
    if not 200 <= status < 300:
        raise Trouble(f"answered with status {status}")


def decoded_json(text: str) -> Any:
    """The JSON of an answer; raises Trouble for what is none, or holds what could not be sent on."""
    try:
        data = json.loads(text)
        json.dumps(data, ensure_ascii=False).encode()  # halves of characters
    except (ValueError, RecursionError):
        raise Trouble(UNREADABLE) from None
    return data


def _decoded(body: bytearray, charset: str) -> str:
    if not _CHARSET.fullmatch(charset):
        raise Trouble(UNREADABLE)
    try:
        return body.decode(charset, "replace")
    except LookupError:  # a number that has no part of ISO 8859
        raise Trouble(UNREADABLE) from None
