"""MyMemory's `GET /get`, whose real status stands inside a body that always says 200.

A translation is the text with its target behind it, so that an answer shows its question.
"""

import asyncio
import html
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.troubles import Troubled

WARNING = (
    "MYMEMORY WARNING: YOU USED ALL AVAILABLE FREE TRANSLATIONS FOR TODAY. NEXT AVAILABLE IN 10 HOURS 57 "
    "MINUTES 29 SECONDS VISIT HTTPS://MYMEMORY.TRANSLATED.NET/DOC/USAGELIMITS.PHP TO TRANSLATE MORE"
)


class MyMemory(Troubled):
    """The fake; `habit` is how it answers when it is in no trouble.

    `plain`, or `warning` (as the text, status 200), `quota` (the warning with status 429 inside),
    `invalid pair` (status "403" inside), `nothing` (no translation and no matches), `null`,
    `match` (no translation, but a match), `escaped` (as if for HTML).
    """

    def __init__(self) -> None:
        self.habit = "plain"
        self.pause_s = 0.0
        super().__init__(Starlette(routes=[Route("/get", self._get)]))

    async def _get(self, request: Request) -> Response:
        await asyncio.sleep(self.pause_s)
        text, pair = request.query_params["q"], request.query_params["langpair"]
        if len(text.encode()) > 500:
            return JSONResponse(_body("QUERY LENGTH LIMIT EXCEEDED. MAX ALLOWED QUERY : 500 CHARS", "403"))
        target = pair.partition("|")[2]
        match self.habit:
            case "warning":
                return JSONResponse(_body(WARNING))
            case "quota":
                return JSONResponse(_body(WARNING, 429))
            case "invalid pair":
                return JSONResponse(_body("INVALID LANGUAGE PAIR SPECIFIED. EXAMPLE: LANGPAIR=EN|IT", "403"))
            case "nothing":
                return JSONResponse({**_body(""), "matches": []})
            case "match":
                return JSONResponse({**_body(""), "matches": [{"translation": f"{text} ({target})"}]})
            case "null":
                return JSONResponse({"responseData": None, "responseStatus": 200})
            case "escaped":
                return JSONResponse(_body(html.escape(f"{text} ({target})")))
        return JSONResponse(_body(f"{text} ({target})"))


def _body(text: str, status: int | str = 200) -> dict[str, Any]:
    return {
        "responseData": {"translatedText": text, "match": 0.85},
        "quotaFinished": False,
        "mtLangSupported": None,
        "responseDetails": "",
        "responseStatus": status,
        "responderId": None,
        "exception_code": None,
        "matches": [{"id": 0, "segment": text, "translation": text, "quality": 70, "match": 0.85}],
    }
