"""Takes out of a text what its reader does not see: what steers a terminal, turns lines round, or hides."""

import functools
import re
from collections import Counter
from itertools import islice

_SELECTOR = "[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
# What is not seen, by kind and in this order. Line ends and tabs stay, and so do joiners and variation
# selectors that follow a character they can belong to: Persian, Hindi and emoji need them. A sequence ends
# at a quote or a backslash, which may be JSON's own.
_UNSEEN = {
    "terminal": "\x1b(?:\\[[0-?]*[ !#-/]*[@-Z^-~]|\\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\\\)?|[ -/]*[0-~])?"
    "|\x9b[0-?]*[ !#-/]*[@-Z^-~]?",
    "control": "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]",
    "direction": "[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]",
    "tag": "[\U000e0000-\U000e007f]",
    "invisible": "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0080-\U000e00ff\U000e01f0-\U000e0fff\U0001d173-\U0001d17a]",
    # The class comes first and then what was before it: so a page is searched in a hundredth of the time.
    "joiner": "[\u200c\u200d](?:(?<![\u0590-\U000e0000].)|(?<=[\u200c\u200d]{2}))[\u200c\u200d]*",
    "selector": f"{_SELECTOR}(?:(?<![\u00a9\u00ae#*0-9\u1000-\U0001faff].)|(?<={_SELECTOR}{{2}}))"
    f"{_SELECTOR}*",
}
# All of that and the characters kept beside some others, in few ranges: 4 ns a character instead of 8.
_MAYBE = (
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# In a JSON text a control character is an escape; a pair of backslashes is passed over as one.
_ESCAPED = re.compile(
    r"\\(?:u001b(?:\[[0-?]*[ !#-/]*[@-Z^-~]"
    r"|\](?:[^\"\\]|\\(?!u00(?:07|1b)).){0,2000}(?:\\u0007|\\u001b\\\\)?)?"
    r"|(u00(?:[01][0-9a-f]|7f|[89][0-9a-f]))|[bf]|.)",
    re.DOTALL,
)


@functools.cache
def _unseen() -> dict[str, re.Pattern[str]]:
    return {kind: re.compile(form) for kind, form in _UNSEEN.items()}


@functools.cache
def maybe_unseen() -> re.Pattern[str]:
    return re.compile(_MAYBE)


def printable(text: str, but: str = "") -> str:
    """The text with a mark for each character that a terminal would obey, or not show, but for these."""
    if text.isprintable():
        return text
    shown = (sign if sign.isprintable() or sign in but else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return "".join(shown)


def clean(text: str, is_json: bool = False) -> tuple[str, dict[str, int]]:
    """The text without what is not seen, and how much of it there was, by kind.

    Args:
        text: Any text.
        is_json: Whether it is JSON, in which a control character is an escape.
    """
    removed: Counter[str] = Counter()

    def drop_escaped(found: re.Match[str]) -> str:
        if found[0].startswith("\\u001b"):
            removed["terminal"] += 1
        elif found[1] or found[0] in ("\\b", "\\f"):
            removed["control"] += 1
        else:
            return found[0]
        return ""

    if not (text.isascii() and text.isprintable()) and maybe_unseen().search(text):
        for kind, form in islice(_unseen().items(), 2 if text.isascii() else None):  # the first two are ASCII
            text, count = form.subn("", text)
            removed["invisible" if kind in ("joiner", "selector") else kind] += count
    if is_json and "\\" in text:
        text = _ESCAPED.sub(drop_escaped, text)
    return text, {kind: count for kind, count in removed.items() if count}
