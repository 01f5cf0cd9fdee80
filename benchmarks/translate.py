"""A remembered translation against a call without work, and a batch against its texts one call at a time.

The service is a LibreTranslate of this machine that takes 30 ms for a text, as one with models does. All
goes through the whole server over STDIO.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.contenders import Bench
from benchmarks.goals import TRANSLATION, TRIVIAL
from benchmarks.rounds import OURS, Line, compare
from benchmarks.wire import checked

SERVICE_S = 0.03
TEXTS = [f"The train to the old city leaves from platform {n} today." for n in range(100)]


async def _translate(request: Request) -> Response:
    await asyncio.sleep(SERVICE_S)
    asked = await request.json()
    return JSONResponse({"translatedText": f"{asked['q']} ({asked['target']})"})


async def _languages(request: Request) -> Response:
    return JSONResponse([{"code": code, "name": code, "targets": ["en", "es"]} for code in ("en", "es")])


SERVICE = Starlette(
    routes=[Route("/translate", _translate, methods=["POST"]), Route("/languages", _languages)]
)


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison."""
    common = {
        "ALMANAC_TRANSLATE_PROVIDERS": "libretranslate",
        "ALMANAC_TRANSLATE_LIBRETRANSLATE_URL": bench.upstream(SERVICE),
    }
    command = bench.script("almanac.py")
    forgetful = bench.stdio(command, {**common, "ALMANAC_TRANSLATE_CACHE": "off"})
    keeping = bench.stdio(command, common)

    text, translated = TEXTS[0], f"{TEXTS[0]} (es)".encode()
    contenders = {
        OURS: keeping.calls("translate_text", _asked(text), translated),
        TRIVIAL: keeping.calls("bench_same", {"text": "hello"}, b"hello"),
        "the service asked": forgetful.calls("translate_text", _asked(text), translated),
    }
    yield from compare(TRANSLATION, contenders, bench.rounds, bench.many(50))

    def one_by_one() -> float:
        started = time.perf_counter()
        for one in TEXTS:
            checked(forgetful.call("translate_text", _asked(one)), b"(es)")
        return (time.perf_counter() - started) * 1000

    whole = {"texts": TEXTS, "target": "es", "source": "en"}
    together = forgetful.calls("translate_batch", whole, f"{TEXTS[-1]} (es)".encode())
    yield from compare("batch of 100", {OURS: together, "100 calls": one_by_one}, bench.rounds, 1)


def _asked(text: str) -> dict[str, Any]:
    return {"text": text, "target": "es", "source": "en"}
