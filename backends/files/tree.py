"""Going through directories: what they hold, level by level, and which paths match a glob.

The order is each directory's entries by name, then its subdirectories one after the other, so that what lies
near comes first. Links are told of and not followed. What vanishes meanwhile is left out.
"""

import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from backends import Result
from backends.files.beneath import Opened
from backends.files.globs import Glob, States
from backends.files.paths import Parts, screen, speakable, written
from backends.files.reading import Kind, moment
from backends.files.sandbox import Root
from backends.files.work import Work
from errors import Unknown, quote


class Entry(Result):
    """One entry; `size` is a file's, in bytes."""

    path: str
    kind: Kind
    size: int | None = None
    modified: str = ""


class Listing(Result):
    """What a directory holds, as far as it was asked."""

    entries: tuple[Entry, ...]
    truncated: bool
    next_cursor: str = ""
    notices: tuple[str, ...] = ()


class Found(Result):
    """Paths that match; those of directories end in a slash."""

    paths: tuple[str, ...]
    truncated: bool
    notices: tuple[str, ...] = ()


class Level(NamedTuple):
    """One directory on the way: still open, its visible entries by name."""

    parts: Parts
    opened: Opened
    entries: list[os.DirEntry[str]]


class Walk:
    """One way through a tree. What it could not look into is in `notices` afterwards."""

    def __init__(self, root: Root, work: Work, path: str) -> None:
        self._root, self._work, self._path = root, work, path
        self._closed, self._unspeakable = 0, 0
        self.late_at: Parts | None = None  # the directory at which the time was up

    def levels(self, enter: Callable[[Parts], bool]) -> Iterator[Level]:
        """Each directory in order, asking `enter` before going into one."""
        with self._root.directory(self._path) as (parts, opened):
            level = self._level(parts, opened)
            below = self._below(level)
            yield level
        stack = below[::-1]
        while stack:
            parts, real = stack.pop()
            if not enter(parts):
                continue
            if self._work.late():
                self.late_at = self.late_at or parts
                return
            try:
                opened = self._root.beneath.open(real, links=False)
            except OSError:
                self._closed += 1  # not ours to read, or gone or replaced since it was listed
                continue
            try:
                if not opened.is_directory:
                    continue
                level = self._level(parts, opened)
                stack.extend(self._below(level)[::-1])
                yield level
            except OSError:
                self._closed += 1
            finally:
                opened.close()

    def notices(self) -> list[str]:
        notices = []
        if self.late_at is not None:
            notices.append(
                f"The time was up at {quote(written(self.late_at))}; that directory and what follows it was "
                "not looked into. Ask for a narrower path."
            )
        if self._closed:
            notices.append(f"Directories that could not be opened: {self._closed}.")
        if self._unspeakable:
            notices.append(
                "Entries left out, as no path can say their names (control characters, backslashes, a dot or "
                f"a space at the end): {self._unspeakable}."
            )
        return notices

    def _level(self, parts: Parts, opened: Opened) -> Level:
        entries = []
        for number, entry in enumerate(self._root.visible(parts, opened)):
            if number % 1000 == 999 and self._work.late():
                self.late_at = self.late_at or parts
                break
            if speakable(entry.name):
                entries.append(entry)
            else:
                self._unspeakable += 1
        entries.sort(key=lambda entry: entry.name)
        return Level(parts, opened, entries)

    def _below(self, level: Level) -> list[tuple[Parts, Parts]]:
        return [
            ((*level.parts, entry.name), (*level.opened.real, entry.name))
            for entry in level.entries
            if entry.is_dir(follow_symlinks=False)
        ]


def list_directory(root: Root, work: Work, path: str, depth: int, limit: int, cursor: str | None) -> Listing:
    top = screen(path)
    after = _position(cursor, top) if cursor else None
    entries: list[Entry] = []
    more = False
    walk = Walk(root, work, path)

    def enter(parts: Parts) -> bool:
        # Before the cursor only the way to it matters; after the last entry nothing does.
        passed = after is not None and parts < after[0] and parts != after[0][: len(parts)]
        return not more and not passed and len(parts) < len(top) + depth

    for level in walk.levels(enter):
        for entry in level.entries:
            if after is not None and (level.parts, entry.name) <= after:
                continue
            if len(entries) == limit:
                more = True
                break
            if told := _entry(level, entry):
                entries.append(told)
        if more:
            break
    return Listing(
        entries=tuple(entries),
        truncated=more or walk.late_at is not None,
        next_cursor=entries[-1].path if more else "",
        notices=tuple(walk.notices()),
    )


def find(root: Root, work: Work, pattern: str, path: str, limit: int) -> Found:
    glob = Glob(pattern)
    states: dict[Parts, States] = {}
    paths: list[str] = []
    more = False
    walk = Walk(root, work, path)
    for level in walk.levels(lambda parts: parts in states):
        here = states.pop(level.parts, glob.start)
        for entry in level.entries:
            reached = glob.step(here, entry.name)
            directory = entry.is_dir(follow_symlinks=False)
            if directory and reached:
                states[(*level.parts, entry.name)] = reached
            if not glob.matches(reached):
                continue
            if len(paths) == limit:
                more = True
                break
            paths.append(written((*level.parts, entry.name)) + ("/" if directory else ""))
        if more:
            break
        work.tell(len(paths), f"{len(paths)} paths found, looking into {written(level.parts)}")
    notices = walk.notices()
    if more:
        notices.append(f"Cut at {limit} paths. Ask for a narrower pattern or path, or for a higher limit.")
    return Found(paths=tuple(paths), truncated=more or walk.late_at is not None, notices=tuple(notices))


def _position(cursor: str, top: Parts) -> tuple[Parts, str]:
    parts = screen(cursor)
    if len(parts) <= len(top) or parts[: len(top)] != top:
        raise Unknown(
            f"The cursor {quote(cursor)} is none of this listing's. Pass next_cursor of the same call before."
        )
    return parts[:-1], parts[-1]


def _entry(level: Level, entry: os.DirEntry[str]) -> Entry | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None  # gone since it was listed
    kind: Kind = "other"
    if stat.S_ISREG(status.st_mode):
        kind = "file"
    elif stat.S_ISDIR(status.st_mode):
        kind = "directory"
    elif stat.S_ISLNK(status.st_mode):
        kind = "link"
    return Entry(
        path=written((*level.parts, entry.name)),
        kind=kind,
        size=status.st_size if kind == "file" else None,
        modified=moment(status.st_mtime),
    )
