"""LibreTranslate as documented: `POST /translate`, `GET /languages`, errors as `{"error": ...}`.

A translation is the text with its target behind every line, so that an answer shows its question.
"""

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.google_translate import ERROR_PAGE, translated
from tests.fakes.troubles import Troubled

LANGUAGES = ("en", "es", "fr", "zh", "zt", "nb", "pt", "pt-BR", "he")


class LibreTranslate(Troubled):
    """The fake; `habit` is how it answers when it is in no trouble.

    `plain`, or `echo`, `error page` (as the translation, status 200), `null`, `empty`, `dots`, `halves`
    (a character that is none), `stuck` (the first answer to every question). `key` is what it asks for.
    """

    def __init__(self) -> None:
        self.fresh()
        routes = [
            Route("/translate", self._translate, methods=["POST"]),
            Route("/languages", self._languages),
        ]
        super().__init__(Starlette(routes=routes))

    def fresh(self) -> None:
        """Forget what a test has set and seen."""
        self.habit, self.key, self.trouble, self.times = "plain", "", "", 1_000_000
        self.running = self.most_at_once = 0
        self.asked: list[dict[str, Any]] = []
        self.first = ""
        self.languages: tuple[str, ...] = LANGUAGES
        self.seen: list[tuple[str, dict[str, str]]] = []

    async def _languages(self, request: Request) -> Response:
        return JSONResponse(
            [
                {"code": code, "name": code, "targets": ["en"] if code == "pt-BR" else list(self.languages)}
                for code in self.languages
            ]
        )

    async def _translate(self, request: Request) -> Response:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        await asyncio.sleep(0.002)
        self.running -= 1
        asked = await request.json()
        self.asked.append(asked)
        if self.key and asked.get("api_key") != self.key:
            return JSONResponse({"error": "Invalid API key"}, 403)
        if {asked["target"], asked["source"]} - {"auto", *self.languages}:
            return JSONResponse({"error": f"{asked['target']} is not supported"}, 400)
        if len(asked["q"]) > 2_000:
            return JSONResponse({"error": "Invalid request: request exceeds text limit"}, 400)
        reply: dict[str, Any] = {"translatedText": self._text(asked["q"], asked["target"])}
        if asked["source"] == "auto":
            reply["detectedLanguage"] = {"confidence": 90.0, "language": "en"}
        return JSONResponse(reply)

    def _text(self, text: str, target: str) -> str | None:
        match self.habit:
            case "echo":
                return text
            case "error page":
                return ERROR_PAGE
            case "null":
                return None
            case "empty":
                return " "
            case "dots":
                return "..."
            case "halves":
                return "Hol\ud800a"
            case "stuck":
                self.first = self.first or translated(text, target)
                return self.first
        return translated(text, target)
