"""The page at `/`, for people: what this server is, how to connect to it, and the tools open to them.

It holds nothing that anybody may not know, so that everybody gets the same bytes without a token. What only
callers may know its script asks of /mcp, with the token that its reader pastes.
"""

import gzip
import hashlib
import json
import re
from base64 import b64encode
from html import escape
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from commands.connect import FILES, Target, claude_code, entry, inspector

# What a caller needs, by ALMANAC_AUTH_MODE; without one, nothing.
NEEDS = {"tokens": "token", "jwt": "token", "oauth": "sign-in"}

FILES_OF_PAGE = Path(__file__).with_name("page")
URL = "https://almanac.example/mcp"  # the script puts the address in that the page was opened by
PLAIN = "http://almanac.example/mcp"  # without TLS on another machine, which one client has to be told
PLACEHOLDER = "YOUR-TOKEN"
MARK = re.compile(r"\{\{([a-z-]+)\}\}")
CURL = """\
curl -sS "{url}" \\
  -H "Content-Type: application/json" \\
  -H "Accept: application/json, text/event-stream" \\
{token}  -d '{{"jsonrpc":"2.0","id":1,"method":"tools/list"}}'"""


class Page:
    """Answers GET and HEAD of `/` and hands on everything else.

    Args:
        app: What takes what is handed on.
        mode: How callers are let in: ALMANAC_AUTH_MODE.
    """

    def __init__(self, app: ASGIApp, mode: str | None) -> None:
        self._app = app
        self.document, self.headers = document(NEEDS.get(mode or "", "open"))
        self._packed = gzip.compress(self.document, mtime=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        status, body = 200, self.document
        if self.headers["ETag"] in re.split(r"\s*,\s*", asked.get("if-none-match", "")):
            status, body = 304, b""
        elif "gzip" in re.split(r"[\s,;]+", asked.get("accept-encoding", "")):
            body = self._packed
            headers.append((b"content-encoding", b"gzip"))
        if status == 200:
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def document(needs: str) -> tuple[bytes, dict[str, str]]:
    """The page, in one piece, and its headers."""
    style, script = _text("page.css"), _text("page.js")
    parts = {"access": needs, "style": style, "script": script, "url": URL, "placeholder": PLACEHOLDER}
    parts |= {
        client: _blocks(client, PLACEHOLDER if needs == "token" else "") for client in (*FILES, "inspector")
    }
    parts["curl"] = _block(curl("" if needs == "open" else PLACEHOLDER))
    page = MARK.sub(lambda mark: parts[mark[1]], _text("page.html")).encode()
    policy = {
        "default-src": "'none'",
        "script-src": _hashed(script),
        "style-src": _hashed(style),
        "img-src": "data:",  # its icon
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    closed = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
    return page, {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Not no-referrer: some browsers then send `Origin: null` with a POST, even to where the page is from.
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": ", ".join([*(f"{name}=()" for name in closed), "clipboard-write=(self)"]),
        "Cross-Origin-Resource-Policy": "same-origin",
        # Kept, and asked for at each visit: an answer without a body, as long as nothing has changed.
        "Cache-Control": "no-cache",
        "ETag": f'W/"{hashlib.sha256(page).hexdigest()[:32]}"',
        "Vary": "Accept-Encoding",
    }


def curl(token: str, url: str = URL) -> str:
    """The command that lists the tools."""
    return CURL.format(url=url, token=f'  -H "Authorization: Bearer {token}" \\\n' if token else "")


def _blocks(client: str, token: str) -> str:
    """What is copied for one client; two of it where it differs without TLS."""
    text, plain = (_snippet(client, Target("almanac", {}, url, token)) for url in (URL, PLAIN))
    if plain.replace(PLAIN, URL) == text:
        return _block(text)
    return _block(text, ' data-reach="tls"') + _block(plain.replace(PLAIN, URL), ' data-reach="plain" hidden')


def _snippet(client: str, target: Target) -> str:
    if client in ("claude-code", "inspector"):
        return typed(claude_code(target) if client == "claude-code" else inspector(target))
    return json.dumps({FILES[client].key: {target.name: entry(client, target)}}, indent=2)


def typed(command: list[str]) -> str:
    """As it is typed in any shell, cmd and PowerShell too: these know no single quotes."""
    return " ".join(part if re.fullmatch(r"[\w@/.=-]+", part) else f'"{part}"' for part in command)


def _block(text: str, attributes: str = "") -> str:
    return f'<div class="code"{attributes}><pre><code>{escape(text)}</code></pre></div>'


def _text(name: str) -> str:
    return (FILES_OF_PAGE / name).read_text(encoding="utf-8")


def _hashed(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
