"""DeepL through its official client, guarded: our HTTP under it, our deadline, and every answer checked.

The client waits ten seconds a try and tries six times, sleeping in its thread; it reads the machine's proxies
and .netrc, and logs whole texts at debug level. Its one method that reaches the network is therefore ours:
its thread waits while the event loop asks, so a cancelled or late call ends both at once. What a question
looks like and what an answer means stays its business.
"""

import importlib.util
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread

from backends.translate.codes import DEEPL_SOURCES, DEEPL_TARGETS
from backends.translate.doubts import Doubts
from backends.translate.engine import Pair, Rendering, Trouble
from backends.translate.languages import Table, other_variant
from backends.translate.pieces import render_in_pieces
from backends.translate.web import LONGEST_REST_S, Answer, Web, check_status, decoded_json

AT_ONCE = 5  # DeepL says no number and asks to be spared bursts
LIMIT_BYTES = 10_000  # it takes 128 KiB, but a piece has to be done within its deadline
FREE_URL, PRO_URL = "https://api-free.deepl.com", "https://api.deepl.com"


class DeepL:
    """DeepL's text API.

    Args:
        key: An API key; those of the free plan end in ":fx".
        url: Where it is asked instead of where its key belongs.
        timeout_s: For one question.
    """

    name = "deepl"

    def __init__(self, key: str, url: str, timeout_s: float) -> None:
        self._key = key
        self._url = url or (FREE_URL if key.endswith(":fx") else PRO_URL)
        self._web = Web(
            secure=self._url.startswith("https:"),
            timeout_s=timeout_s,
            headers={"Authorization": f"DeepL-Auth-Key {key}"},
        )
        self._threads = anyio.CapacityLimiter(AT_ONCE)
        self._doubts = Doubts()
        self._client: Any = None

    def load(self) -> None:
        """Import the client (0.2 s, most of it `requests`), in a worker thread."""
        self._sources, self._targets = Table(DEEPL_SOURCES), Table(DEEPL_TARGETS)
        if self.missing():
            return
        import deepl

        ask = self._ask

        class Client(deepl.DeepLClient):
            """The official client, which reaches the network by `_api_call` alone."""

            def _api_call(self, url: str, *, json: Any = None, **_: object) -> tuple[int, str, Any]:
                return ask(url, json)

        self._client = Client
        self._web.load()

    def missing(self) -> str:
        if not self._key:
            return "no key is set"
        return "" if importlib.util.find_spec("deepl") else "its Python package is not installed"

    @property
    def generation(self) -> str:
        return self._url

    async def refresh(self) -> bool:
        return False

    def languages(self) -> list[str]:
        return self._targets.tags() if self._client else []

    def names(self) -> dict[str, str]:
        return {}

    def local_pairs(self) -> list[tuple[str, str]]:
        return []

    def pair(self, source: str | None, target: str) -> Pair | None:
        into = self._targets.find(target)
        out_of = self._source(source) if source else ("", "")
        if not self._client or not into or not out_of or _language(into[0]) == _language(out_of[0]):
            return None
        return Pair(out_of[0], into[0], other_variant(self.name, target, into[1]))

    def _source(self, tag: str) -> tuple[str, str] | None:
        """As a source a language has one code, whatever its script."""
        return self._sources.find(tag) or self._sources.find(tag.partition("-")[0])

    async def translate(self, text: str, pair: Pair) -> Rendering:
        async def ask(question: str) -> str:
            # Not abandoned on cancellation: the request it waits for is cancelled instead.
            return await anyio.to_thread.run_sync(self._translate, question, pair, limiter=self._threads)

        return await render_in_pieces(text, LIMIT_BYTES, ask, "machine translation")

    async def aclose(self) -> None:
        await self._web.aclose()

    def _translate(self, question: str, pair: Pair) -> str:
        """One question in a worker thread, through a client that lives no longer than that."""
        from deepl import DeepLException

        try:
            result = self._client(self._key, server_url=self._url).translate_text(
                question, source_lang=pair.source or None, target_lang=pair.target, preserve_formatting=True
            )
            answer = result.text
        except (DeepLException, ValueError, TypeError, AttributeError, LookupError):
            # Not chained or quoted: what it says may hold the text or the key.
            raise Trouble("sent an answer without a translation") from None
        return self._doubts.check(question, answer, pair)

    def _ask(self, path: str, question: Any) -> tuple[int, str, Any]:
        """What the client takes for its network; runs in its thread, asks in the event loop."""
        answer = anyio.from_thread.run(self._send, f"{self._url}/{path}", question)
        return answer.status, answer.text, decoded_json(answer.text)

    async def _send(self, url: str, question: Any) -> Answer:
        answer = await self._web.send("POST", url, json=question)
        if answer.status == 403:
            raise Trouble("does not accept its key", rest_s=LONGEST_REST_S)
        if answer.status == 456:
            raise Trouble("has no characters left in this month", rest_s=LONGEST_REST_S)
        check_status(answer.status, answer.retry_after_s)
        return answer


def _language(code: str) -> str:
    return code.partition("-")[0]
