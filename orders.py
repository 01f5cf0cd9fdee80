"""Finds the phrases in a text that read as orders to a model; they are told of and stay.

A file about prompts is full of them.
"""

import functools
import importlib.util
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from cleaning import maybe_unseen

LARGE = 50_000  # characters; RE2 takes 1.3 ms for a million, and 60 ms to be imported
MOST_ORDERS = 10  # that are told of
MOST_PLACES = 20_000  # of each needle that are looked at more closely, 2 µs each
AROUND = 120  # characters before and after

# What is looked for: words in lower case, which are found first as few texts have any, the order that has one
# of them in it, and whether the order begins with that word.
_IGNORE = ("ignor", "disregard", "forget", "overrid", "bypass")
_ORDERS: tuple[tuple[tuple[str, ...], str, bool], ...] = (
    (
        _IGNORE,
        r"(?:ignore|disregard|forget|override|bypass)\b\W+(?:[\w']+\W+){0,6}?"
        r"(?:instruction|prompt|rule|guideline|directive|polic)\w*",
        True,
    ),
    (
        _IGNORE,
        r"(?:ignore|disregard|forget)\b\W+(?:[\w']+\W+){0,4}?(?:previous|prior|above|earlier)\b",
        True,
    ),
    (("system prompt",), r"\b(?:your|new|the|my|this)\s+system\s+prompt\b|\bsystem\s+prompt\s*:", False),
    (("you are now",), r"you are now\s+(?:an?|the|in|free|called|no longer)\b", True),
    (("from now on",), r"from now on,?\s+(?:you|always|never|only|answer|respond)\b", True),
    (
        ("<|",),
        r"<\|\s?(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\b[^|]{0,20}\|?>?",
        True,
    ),
    (
        ("[inst", "[/inst", "<system", "</system", "<assistant", "</assistant"),
        r"\[/?inst\]|</?(?:system|assistant)(?:[-_]?(?:prompt|message|instructions?))?>",
        True,
    ),
    (
        ("the user",),
        r"\b(?:do not|don't|never|without)\s+(?:\w+\s+){0,2}?"
        r"(?:tell|inform|mention|ask|show|alert|notify)(?:ing)?\s+(?:\w+\s+){0,4}?the\s+user\b",
        False,
    ),
    (
        ("instruc", "istruzion"),
        r"\b(?:follow|obey|execute)\s+(?:only\s+)?(?:these|the following|my|new)\s+instructions?\b"
        r"|\bnew\s+instructions?\s*:"
        r"|\b(?:ignor[ae]\w*|olvida\w*|oubli\w+|esquec\w+|dimentic\w+)\s+(?:\w+\s+){0,5}?"
        r"(?:instruc\w+|istruzion\w+)",
        False,
    ),
    (
        ("anweisung",),
        r"\b(?:ignorier\w*|vergiss|missacht\w*)\s+(?:\w+\s+){0,5}?anweisung\w*",
        False,
    ),
    (("инструкц",), r"игнорир\w+\s+(?:\w+\s+){0,5}?инструкц\w+", False),
    (
        ("指令", "指示", "说明"),
        r"(?:忽略|无视|無視|忘记|忘掉)[^\n。]{0,12}(?:指令|指示|说明)|指示[^\n。]{0,6}無視",
        False,
    ),
)
NEEDLES = tuple(dict.fromkeys(needle for needles, _, _ in _ORDERS for needle in needles))
# Each needle has one of these in it, so that a text without them, as most are, is looked through less often.
HINTS = (
    "ignor", "disregard", "forget", "overrid", "bypass", "system", " now", "inst", "assist", "<|", "the user",
    "istruz", "anweis", "инструкц", "指", "说明",
)  # fmt: skip
# What is a Latin letter when case does not matter; all else keeps its place in lower case.
_ODD_CASES = (("\u0130", "i"), ("\u0131", "i"), ("\u017f", "s"), ("\u212a", "k"))


@functools.cache
def _orders() -> tuple[tuple[tuple[str, ...], re.Pattern[str], bool], ...]:
    return tuple((needles, re.compile(form, re.IGNORECASE), first) for needles, form, first in _ORDERS)


@functools.cache
def _seen() -> bytes:
    """The ASCII characters of which none is unseen."""
    return bytes(code for code in range(128) if not maybe_unseen().match(chr(code)))


@functools.cache
def _quick() -> Any:
    """RE2's one pass over UTF-8 for whatever needs a closer look; None where RE2 is not installed."""
    if importlib.util.find_spec("re2") is None:
        return None
    import re2  # type: ignore[import-untyped]

    needles = "|".join(map(re.escape, NEEDLES)).replace(r"\ ", r"(?:\s|\\[nrt]){1,2}")
    return re2.compile(rf"(?i){needles}|\\u00|{maybe_unseen().pattern}".encode())


def is_plain(text: str) -> bool:
    """Whether nothing in a text needs a closer look; quick, and no only if there may be something."""
    if len(text) >= LARGE and (quick := _quick()) is not None:
        return quick.search(text.encode("utf-8", "surrogatepass")) is None
    # What is left without the ASCII that is seen is little, if anything: a tenth of the time.
    rest = text.encode("utf-8", "surrogatepass").translate(None, _seen())
    if rest and maybe_unseen().search(rest.decode("utf-8", "surrogatepass")):
        return False
    if "\\" in text and "\\u00" in text:
        return False
    lowered = _lowered(_spaced(text))
    for hint in HINTS:
        if hint in lowered:
            return not any(needle in lowered for needle in NEEDLES)
    return True


def orders(text: str) -> tuple[str, ...]:
    """Phrases that read as orders to a model, each once, as far as they are known and ten at most."""
    text = _spaced(text)
    lowered = _lowered(text)
    met: list[tuple[int, int]] = []
    for needles, order, first in _orders():
        for needle in needles:
            met += (_at if first else _around)(text, lowered, needle, order)
    shown: dict[str, None] = {}
    after = 0
    for start, end in sorted(met, key=lambda span: (span[0], -span[1])):
        if start >= after:  # of two that overlap, the one that begins first
            shown.setdefault(" ".join(text[start:end].split())[:80].replace("'", "’"))
            after = end
        if len(shown) >= MOST_ORDERS:
            break
    return tuple(shown)


def _at(text: str, lowered: str, needle: str, order: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Where orders are that begin with this needle."""
    for at in islice(_places(lowered, needle), MOST_PLACES):
        if at and needle[0].isalpha() and text[at - 1].isalnum():  # it is a part of a word
            continue
        if found := order.match(text, at, at + len(needle) + AROUND):
            yield found.span()


def _around(text: str, lowered: str, needle: str, order: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Where orders are that have this needle in them; what lies around two of them is searched once."""
    start = end = 0
    for at in islice(_places(lowered, needle), MOST_PLACES):
        if at - AROUND > end:
            yield from (found.span() for found in order.finditer(text, start, end))
            start = at - AROUND
        end = at + len(needle) + AROUND
    yield from (found.span() for found in order.finditer(text, start, end))


def _places(lowered: str, needle: str) -> Iterator[int]:
    """Where a needle is; `str.find` takes a hundredth of the time of an expression."""
    at = lowered.find(needle)
    while at >= 0:
        yield at
        at = lowered.find(needle, at + len(needle))


def _spaced(text: str) -> str:
    """The text with a space for each line end and tab, and for those of JSON: orders go over lines."""
    if "\\" in text:
        text = text.replace("\\r\\n", " ").replace("\\n", " ").replace("\\r", " ").replace("\\t", " ")
    return text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ").replace("\t", " ")


def _lowered(text: str) -> str:
    """The text in lower case, each character in its place."""
    if not text.isascii():
        for odd, plain in _ODD_CASES:
            text = text.replace(odd, plain)
    return text.lower()
