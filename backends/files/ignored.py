"""What .gitignore and .ignore files say: such names are neither found nor searched, unless that is asked.

The rules are git's, and where the two kinds of file differ ripgrep's: a deeper file comes before a higher one
and any .ignore before any .gitignore. They are an author's wish and no guard: the deny list is that.
"""

import functools
import importlib.util
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from backends.files.beneath import Opened
from backends.files.gitignore import Patterns, sift
from backends.files.paths import Parts

FILES = (".ignore", ".gitignore")
_MOST = 200_000  # bytes of one such file; what follows is not heeded, as compiling it takes seconds
_MOST_STARS = 3  # in a line, where the engine is one that stars can keep busy for hours
# Lines that ripgrep may understand otherwise: it knows braces and other sets than those of plain letters.
_SET = re.compile(rb"\[(?:[0-9A-Za-z_]|0-9|A-Z|a-z)+\]")
_ODD = re.compile(rb"[^\r\n -Z^-z|~]|//|\r(?!\n)|[ ](?:\r?\n|\Z)")


class _Rule(NamedTuple):
    depth: int  # of the directory whose file it comes from
    patterns: Patterns


class Rules(NamedTuple):
    """What holds in one directory, the nearest first; `odd` if ripgrep may leave out more by it."""

    ignore: tuple[_Rule, ...] = ()
    gitignore: tuple[_Rule, ...] = ()
    odd: bool = False

    def within(self, parts: Parts, opened: Opened, names: Sequence[str]) -> "Rules":
        """What holds below a directory, with its own files on top."""
        found = self
        for field in FILES:
            if field in names and (data := _read(opened, field)):
                patterns, odd = _compiled(data)
                rule, odd = _Rule(len(parts), patterns), found.odd or odd
                if field == ".ignore":
                    found = found._replace(ignore=(rule, *found.ignore), odd=odd)
                else:
                    found = found._replace(gitignore=(rule, *found.gitignore), odd=odd)
        return found

    def leave_out(self, parts: Parts, name: str, directory: bool) -> bool:
        path = (*parts, name + "/" if directory else name)
        for rule in (*self.ignore, *self.gitignore):
            if (said := rule.patterns.check("/".join(path[rule.depth :]))) is not None:
                return said
        return False

    def keep(self, parts: Parts, entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
        """The entries of a directory that are not left out."""
        if not (self.ignore or self.gitignore):
            return entries
        names = [entry.name for entry in entries]
        places = {
            place
            for rule in (*self.ignore, *self.gitignore)
            for place in sift(names, rule.patterns.suspects, fold=False)
        }
        gone = {
            place
            for place in places
            if self.leave_out(parts, names[place], entries[place].is_dir(follow_symlinks=False))
        }
        return [entry for at, entry in enumerate(entries) if at not in gone] if gone else entries


def _read(opened: Opened, name: str) -> bytes:
    try:
        file = opened.child(name)
    except OSError:
        return b""  # a link, or gone
    try:
        if not file.is_file:
            return b""
        return os.read(file.handle, _MOST + 1)
    except OSError:
        return b""
    finally:
        file.close()


@functools.lru_cache(maxsize=64)
def _compiled(data: bytes) -> tuple[Patterns, bool]:
    odd = len(data) > _MOST or bool(_ODD.search(_SET.sub(b"x", data)))
    if len(data) > _MOST:
        data = data[: data.rfind(b"\n", 0, _MOST) + 1]
    lines = [_inside(line.removesuffix("\r")) for line in data.decode("utf-8-sig", "replace").split("\n")]
    if importlib.util.find_spec("re2") is None:
        lines = [line for line in lines if line.count("*") <= _MOST_STARS]
    return Patterns(lines, lenient=True), odd


def _inside(line: str) -> str:
    """`build/**` means all that is in it, from which a line after it may take something back."""
    return line + "/*" if line.endswith("/**") else line
