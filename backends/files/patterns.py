"""What is searched for, in UTF-8 text: plain text, or a regular expression on RE2, which knows no bad ones.

RE2 takes time in proportion to text and expression, whatever they are: `(a+)+$` costs what `a` costs. It has
no look-around and no back-references; that is the price. Where it is missing ripgrep, as linear, takes its
place if it is there: it gets the text from us, a block at a time, and sees no file.
"""

import importlib.util
import re
import subprocess
from collections.abc import Callable, Iterator

from errors import TooMuch, Unavailable, Unknown, quote

# Gives where matches begin in a block of lines, in order, at least one for every line that has one.
Finder = Callable[[bytes], Iterator[int]]

MAX_TEXT = 1_000  # characters searched for
_MEMORY = 1 << 20  # bytes for one compiled expression; the largest then costs 10 µs a byte of text
_PATIENCE_S = 5  # for ripgrep with one block
_BY_LINES = b"(?m)"  # ^ and $ are every line's
_BLOCK_ANCHOR = re.compile(r"(?<!\\)(?:\\\\)*\\[Az]")


def has_regex(ripgrep: str | None = None) -> bool:
    """Whether this machine can search for regular expressions."""
    return ripgrep is not None or importlib.util.find_spec("re2") is not None


def plain(text: str) -> Finder:
    """Finds the text itself, case and all."""
    _check_length(text)
    if "\n" in text:
        raise Unknown(f"{quote(text)} spans lines; files_search looks at one line at a time.")
    try:
        needle = text.encode()
    except UnicodeEncodeError as error:
        raise Unknown(f"{quote(text)} holds half a character; no text has one.") from error

    def find(block: bytes) -> Iterator[int]:
        at = block.find(needle)
        while at >= 0:
            yield at
            line_end = block.find(b"\n", at)
            at = block.find(needle, line_end) if line_end >= 0 else -1

    return find


def regular(expression: str, ripgrep: str | None = None) -> Finder:
    """Finds what a regular expression describes, line by line."""
    try:
        re2 = importlib.import_module("re2")
    except ImportError as error:
        if ripgrep:
            return _by_ripgrep(expression, ripgrep)
        raise Unavailable(
            "This machine has no engine for regular expressions. Search for plain text, with regex=false."
        ) from error
    _check_length(expression)
    sent = quote(expression)
    if _BLOCK_ANCHOR.search(expression):
        raise Unknown(f"{sent} has \\A or \\z; lines are searched one by one, so write ^ and $.")
    options = re2.Options()
    options.log_errors = False
    options.never_nl = True  # a match stays in its line
    options.never_capture = True  # half the time: only where a match begins is asked for
    options.max_mem = _MEMORY
    try:
        compiled = re2.compile(_BY_LINES + expression.encode(), options)
        re2.purge()  # its cache would keep the last 128, a megabyte each
    except UnicodeEncodeError as error:
        raise Unknown(f"{sent} holds half a character; no text has one.") from error
    except re2.error as error:
        reason = error.args[0].replace(_BY_LINES, b"", 1).decode("utf-8", "replace")
        raise _not_an_expression(sent, reason) from error

    def find(block: bytes) -> Iterator[int]:
        at = 0
        end = len(block) - block.endswith(b"\n")  # past the last newline no line is left to match
        while at < len(block) and (match := compiled.search(block, at)) and match.start() <= end:
            yield match.start()
            at = block.find(b"\n", match.start()) + 1 or len(block)

    return find


def _by_ripgrep(expression: str, ripgrep: str) -> Finder:
    """Gives where matching lines begin, not where in them."""
    _check_length(expression)
    sent = quote(expression)
    options = (
        "--no-config",
        "--text",
        "--encoding=none",
        "--byte-offset",
        "--no-line-number",
        "--color=never",
    )

    def lines(block: bytes) -> list[bytes]:
        try:
            # Without a shell; of the caller's it has the expression alone, as a part of one argument.
            ended = subprocess.run(  # noqa: S603 - it asks to look where a command is from, as said above
                [ripgrep, *options, f"--regexp={expression}", "--", "-"],
                input=block, capture_output=True, check=False, env={}, timeout=_PATIENCE_S,
            )  # fmt: skip
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:  # ValueError: NUL, half a character
            raise Unavailable(
                f"{sent} cannot be searched for just now. Try plain text, regex=false."
            ) from error
        if ended.returncode > 1:
            raise Unknown(f"{sent} is no regular expression. For plain text, search with regex=false.")
        return ended.stdout.split(b"\n")[:-1]

    lines(b"")

    def find(block: bytes) -> Iterator[int]:
        for line in lines(block):
            yield int(line.partition(b":")[0])

    return find


def _check_length(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise TooMuch(
            f"{quote(text)} is too long: what is searched for holds at most {MAX_TEXT:,} characters."
        )


def _not_an_expression(sent: str, reason: str) -> Unknown | TooMuch:
    """The engine's reason is one of some twenty fixed phrases and a piece of the expression."""
    if "too large" in reason or "repetition size" in reason:
        return TooMuch(
            f"{sent} is too large an expression: repeat at most 1,000 times, nested ones multiplied."
        )
    if "(?" in reason or reason.startswith("invalid escape sequence"):
        return Unknown(
            f"{sent} is no regular expression here: {quote(reason)}. There are no look-arounds and no "
            "back-references."
        )
    return Unknown(
        f"{sent} is no regular expression: {quote(reason)}. For plain text, search with regex=false."
    )
