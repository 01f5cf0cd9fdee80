"""Apertium's stream format: what its de- and reformatter make of a text, and which words were unknown."""

import re
from collections import Counter

_BLANK = re.compile(r"([ \t\r\n~]+)")
_SPECIAL = re.compile(r"[\[\]\\^$/<>{}@]")
_FORMAT = re.compile(r"\.\[\]|\\(.)|[\[\]]", re.DOTALL)
# Not known at all, or known with no word for it in the other language.
_UNKNOWN = re.compile(r"\\.|\^[*@]((?:\\.|[^\\$<])*)", re.DOTALL)


def to_stream(text: str) -> str:
    """What `apertium-destxt` makes of a text: blanks in brackets, the stream's own signs escaped."""
    body = text.rstrip(" \t\r\n~")
    end = text[len(body) :]
    stream = "".join(
        part if part == " " else _as_blank(part) if _BLANK.fullmatch(part) else _SPECIAL.sub(r"\\\g<0>", part)
        for part in _BLANK.split(body)
    )
    return f"{stream}.[]" + (end if end in ("", " ") else f"[{end}]")


def _as_blank(blank: str) -> str:
    # A blank line ends a sentence, whether or not it has a full stop.
    return (".[]" if "\n\n" in blank else "") + f"[{blank}]"


def from_stream(stream: str) -> str:
    """What `apertium-retxt` makes of a stream."""
    return _FORMAT.sub(lambda match: match[1] or "", stream)


def unknown_words(stream: str) -> Counter[str]:
    """The words marked unknown in what reaches the programs that write words, and how often."""
    return Counter(match[1] for match in _UNKNOWN.finditer(stream) if match[1])
