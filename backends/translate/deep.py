"""Google and MyMemory through deep-translator, guarded: our HTTP, our deadline, and every answer checked.

deep-translator 1.11.4 by itself has no timeout, mixes the answers of threads that share an engine,
returns error pages as translations, and puts the whole text into its exceptions. Here an engine object
lives for one question, and the network is ours: its thread waits while the event loop asks, so a
cancelled or late call ends both at once and no thread outlives it.
"""

import html
import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx2

from backends.translate.engine import Pair, Rendering, Trouble
from backends.translate.languages import Table, other_variant
from backends.translate.pieces import translate_in_pieces
from upstream import why_no_connection

USER_AGENT = "almanac-mcp-server"
AT_ONCE = 4  # questions to one service; its own advice is five a second
MAX_ANSWER_BYTES = 2_000_000  # a real answer to the longest question is under 100 kB
MAX_TEXT = 65_536  # characters; the longest question is 5 kB
UNREADABLE = "sent an answer that cannot be read"
# What pages come in. Python knows more under that name, and some of it raises or takes quadratic time.
_CHARSET = re.compile(
    r"utf-?8|(us-)?ascii|iso-8859-\d+|windows-12\d\d|koi8-[ru]|shift_jis|euc-(jp|kr)|gb(k|2312|18030)|big5",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Page:
    """What deep-translator sees of an HTTP response."""

    status_code: int
    text: str
    data: Any = None

    def json(self) -> Any:
        return self.data

    def close(self) -> None: ...


_RESULT = re.compile(r"""<div class=["']?result-container["']?[^<>]{0,200}>""")
_LINE_END = re.compile(r"<br ?/?>")


def _read_google(page: Page) -> Page:
    """The mobile page, as only its one element that holds the translation, without any tag in it.

    What deep-translator reads pages with takes quadratic time for broken tags (6 s for 24 kB) and lets
    no other thread run meanwhile, so no deadline would end it. A line end is `<br>`, which it would drop.
    """
    found = _RESULT.search(page.text)
    if not found:
        raise Trouble("sent an answer without a translation")
    end = page.text.find("</div", found.end(), found.end() + MAX_TEXT)
    if end < 0:
        cut_off = len(page.text) - found.end() < MAX_TEXT
        raise Trouble("sent a page that was cut off" if cut_off else UNREADABLE)
    inner = _LINE_END.sub("\n", page.text[found.end() : end])
    if "<" in inner:
        raise Trouble(UNREADABLE)
    try:
        text = html.unescape(inner)
    except ValueError:  # a reference to a character by a number of thousands of digits
        raise Trouble(UNREADABLE) from None
    return replace(page, text=f'<div class="result-container">{html.escape(text)}</div>')


def _read_mymemory(page: Page) -> Page:
    """JSON whose real status stands inside; deep-translator takes the warning beside it for the text."""
    try:
        data = json.loads(page.text)
        status = int(data.get("responseStatus", 200))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise Trouble(UNREADABLE) from None
    _check_status(status)
    return replace(page, data=data)


class Kind(NamedTuple):
    """What sets one of deep-translator's engines apart."""

    module: str
    engine: str
    base_url: str
    languages: str
    limit_bytes: int
    read: Callable[[Page], Page]
    quality: str
    detects: bool
    rubbish: re.Pattern[str]
    wrong_codes: frozenset[str] = frozenset()
    prefer: tuple[str, ...] = ()


KINDS = {
    "google": Kind(
        module="deep_translator.google",
        engine="GoogleTranslator",
        base_url="GOOGLE_TRANSLATE",
        languages="GOOGLE_LANGUAGES_TO_CODES",
        limit_bytes=4_999,
        read=_read_google,
        quality="machine translation",
        detects=True,
        rubbish=re.compile(r"Error \d{3} \(.{0,80}\)!!1|unusual traffic from your computer"),
    ),
    "mymemory": Kind(
        module="deep_translator.mymemory",
        engine="MyMemoryTranslator",
        base_url="MYMEMORY",
        languages="MY_MEMORY_LANGUAGES_TO_CODES",
        limit_bytes=499,
        read=_read_mymemory,
        quality="from a translation memory; may be a near match",
        detects=False,
        rubbish=re.compile(
            r"MYMEMORY WARNING|INVALID LANGUAGE PAIR|QUERY LENGTH LIMIT|PLEASE SELECT TWO DISTINCT"
        ),
        # Balkan Gipsy and Valencian, which are Romansh and Cavineña by these codes.
        wrong_codes=frozenset({"rm-RO", "cav-ES"}),
        prefer=("sr-Cyrl-RS", "sr-Latn-RS"),  # the shortest Serbian name is Montenegrin
    ),
}


@dataclass
class DeepTranslator:
    """One of deep-translator's engines."""

    name: str
    url: str
    timeout_s: float  # for one question, of which a long text needs several

    def __post_init__(self) -> None:
        self._kind = KINDS[self.name]
        self._threads = anyio.CapacityLimiter(AT_ONCE)
        self._engine: Any = None

    @property
    def detects(self) -> bool:
        return self._kind.detects

    def load(self) -> None:
        """Import deep-translator (0.2 s), in a worker thread."""
        from deep_translator import constants  # type: ignore[import-untyped]  # it ships no types

        kind = self._kind
        codes: Mapping[str, str] = getattr(constants, kind.languages)
        # The plainest name is the main variant: 'german' before 'austrian german'.
        usable = sorted((name for name in codes if codes[name] not in kind.wrong_codes), key=len)
        self._table = Table((codes[name] for name in usable), kind.prefer)
        tags = {code: tag for tag, code in self._table.codes.items()}
        self._names = {name: tags[codes[name]] for name in usable if codes[name] in tags}
        self._engine = self._private_engine()
        self._client = httpx2.AsyncClient(
            headers={"User-Agent": USER_AGENT},
            timeout=httpx2.Timeout(self.timeout_s, connect=min(3, self.timeout_s)),
            follow_redirects=False,  # a redirect leads to a captcha, or where nobody meant to send the text
            trust_env=False,  # settings alone say where a text goes
            verify=httpx2.create_ssl_context(trust_env=False) if self.url.startswith("https:") else False,
        )

    def _private_engine(self) -> Any:
        """The engine's class out of a copy of its module that belongs to this object alone.

        The module reaches the network through its globals `requests` and `BASE_URLS`. Setting them on
        the imported module would change it for everyone in the process and be a race between two
        servers in one; on a copy that is in no `sys.modules` they are simply this engine's own.
        """
        spec = importlib.util.find_spec(self._kind.module)
        if spec is None or spec.loader is None:
            raise ImportError(self._kind.module)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        vars(module).update(
            requests=SimpleNamespace(get=self._get), BASE_URLS={self._kind.base_url: self.url}
        )
        return getattr(module, self._kind.engine)

    def missing(self) -> str:
        return ""

    def languages(self) -> list[str]:
        return self._table.tags()

    def names(self) -> Mapping[str, str]:
        return self._names

    def local_pairs(self) -> list[tuple[str, str]]:
        return []

    def pair(self, source: str | None, target: str) -> Pair | None:
        into = self._table.find(target)
        out_of = self._table.find(source) if source else ("auto", "")
        if not into or not out_of or into[0] == out_of[0] or (source is None and not self.detects):
            return None
        return Pair(out_of[0], into[0], other_variant(self.name, target, into[1]))

    async def translate(self, text: str, pair: Pair) -> Rendering:
        async def ask(question: str) -> str:
            # Not abandoned on cancellation: the request it waits for is cancelled instead.
            return await anyio.to_thread.run_sync(self._ask, question, pair, limiter=self._threads)

        return Rendering(await translate_in_pieces(text, self._kind.limit_bytes, ask), self._kind.quality)

    async def aclose(self) -> None:
        if self._engine is not None:
            await self._client.aclose()

    def _ask(self, question: str, pair: Pair) -> str:
        """One question in a worker thread, to an engine that lives no longer than that."""
        try:
            answer = self._engine(source=pair.source, target=pair.target).translate(question)
        except _failures():  # not chained or quoted: their texts hold the question
            raise Trouble("sent an answer without a translation") from None
        if not isinstance(answer, str) or not answer.strip():
            raise Trouble("gave no translation", rest=False)
        if len(answer) > MAX_TEXT:
            raise Trouble(UNREADABLE)
        if self._kind.rubbish.search(answer) and not self._kind.rubbish.search(question):
            raise Trouble("sent a warning in place of a translation")
        try:
            # MyMemory escapes as if for HTML; only a text without references tells them from its own.
            whole = html.unescape(answer) if "&" not in question else answer
            whole.encode()  # JSON can hold halves of characters, which nothing after this could send
        except ValueError:
            raise Trouble(UNREADABLE) from None
        return whole

    def _get(self, url: str, params: Mapping[str, str], proxies: None = None) -> Page:
        """What deep-translator takes for `requests.get`; runs in its thread, asks in the event loop."""
        return anyio.from_thread.run(self._fetch, url, dict(params))

    async def _fetch(self, url: str, params: dict[str, str]) -> Page:
        body = bytearray()
        try:
            with anyio.fail_after(self.timeout_s):
                async with self._client.stream("GET", url, params=params) as response:
                    _check_status(response.status_code)
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > MAX_ANSWER_BYTES:
                            raise Trouble("sent an answer without end")
                    charset = response.charset_encoding or "utf-8"
        except (TimeoutError, httpx2.TimeoutException):
            raise Trouble("did not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Trouble(why_no_connection(error)) from None
        return self._kind.read(Page(response.status_code, _decoded(body, charset)))


def _decoded(body: bytearray, charset: str) -> str:
    if not _CHARSET.fullmatch(charset):
        raise Trouble(UNREADABLE)
    try:
        return body.decode(charset, "replace")
    except LookupError:  # a number that has no part of ISO 8859
        raise Trouble(UNREADABLE) from None


def _check_status(status: int) -> None:
    if status == 429:
        raise Trouble("has had too many requests")
    if not 200 <= status < 300:
        raise Trouble(f"answered with status {status}")


def _failures() -> tuple[type[Exception], ...]:
    """What deep-translator raises: as documented, and where its code meets an answer without a field."""
    from deep_translator.exceptions import (  # type: ignore[import-untyped]  # it ships no types
        BaseError,
        RequestError,
        TooManyRequests,
    )

    return BaseError, RequestError, TooManyRequests, AttributeError, LookupError, TypeError, StopIteration
