"""LibreTranslate over HTTP: a server of the operator's own, or anybody's with or without a key."""

import time
from collections.abc import Callable
from typing import Any

import anyio

from backends.translate.codes import LIBRETRANSLATE, LIBRETRANSLATE_MEANS
from backends.translate.doubts import Doubts
from backends.translate.engine import Pair, Rendering, Trouble
from backends.translate.languages import Table, other_variant
from backends.translate.pieces import render_in_pieces
from backends.translate.web import LONGEST_REST_S, Web, check_status, decoded_json

AT_ONCE = 4  # its models use all cores for one text
LIMIT_BYTES = 1_000  # public servers take 2,000 characters; its models take seconds for so many
ASK_LANGUAGES_S = 2.0
LANGUAGES_HOLD_S = 3600.0
ASK_AGAIN_S = 60.0


class LibreTranslate:
    """One server.

    Args:
        url: Where it is; "" if there is none.
        key: Its API key, if it wants one.
        timeout_s: For one question.
        clock: Seconds, for how long its list of languages holds.
    """

    name = "libretranslate"

    def __init__(
        self, url: str, key: str, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url, self._key, self._clock = url, key, clock
        self._web = Web(secure=url.startswith("https:"), timeout_s=timeout_s)
        self._turns = anyio.CapacityLimiter(AT_ONCE)
        self._doubts = Doubts()
        self._targets: dict[str, set[str]] = {}  # by source, in its own codes; empty: not known
        self._asked_again = float("-inf")

    def load(self) -> None:
        """Until it has said which languages it has, those it usually has."""
        self._table = self._made_of(LIBRETRANSLATE)
        if self._url:
            self._web.load()

    @staticmethod
    def _made_of(codes: Any) -> Table:
        return Table(codes, means=LIBRETRANSLATE_MEANS)

    async def refresh(self) -> bool:
        """Ask which languages it has, if that is long ago; whether they are others now."""
        if self.missing() or self._clock() < self._asked_again:
            return False
        self._asked_again = self._clock() + ASK_AGAIN_S
        found: dict[str, set[str]] = {}
        try:
            with anyio.move_on_after(ASK_LANGUAGES_S):
                answer = await self._web.send("GET", f"{self._url}/languages")
                check_status(answer.status)
                found = _languages_in(decoded_json(answer.text))
        except Trouble:
            return False  # the next text will meet it too, and say so
        if not found:
            return False
        self._asked_again = self._clock() + LANGUAGES_HOLD_S
        if found == self._targets:
            return False
        self._table, self._targets = self._made_of(found), found
        return True

    def missing(self) -> str:
        return "" if self._url else "no address is set"

    @property
    def generation(self) -> str:
        return self._url

    def languages(self) -> list[str]:
        return self._table.tags() if self._url else []

    def names(self) -> dict[str, str]:
        return {}

    def local_pairs(self) -> list[tuple[str, str]]:
        return []

    def pair(self, source: str | None, target: str) -> Pair | None:
        into = self._table.find(target)
        out_of = self._table.find(source) if source else ("auto", "")
        if not self._url or not into or not out_of or into[0] == out_of[0]:
            return None
        if source and self._targets and into[0] not in self._targets[out_of[0]]:
            return None
        return Pair(out_of[0], into[0], other_variant(self.name, target, into[1]))

    async def translate(self, text: str, pair: Pair) -> Rendering:
        async def ask(question: str) -> str:
            async with self._turns:
                return self._doubts.check(question, await self._ask(question, pair), pair)

        return await render_in_pieces(text, LIMIT_BYTES, ask, "machine translation, free models")

    async def aclose(self) -> None:
        await self._web.aclose()

    async def _ask(self, question: str, pair: Pair) -> object:
        asked = {"q": question, "source": pair.source, "target": pair.target, "format": "text"}
        if self._key:
            asked["api_key"] = self._key
        answer = await self._web.send("POST", f"{self._url}/translate", json=asked)
        if answer.status == 403:
            raise Trouble("does not accept its key, or wants one", rest_s=LONGEST_REST_S)
        if answer.status == 400:
            raise Trouble("did not take this text or pair", rest=False)
        check_status(answer.status, answer.retry_after_s)
        data = decoded_json(answer.text)
        if not isinstance(data, dict) or "translatedText" not in data:
            raise Trouble("sent an answer without a translation")
        return data["translatedText"]


def _languages_in(data: Any) -> dict[str, set[str]]:
    """Targets by source; nothing if the list cannot be read."""
    try:
        listed = {str(each["code"]): {str(code) for code in each["targets"]} for each in data}
    except (TypeError, LookupError):
        return {}
    return {code: targets - {code} for code, targets in listed.items()}
