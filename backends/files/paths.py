"""What a path may look like: relative to the sandbox, `/` between names, nothing that climbs or deceives.

The screen looks at text only, before anything is opened; what the text leads to is `sandbox.py`'s affair.
Each refusal has its own sentence and shows nothing but what was sent.
"""

import os
import re
import string
from collections.abc import Sequence

from errors import Forbidden, TooMuch, Unknown, quote

Parts = tuple[str, ...]

MAX_NAME = 255  # bytes in one name: NAME_MAX of every file system in use
MAX_PATH = 4096  # bytes in one path: Linux's PATH_MAX
WINDOWS = os.name == "nt"

_DRIVE = re.compile(r"[A-Za-z]:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # C0, DEL, C1, line and paragraph separators
_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair: what JSON can say and UTF-8 cannot
_PLAIN = re.compile(r"\w|[\w-][\w .-]{0,100}[\w-]", re.ASCII)  # most names, told in a tenth of the time
_EVERYDAY = (string.ascii_letters + string.digits + "_ .-\n").encode()
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]')


def screen(path: str) -> Parts:
    """The names that a path is made of; "" and "." are the sandbox itself, `()`."""
    _check_text(path)
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    for part in parts:
        _check_name(path, part)
    return parts


def written(parts: Parts) -> str:
    """The path as the caller writes it."""
    return "/".join(parts) or "."


def speakable(name: str) -> bool:
    """Whether a name that lies in a directory can be written in a path at all."""
    if not WINDOWS and _PLAIN.fullmatch(name):
        return True
    try:
        return screen(name) == (name,)
    except (Forbidden, TooMuch, Unknown):
        return False


def all_speakable(names: Sequence[str]) -> bool:
    """Whether all of them certainly can, told at once; False says nothing of any one."""
    plain = "\n".join(names) + "\n"
    return (
        not WINDOWS
        and plain.isascii()
        and not plain.encode().translate(None, _EVERYDAY)
        and ".\n" not in plain
        and " \n" not in plain
        and len(max(names, key=len)) <= MAX_NAME
    )


def _check_text(path: str) -> None:
    sent = quote(path)
    if "\0" in path:
        raise Forbidden(f"{sent} holds a NUL character; no path does.")
    if _CONTROL.search(path):
        raise Forbidden(f"{sent} holds a control character, such as a line's end; no path here does.")
    if _HALF.search(path):
        raise Forbidden(f"{sent} is not valid Unicode: it holds half a character; no path does.")
    if len(path.encode()) > MAX_PATH:
        raise TooMuch(f"{sent} is too long: a path holds at most {MAX_PATH} bytes.")
    if _SCHEME.match(path):
        raise Unknown(f"{sent} is a URI. Give the path alone, like 'docs/notes.md'; files_list shows them.")
    if path.startswith("\\\\") or path.startswith("//"):
        raise Forbidden(f"{sent} names another machine. Paths here lie in the sandbox: files_list shows it.")
    if _DRIVE.match(path) and path[2:3] in ("\\", ""):
        raise Forbidden(f"{sent} names a drive. Paths here start at the sandbox's top, like 'docs/notes.md'.")
    if "\\" in path:
        raise Forbidden(f"{sent} holds a backslash. Write / between names, like 'docs/notes.md'.")
    if path.startswith("/"):
        raise Forbidden(
            f"{sent} is absolute. Paths here start at the sandbox's top, like 'docs/notes.md'; "
            "files_list shows what is there."
        )


def _check_name(path: str, name: str) -> None:
    sent = quote(path)
    if name == "..":
        raise Forbidden(f"{sent} climbs with '..'. Write the path from the sandbox's top, without it.")
    if _DRIVE.match(name):
        raise Forbidden(f"{sent} names a drive. Paths here start at the sandbox's top, like 'docs/notes.md'.")
    if name.endswith((".", " ")):
        raise Forbidden(
            f"{sent} has a name that ends in a dot or a space; some systems drop those, so none may."
        )
    if len(name.encode()) > MAX_NAME:
        raise TooMuch(f"{sent} has a name that is too long: one holds at most {MAX_NAME} bytes.")
    if WINDOWS and (_DEVICE.fullmatch(name) or _NOT_ON_WINDOWS.search(name)):
        raise Forbidden(f"{sent} has a name that Windows keeps for devices and streams.")
