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
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import anyio
import anyio.from_thread
import anyio.to_thread

from backends.translate.doubts import Doubts
from backends.translate.engine import Pair, Rendering, Trouble
from backends.translate.languages import Table, other_variant
from backends.translate.pieces import render_in_pieces
from backends.translate.web import UNREADABLE, Web, check_status

AT_ONCE = 4  # questions to one service; its own advice is five a second
MAX_TEXT = 65_536  # characters; the longest question is 5 kB
BLOCKED_S = 600.0  # a used-up day is not over in a minute


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
    check_status(status, BLOCKED_S)  # its 429 is for a day
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
    rubbish: re.Pattern[str] | None = None
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
        rubbish=re.compile(r"INVALID LANGUAGE PAIR|QUERY LENGTH LIMIT|PLEASE SELECT TWO DISTINCT"),
        # Balkan Gipsy and Valencian, which are Romansh and Cavineña by these codes.
        wrong_codes=frozenset({"rm-RO", "cav-ES"}),
        prefer=("sr-Cyrl-RS", "sr-Latn-RS"),  # the shortest Serbian name is Montenegrin
    ),
}


def _codes(kind: Kind) -> tuple[Mapping[str, str], list[str]]:
    """An engine's codes by name, and the names that can be used, the plainest first."""
    from deep_translator import constants  # type: ignore[import-untyped]  # it ships no types

    codes: Mapping[str, str] = getattr(constants, kind.languages)
    # The plainest name is the main variant: 'german' before 'austrian german'.
    return codes, sorted((name for name in codes if codes[name] not in kind.wrong_codes), key=len)


def table(name: str) -> Table:
    """The languages of one of deep-translator's engines; nothing is asked and no engine is made."""
    codes, usable = _codes(KINDS[name])
    return Table((codes[name] for name in usable), KINDS[name].prefer)


@dataclass
class DeepTranslator:
    """One of deep-translator's engines."""

    name: str
    url: str
    timeout_s: float  # for one question, of which a long text needs several

    def __post_init__(self) -> None:
        self._kind = KINDS[self.name]
        self._threads = anyio.CapacityLimiter(AT_ONCE)
        self._web = Web(secure=self.url.startswith("https:"), timeout_s=self.timeout_s)
        self._doubts = Doubts(self._kind.rubbish)
        self._engine: Any = None
        self.generation = ""

    def load(self) -> None:
        """Import deep-translator (0.2 s), in a worker thread."""
        codes, usable = _codes(self._kind)
        self._table = table(self.name)
        tags = {code: tag for tag, code in self._table.codes.items()}
        self._names = {name: tags[codes[name]] for name in usable if codes[name] in tags}
        self._engine = self._private_engine()
        self._web.load()
        self.generation = f"{self.url} {version('deep-translator')}"

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
        engine = getattr(module, self._kind.engine)
        # They read a file of this machine by its path, end the process if there is none, or ask without us.
        for method in ("translate_file", "translate_batch", "_translate_file", "_translate_batch"):
            setattr(engine, method, _unreachable)
        return engine

    async def refresh(self) -> bool:
        return False

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
        if not into or not out_of or into[0] == out_of[0] or (source is None and not self._kind.detects):
            return None
        return Pair(out_of[0], into[0], other_variant(self.name, target, into[1]))

    async def translate(self, text: str, pair: Pair) -> Rendering:
        async def ask(question: str) -> str:
            # Not abandoned on cancellation: the request it waits for is cancelled instead.
            return await anyio.to_thread.run_sync(self._ask, question, pair, limiter=self._threads)

        return await render_in_pieces(text, self._kind.limit_bytes, ask, self._kind.quality)

    async def aclose(self) -> None:
        await self._web.aclose()

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
        try:
            # MyMemory escapes as if for HTML; only a text without references tells them from its own.
            whole = html.unescape(answer) if "&" not in question else answer
            whole.encode()  # JSON can hold halves of characters, which nothing after this could send
        except ValueError:
            raise Trouble(UNREADABLE) from None
        return self._doubts.check(question, whole, pair)

    def _get(self, url: str, params: Mapping[str, str], proxies: None = None) -> Page:
        """What deep-translator takes for `requests.get`; runs in its thread, asks in the event loop."""
        return anyio.from_thread.run(self._fetch, url, dict(params))

    async def _fetch(self, url: str, params: dict[str, str]) -> Page:
        answer = await self._web.send("GET", url, params=params)
        check_status(answer.status, answer.retry_after_s)
        return self._kind.read(Page(answer.status, answer.text))


def _unreachable(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError("only single texts are translated")


def _failures() -> tuple[type[Exception], ...]:
    """What deep-translator raises: as documented, and where its code meets an answer without a field."""
    from deep_translator.exceptions import (  # type: ignore[import-untyped]  # it ships no types
        BaseError,
        RequestError,
        TooManyRequests,
    )

    return BaseError, RequestError, TooManyRequests, AttributeError, LookupError, TypeError, StopIteration
