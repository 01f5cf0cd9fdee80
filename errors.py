"""The only words for "no": a refusal tells the model what was wrong and what to do next.

A refusal quotes what was sent and names the next step by tool name. It holds no class name, server
path, environment value or key. Everything else that goes wrong is the server's fault and is masked
by `middleware/errors.py`.
"""

import difflib
import heapq
import logging
from collections.abc import Iterable

from fastmcp.exceptions import ToolError

MOST_COMPARED = 500  # names; each takes 10 µs


class Refusal(ToolError):
    """A "no" that the caller can act on. Raise one of the four kinds below, never this class."""

    def __init__(self, text: str) -> None:
        super().__init__(text, log_level=logging.INFO)  # the caller has to act, not the operator


class Unknown(Refusal):
    """There is no such thing; the text says how to find one."""


class Forbidden(Refusal):
    """This is never allowed; the text says what is."""


class TooMuch(Refusal):
    """Too large, too long or too often; the text says how to ask for less, or when to come back."""


class Unavailable(Refusal):
    """Someone else failed; the text says what still works."""


def quote(text: str, limit: int = 60) -> str:
    """What the caller sent, on one line in quotes, cut at `limit` characters."""
    start = text[: 4 * limit]  # a caller may send megabytes: cleaning 3 MB held everybody for a second
    line = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    return f"'{line[:limit]}…'" if len(line) > limit or len(text) > len(start) else f"'{line}'"


def did_you_mean(word: str, known: Iterable[str], most: int = 3) -> str:
    """ " Did you mean 'a' or 'b'?" for the nearest known names, or nothing if none is near."""
    sent = word[:200].casefold()
    folded = {name[:200].casefold(): name for name in known}
    folded.pop(sent, None)  # it is known, but not where it was looked for
    if len(folded) > MOST_COMPARED:  # 20,000 names held everybody for half a second
        alike = (name for name in folded if name[:1] == sent[:1] and abs(len(name) - len(sent)) <= 2)
        nearest = heapq.nsmallest(MOST_COMPARED, alike, key=lambda name: sum(map(str.__ne__, name, sent)))
        folded = {name: folded[name] for name in nearest}
    near = [folded[name] for name in difflib.get_close_matches(sent, folded, n=most, cutoff=0.6)]
    if not near:
        return ""
    *first, last = (quote(name) for name in near)
    return f" Did you mean {', '.join(first)} or {last}?" if first else f" Did you mean {last}?"
