"""The deny list: names that are never listed, found, searched or read, whether or not they exist."""

import unicodedata
from collections.abc import Iterable, Sequence

from backends.files.gitignore import Patterns, sift
from backends.files.paths import Parts


class Deny:
    """Matches paths against patterns in .gitignore syntax, blind to what file systems are blind to.

    Case, Unicode composition and invisible characters are ignored: on macOS and Windows `.ENV`, and on
    HFS+ even `.e<zero-width joiner>nv`, open `.env`.

    Raises:
        ValueError: A pattern is not one.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = Patterns(_fold(pattern) for pattern in patterns)

    def hides(self, parts: Parts) -> bool:
        """Whether the path is hidden, whatever it is: a `.git` may be a file that names a directory."""
        if not parts:
            return False
        path = _fold("/".join(parts))
        return self._patterns.matches(path) or self._patterns.matches(path + "/")

    def suspects(self, names: Sequence[str]) -> list[int]:
        """The places of those names, all in one directory that is not hidden, that may be hidden."""
        return sift(names, self._patterns.suspects, fold=True)


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()  # a tenth of the time below, and nearly every name
    text = text.encode("utf-8", "replace").decode()  # a name need not be UTF-8, but RE2 takes nothing else
    visible = "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) != "Cf")
    return visible.casefold()
