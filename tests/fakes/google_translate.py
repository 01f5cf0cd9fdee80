"""Google Translate's mobile page (`GET /m`), as deep-translator scrapes it.

A translation is the text with its target behind every line, so that an answer shows its question.
"""

import asyncio
import html

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.fakes.troubles import Troubled

ERROR_PAGE = (
    "Error 500 (Server Error)!!1500.That’s an error.There was an error. Please try again later."
    "That’s all we know."
)


class GoogleTranslate(Troubled):
    """The fake; `habit` is how it answers when it is in no trouble.

    `plain`, or `echo` (the text unchanged), `error page` (with status 200, where the translation stands),
    `captcha` (a page without a translation), `cut page`, `empty`, `one line` (line ends lost), `dots`
    (a full stop for everything), `too long` (more lines than were asked for).
    """

    def __init__(self) -> None:
        self.habit = "plain"
        self.running = self.most_at_once = 0
        super().__init__(Starlette(routes=[Route("/m", self._page)]))

    async def _page(self, request: Request) -> Response:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        await asyncio.sleep(0.002)
        self.running -= 1
        query = request.query_params
        if len(request.url.query) > 16_000:
            return HTMLResponse("<title>Error 414 (Request-URI Too Large)!!1</title>", 414)
        if not {"tl", "sl", "q"} <= set(query) or len(query["q"]) > 5_000:
            return HTMLResponse("<title>Error 400 (Bad Request)!!1</title>", 400)
        return HTMLResponse(self._body(query["q"], query["tl"]))

    def _body(self, text: str, target: str) -> str:
        match self.habit:
            case "echo":
                return _container(html.escape(text).replace("\n", "<br>"))
            case "error page":
                return _container(ERROR_PAGE)
            case "captcha":
                return (
                    "<html><body>Our systems have detected unusual traffic from your computer</body></html>"
                )
            case "cut page":
                return _container("Hola mun").partition("mun")[0]
            case "empty":
                return _container("")
            case "one line":
                return _container(html.escape(" ".join(translated(text, target).split())))
            case "dots":
                return _container(".")
            case "too long":
                return _container("Una<br>línea<br>de más<br>" + html.escape(text))
        return _container("<br>".join(html.escape(line) for line in translated(text, target).split("\n")))


def translated(text: str, target: str) -> str:
    """What the fake makes of a text."""
    return "\n".join(f"{line} ({target})" if line.strip() else line for line in text.split("\n"))


def _container(inner: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8"><title>Google Translate</title></head>'
        '<body><div class="root-container"><div class="header"><div class="logo-container"></div></div>'
        '<form action="/m"><input type="text" name="q" class="input-field"></form>'
        f'<div class="result-container">{inner}</div>'
        '<div class="links-container"><ul><li><a href="https://www.google.com/m?hl=en">Google home</a></li>'
        "</ul></div></div></body></html>"
    )
