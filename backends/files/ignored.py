"""What .gitignore and .ignore files say: such names are neither found nor searched, unless that is asked.

The rules are git's, and where the two kinds of file differ ripgrep's: a deeper file comes before a higher one
and any .ignore before any .gitignore. They are an author's wish and no guard: the deny list is that.
"""

import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

from backends.files.beneath import Opened
from backends.files.gitignore import Patterns, sift
from backends.files.paths import Parts

FILES = (".ignore", ".gitignore")
_MOST = 1_000_000  # bytes of one such file


class _Rule(NamedTuple):
    depth: int  # of the directory whose file it comes from
    patterns: Patterns


class Rules(NamedTuple):
    """What holds in one directory, the nearest first."""

    ignore: tuple[_Rule, ...] = ()
    gitignore: tuple[_Rule, ...] = ()

    def within(self, parts: Parts, opened: Opened, names: Sequence[str]) -> "Rules":
        """What holds below a directory, with its own files on top."""
        found = self
        for field in FILES:
            if field in names and (patterns := _read(opened, field)):
                known = getattr(found, field[1:])
                found = found._replace(**{field[1:]: (_Rule(len(parts), patterns), *known)})
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


def _read(opened: Opened, name: str) -> Patterns | None:
    try:
        file = opened.child(name)
    except OSError:
        return None  # a link, or gone
    try:
        if not file.is_file or not isinstance(file.where, int):
            return None
        return _compiled(os.read(file.where, _MOST))
    except OSError:
        return None
    finally:
        file.close()


@functools.lru_cache(maxsize=64)
def _compiled(data: bytes) -> Patterns | None:
    lines = data.decode("utf-8-sig", "replace").splitlines()
    try:
        return Patterns(lines)
    except ValueError:  # git skips the line that is none; which one it is only trying tells
        return Patterns(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    try:
        Patterns([line])
    except ValueError:
        return False
    return True
