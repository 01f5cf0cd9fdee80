"""Searching a directory's files in their order, where it pays with ripgrep's help to leave most unopened."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

from backends.files.beneath import Opened
from backends.files.globs import Glob
from backends.files.ignored import FILES
from backends.files.paths import Parts, screen, written
from backends.files.sandbox import Root
from backends.files.searching import Matches, Position, Query, Search, position_of
from backends.files.sieve import Sieve, expression
from backends.files.walk import Level, Walk
from backends.files.work import Work

_SIEVE_FROM = 150  # files; starting ripgrep takes the time of as many
_WAITING = 100_000  # files collected while it runs: 20 MB of names


class _Names(NamedTuple):
    """The files of one directory that are to be searched."""

    parts: Parts
    real: Parts
    names: list[str]


def search(
    root: Root,
    work: Work,
    query: Query,
    path: str,
    glob: str,
    cursor: str | None = None,
    ignored: bool = False,
    ripgrep: str | None = None,
) -> Matches:
    pattern = Glob(glob)
    after = position_of(cursor, screen(path)) if cursor else None
    found = Search(query, work, after, ripgrep)
    notices: list[str] = []
    late = False
    with root.any(path) as (parts, opened):
        is_file = opened.is_file
        if is_file:
            found.file(opened, written(parts))
    if not is_file:
        walk = Walk(root, work, path, ignoring=not ignored)
        looked_for = expression(query.text, query.regex) if ripgrep else None
        with _Tree(root, work, found, ripgrep if looked_for else None, looked_for or "", not ignored) as tree:
            tree.search(path, walk, pattern, after)
        notices, late = walk.notices(), walk.late_at is not None
    return Matches(
        matches=tuple(found.matches),
        files=found.files,
        truncated=found.ended or late,
        next_cursor=found.next_cursor,
        notices=(*found.notices(), *notices),
    )


class _Tree(ExitStack):
    """One search through a tree; leaving it ends what it has started."""

    def __init__(
        self, root: Root, work: Work, found: Search, ripgrep: str | None, looked_for: str, ignoring: bool
    ) -> None:
        super().__init__()
        self._root, self._work, self._found = root, work, found
        self._ripgrep, self._looked_for, self._ignoring = ripgrep, looked_for, ignoring
        self._sieve: Sieve | None = None
        self._candidates: dict[str, set[str]] | None = None
        self._waiting: list[_Names] = []
        self._count = 0

    def search(self, path: str, walk: Walk, glob: Glob, after: Position | None) -> None:
        top: Parts = ()
        for level, names in _levels(walk, glob, after):
            if not self._count:
                top = level.opened.real
            self._count += max(1, len(names))
            if self._ignoring and (level.odd or _ignores_otherwise(level)):
                self._ripgrep = self._candidates = None
            some = _Names(level.parts, level.opened.real, names)
            if self._ripgrep and self._count > _SIEVE_FROM and self._starts(path, top):
                self._waiting.append(some)
                if self._count > _WAITING:
                    self._sift(top)
            else:
                self._sift(top)
                self._directory(some, top)
            if self._found.ended:
                return
        self._sift(top)

    def _starts(self, path: str, top: Parts) -> bool:
        """Whether ripgrep runs, started if it does not yet."""
        if self._sieve or self._candidates is not None:
            return self._candidates is None
        ripgrep, self._ripgrep = self._ripgrep, None
        with self._root.directory(path) as (_, opened):
            if opened.real != top or ripgrep is None:
                return False
            try:
                ignoring = self._ignoring and not any(map(self._hides, FILES))
                self._sieve = Sieve(ripgrep, opened, self._looked_for, ignoring, self._hides)
            except OSError:
                return False
        self.enter_context(self._sieve)
        self._ripgrep = ripgrep
        return True

    def _hides(self, name: str) -> bool:
        return self._root.hides((name,))

    def _sift(self, top: Parts) -> None:
        """Search what was waiting for ripgrep's word."""
        if self._sieve:
            self._candidates = self._sieve.candidates(self._work) if self._ripgrep else None
            self._sieve = None
            self._ripgrep = None
        waiting, self._waiting = self._waiting, []
        for some in waiting:
            if self._found.ended:
                return
            self._directory(some, top)

    def _directory(self, some: _Names, top: Parts) -> None:
        if not some.names:
            return
        chosen = None
        if self._candidates is not None:
            chosen = self._candidates.get("/".join(some.real[len(top) :]), set())
            if chosen.isdisjoint(some.names):
                self._found.files += len(some.names)
                return
        try:
            opened = self._root.beneath.open(some.real, links=False)
        except OSError:
            self._found.closed += len(some.names)
            return
        try:
            for name in some.names:
                if chosen is not None and name not in chosen:
                    self._found.files += 1
                    continue
                path = written((*some.parts, name))
                if self._found.is_late(path):
                    return
                self._file(opened, name, path)
                if self._found.ended:
                    return
        finally:
            opened.close()

    def _file(self, directory: Opened, name: str, path: str) -> None:
        try:
            file = directory.child(name)
        except OSError:
            self._found.closed += 1
            return
        try:
            if self._root.serves(file):
                self._found.file(file, path)
            else:
                self._found.closed += 1
        except OSError:  # a disk with a bad block, say: the other files are searched all the same
            self._found.closed += 1
        finally:
            file.close()


def _levels(walk: Walk, glob: Glob, after: Position | None) -> Iterator[tuple[Level, list[str]]]:
    """Each directory that a match can lie in, with the names of its files that match the glob."""
    place = (after.parts[:-1], after.parts[-1]) if after else None
    for level, last in walk.matching(glob, place):
        names = [
            entry.name for entry in level.entries if last(entry.name) and entry.is_file(follow_symlinks=False)
        ]
        if place is not None and level.parts <= place[0]:
            names = [name for name in names if (level.parts, name) >= place]
        yield level, names


def _ignores_otherwise(level: Level) -> bool:
    """Whether ripgrep would heed here what we do not: a file of its own, or one that is a link."""
    return any(
        entry.name == ".rgignore" or (entry.name in FILES and not entry.is_file(follow_symlinks=False))
        for entry in level.entries
        if entry.name.startswith(".")
    )
