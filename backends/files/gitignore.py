"""Patterns in .gitignore syntax, and which of a directory's names they may mean.

Matching one path takes 3 µs. Nearly all names match nothing, so a whole directory's are first looked over in
one pass, by an expression that lets through all that could match and little else: 10,000 in 2 ms.
"""

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_WILD = re.compile(r"\*+")
_TOGETHER = 1_000  # lines that are matched at once: RE2's memory ends at some 1,500
_MOST_SEARCHED = 100_000  # characters of that expression; RE2 complains to standard error about longer ones


class Patterns:
    """Compiled lines.

    Args:
        lenient: Whether a line that is no pattern is left out, as git does, and not refused.

    Raises:
        ValueError: A line is no pattern.
    """

    def __init__(self, lines: Iterable[str], lenient: bool = False) -> None:
        lines = [line for line in lines if line.strip()]
        some = [lines[at : at + _TOGETHER] for at in range(0, len(lines), _TOGETHER)] or [[]]
        self._specs = [spec for part in some for spec in _compiled(part, lenient)][::-1]
        self._search = _searcher(_loose(line) for line in lines)

    def check(self, path: str) -> bool | None:
        """Whether a path (a directory's with / at its end) is meant, taken back, or not spoken of."""
        for spec in self._specs:  # the last line that speaks of it counts
            if (said := spec.check_file(path).include) is not None:
                return said
        return None

    def matches(self, path: str) -> bool:
        return self._specs[0].match_file(path) if len(self._specs) == 1 else bool(self.check(path))

    def suspects(self, names: str) -> set[str]:
        """Those of the names, ASCII and a line each, that a pattern could mean."""
        return self._search(names)


def _compiled(lines: list[str], lenient: bool) -> "Iterator[GitIgnoreSpec]":
    from pathspec import GitIgnoreSpec

    try:
        spec = GitIgnoreSpec.from_lines(lines)
    except Exception as error:  # `[z-a]` is an error of re, too many lines one of RE2: no common ancestor
        if len(lines) > 1:
            yield from _compiled(lines[: len(lines) // 2], lenient)
            yield from _compiled(lines[len(lines) // 2 :], lenient)
        elif not lenient:
            raise ValueError("a pattern cannot be compiled") from error
    else:
        yield spec


def sift(names: Sequence[str], of: Callable[[str], set[str]], fold: bool) -> list[int]:
    """The places of names that have to be looked at one by one: suspects, and what is no plain ASCII."""
    plain, odd = "\n".join(names), []
    if not plain.isascii() or plain.count("\n") >= max(1, len(names)):
        odd = [at for at, name in enumerate(names) if not name.isascii() or "\n" in name]
        left_out = set(odd)
        plain = "\n".join(name for at, name in enumerate(names) if at not in left_out)
    if not (found := of(plain.lower() if fold else plain)):
        return odd
    chosen = {at for at, name in enumerate(names) if (name.lower() if fold else name) in found}
    return sorted(chosen.union(odd))


def _loose(line: str) -> str:
    """An expression for the last name in a pattern, which lets through what the pattern does and more."""
    line = line.rstrip()
    if not line or line.startswith(("#", "!")):
        return ""
    last = line.rstrip("/").rpartition("/")[2]
    if not last.isascii() or set(last) & set("[\\"):
        return r"[^\n]*"
    return "[^\\n]*".join(
        "".join(r"[^\n]" if letter == "?" else re.escape(letter) for letter in piece)
        for piece in _WILD.split(last)
    )


def _searcher(alternatives: Iterable[str]) -> Callable[[str], set[str]]:
    distinct = sorted({alternative for alternative in alternatives if alternative})
    if not distinct:
        return lambda _: set()
    expression = f"(?m)^(?:{'|'.join(distinct)})$"
    if len(expression) > _MOST_SEARCHED:
        return lambda names: set(names.split("\n"))
    try:  # in a tenth of the time
        re2 = importlib.import_module("re2")
        quick = re2.compile(expression.encode())
    except Exception:  # not installed, or the patterns outgrow its memory: errors of two families
        slow = re.compile(expression)
        return lambda names: {match.group() for match in slow.finditer(names)}
    return lambda names: {match.group().decode() for match in quick.finditer(names.encode())}
