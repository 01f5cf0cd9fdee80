"""A batch against its texts one call at a time, and a remembered translation against a call without work.

The service is a LibreTranslate of this machine that takes 30 ms for a text, as one with models does. All
goes through the whole server over STDIO.
"""

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.rounds import Line, compare
from benchmarks.wire import Stdio
from tests.fakes import Upstream

HERE = Path(__file__).parent
SERVICE_S = 0.03
TEXTS = [f"The train to the old city leaves from platform {n} today." for n in range(100)]
BATCH, HIT, HIT_FILE = "100 calls", "translate_detect", "the service asked"
GOALS = {BATCH: 0.4, HIT: 1.5, HIT_FILE: 0.15}  # four texts at once; a hit costs what reading a call costs


async def _translate(request: Request) -> Response:
    await asyncio.sleep(SERVICE_S)
    asked = await request.json()
    return JSONResponse({"translatedText": f"{asked['q']} ({asked['target']})"})


async def _languages(request: Request) -> Response:
    return JSONResponse([{"code": code, "name": code, "targets": ["en", "es"]} for code in ("en", "es")])


def run(directory: Path, peers: Path, rounds: int) -> list[Line]:
    """Every line of the comparison."""
    service = Starlette(
        routes=[
            Route("/translate", _translate, methods=["POST"]),
            Route("/languages", _languages),
        ]
    )
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(Upstream(service)).url
        common = {
            "ALMANAC_TRANSLATE_PROVIDERS": "libretranslate",
            "ALMANAC_TRANSLATE_LIBRETRANSLATE_URL": url,
        }
        forgetful, keeping = (
            stack.enter_context(Stdio([sys.executable, str(HERE.parent / "server.py")], {**common, **more}))
            for more in (
                {"ALMANAC_TRANSLATE_CACHE": "off"},
                {"ALMANAC_STATE_DIR": str(directory / "state")},
            )
        )
        return [*_batch(forgetful, rounds), *_hits(forgetful, keeping, rounds)]


def _batch(server: Stdio, rounds: int) -> list[Line]:
    def together() -> float:
        return server.timed("translate_batch", {"texts": TEXTS, "target": "es", "source": "en"})

    def one_by_one() -> float:
        started = time.perf_counter()
        for text in TEXTS:
            server.call("translate_text", _asked(text))
        return (time.perf_counter() - started) * 1000

    answer = server.call("translate_batch", {"texts": TEXTS, "target": "es", "source": "en"})
    if f"{TEXTS[-1]} (es)".encode() not in answer:
        raise RuntimeError(f"the batch was not translated: {answer[:300]!r}")
    return compare("batch of 100", {"almanac": together, BATCH: one_by_one}, {BATCH: GOALS[BATCH]}, rounds, 1)


def _hits(forgetful: Stdio, keeping: Stdio, rounds: int) -> list[Line]:
    text = TEXTS[0]
    for server in (forgetful, keeping):
        if f"{text} (es)".encode() not in (answer := server.call("translate_text", _asked(text))):
            raise RuntimeError(f"the text was not translated: {answer[:300]!r}")
    keeping.call("translate_detect", {"text": text})
    contenders = {
        "almanac": lambda: keeping.timed("translate_text", _asked(text)),
        HIT: lambda: keeping.timed("translate_detect", {"text": text}),
        HIT_FILE: lambda: forgetful.timed("translate_text", _asked(text)),
    }
    goals = {name: GOALS[name] for name in (HIT, HIT_FILE)}
    return compare("a remembered text", contenders, goals, rounds, 50)


def _asked(text: str) -> dict[str, Any]:
    return {"text": text, "target": "es", "source": "en"}
