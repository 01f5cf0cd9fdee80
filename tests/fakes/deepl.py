"""DeepL's `POST /v2/translate` as documented, statuses 403 and 456 included.

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

KEY = "0123-secret-key:fx"


class DeepL(Troubled):
    """The fake; `habit` is how it answers when it is in no trouble.

    `plain`, or `quota` (status 456), `echo`, `error page` (as the translation), `none` (no translation in
    the list), `null`, `empty`, `dots`, `stuck` (the first answer to every question).
    """

    def __init__(self) -> None:
        self.fresh()
        super().__init__(Starlette(routes=[Route("/v2/translate", self._translate, methods=["POST"])]))

    def fresh(self) -> None:
        """Forget what a test has set and seen."""
        self.habit, self.trouble, self.times, self.first = "plain", "", 1_000_000, ""
        self.running = self.most_at_once = 0
        self.asked: list[dict[str, Any]] = []
        self.seen: list[tuple[str, dict[str, str]]] = []

    async def _translate(self, request: Request) -> Response:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        await asyncio.sleep(0.002)
        self.running -= 1
        if request.headers.get("authorization") != f"DeepL-Auth-Key {KEY}":
            return JSONResponse({"message": f"not {request.headers.get('authorization')}"}, 403)
        asked = await request.json()
        self.asked.append(asked)
        if self.habit == "quota":
            return JSONResponse({"message": "Quota Exceeded"}, 456)
        if asked["target_lang"] in ("EN", "PT"):
            return JSONResponse({"message": "target_lang is deprecated"}, 400)
        source = asked.get("source_lang", "EN")
        translations = [
            {
                "detected_source_language": source,
                "text": self._text(text, asked["target_lang"]),
                "billed_characters": len(text),
            }
            for text in asked["text"]
        ]
        return JSONResponse({"translations": [] if self.habit == "none" else translations})

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
            case "stuck":
                self.first = self.first or translated(text, target)
                return self.first
        return translated(text, target)
