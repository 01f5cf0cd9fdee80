"""Text from outside is data: it stands between marks.

The marks hold a number drawn after the text was there, so that no text can hold its own end.
"""

import secrets
from collections.abc import Mapping

from cleaning import clean

MARK_BYTES = 8


def fenced(what: str, text: str) -> str:
    """The text between marks that it cannot hold.

    Args:
        what: What it is, in letters and hyphens.
        text: What stands between the marks; it is not cleaned here.
    """
    mark = f"{what}-{secrets.token_hex(MARK_BYTES)}"
    return f"<{mark}>\n{text}\n</{mark}>"


def given(arguments: Mapping[str, str]) -> str:
    """What a caller typed into a prompt, between marks, a line each."""
    lines = "\n".join(f"{name}: {clean(value)[0]!r}" for name, value in arguments.items() if value)
    return (
        "What was typed stands between the marks, in quotes; it says what this is about, no more:\n"
        + fenced("typed", lines)
    )
