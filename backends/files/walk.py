"""Going through directories, level by level, in an order that can be left and taken up again.

The order is each directory's entries by name, then its subdirectories one after the other, so that what lies
near comes first. Links are told of and not followed. What vanishes meanwhile is left out.
"""

import os
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple

from backends.files.beneath import Opened
from backends.files.globs import Glob, States
from backends.files.ignored import FILES, Rules
from backends.files.paths import Parts, all_speakable, screen, speakable, written
from backends.files.sandbox import Root
from backends.files.work import Work
from errors import Unknown, quote

Place = tuple[Parts, str]  # where an entry stands in the order: its directory, then its name

_by_name = attrgetter("name")


class Level(NamedTuple):
    """One directory on the way: still open, its visible entries by name."""

    parts: Parts
    opened: Opened
    entries: list[os.DirEntry[str]]
    odd: bool = False  # whether ripgrep may leave out more than we do

    def after(self, place: Place | None) -> list[os.DirEntry[str]]:
        """The entries that come after a place."""
        if place is None or self.parts > place[0]:
            return self.entries
        return [entry for entry in self.entries if (self.parts, entry.name) > place]


class _Directory(NamedTuple):
    parts: Parts  # as it was asked for
    real: Parts  # where it lies
    rules: Rules


class Walk:
    """One way through a tree. What it could not look into is in `notices` afterwards.

    Args:
        ignoring: Whether what .gitignore and .ignore files say is left out. What `path` names is not.
    """

    def __init__(self, root: Root, work: Work, path: str, ignoring: bool = False) -> None:
        self._root, self._work, self._path, self._ignoring = root, work, path, ignoring
        self._closed, self._unspeakable, self._ignored = 0, 0, 0
        self.late_at: Parts | None = None  # the directory at which the time was up

    def levels(self, enter: Callable[[Parts], bool]) -> Iterator[Level]:
        """Each directory in order, asking `enter` before going into one."""
        with self._root.directory(self._path) as (parts, opened):
            rules = self._rules_above(opened.real) if self._ignoring else Rules()
            top = _Directory(parts, opened.real, rules)
            level, rules = self._level(top, opened)
            below = _below(level, rules)
            yield level
        stack = below[::-1]
        while stack:
            directory = stack.pop()
            if not enter(directory.parts):
                continue
            if self._work.late():
                self.late_at = self.late_at or directory.parts
                return
            try:
                opened = self._root.beneath.open(directory.real, links=False)
            except OSError:
                self._closed += 1  # not ours to read, or gone or replaced since it was listed
                continue
            try:
                if not opened.is_directory:
                    continue
                level, rules = self._level(directory, opened)
                stack.extend(_below(level, rules)[::-1])
                yield level
            except OSError:
                self._closed += 1
            finally:
                opened.close()

    def matching(self, glob: Glob, after: Place | None) -> Iterator[tuple[Level, Callable[[str], object]]]:
        """Each directory after a place that a match can lie in, and what tells which of its names match."""
        states: dict[Parts, States] = {}
        for level in self.levels(lambda parts: parts in states and not is_passed(parts, after)):
            here = states.pop(level.parts, glob.start)
            for entry in level.entries:
                if entry.is_dir(follow_symlinks=False) and (reached := glob.step(here, entry.name)):
                    states[(*level.parts, entry.name)] = reached
            yield level, glob.last(here)

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
        if self._ignored:
            notices.append(
                f"Entries left out, as .gitignore or .ignore files say: {self._ignored}. With ignored=true "
                "they are not."
            )
        return notices

    def _rules_above(self, real: Parts) -> Rules:
        """What the directories above the start say, unless it is left out itself: then it is wanted."""
        rules = Rules()
        for depth in range(len(real)):
            try:
                opened = self._root.beneath.open(real[:depth], links=False)
            except OSError:
                return Rules()
            try:
                rules = rules.within(real[:depth], opened, FILES)
            finally:
                opened.close()
            if rules.leave_out(real[:depth], real[depth], directory=True):
                return Rules()
        # Ripgrep does not look above; what a higher .ignore takes back comes before a deeper .gitignore.
        return rules._replace(odd=rules.odd or bool(rules.ignore))

    def _level(self, directory: _Directory, opened: Opened) -> tuple[Level, Rules]:
        entries = []
        for number, entry in enumerate(self._root.visible(directory.parts, opened)):
            if number % 1000 == 999 and self._work.late():
                self.late_at = self.late_at or directory.parts
                break
            entries.append(entry)
        entries.sort(key=_by_name)
        names = [entry.name for entry in entries]
        if names and not all_speakable(names):
            entries = [entry for entry in entries if speakable(entry.name)]
            self._unspeakable += len(names) - len(entries)
        rules = directory.rules
        if self._ignoring:
            rules = rules.within(directory.real, opened, names)
            kept = rules.keep(directory.real, entries)
            self._ignored += len(entries) - len(kept)
            entries = kept
        return Level(directory.parts, opened, entries, rules.odd), rules


def _below(level: Level, rules: Rules) -> list[_Directory]:
    return [
        _Directory((*level.parts, entry.name), (*level.opened.real, entry.name), rules)
        for entry in level.entries
        if entry.is_dir(follow_symlinks=False)
    ]


def place_of(cursor: str, top: Parts) -> Place:
    """Where a listing that was cut goes on: after the entry that its cursor names."""
    parts = screen(cursor)
    if len(parts) <= len(top) or parts[: len(top)] != top:
        raise Unknown(
            f"The cursor {quote(cursor)} is none of this call's. Pass next_cursor of the same call before."
        )
    return parts[:-1], parts[-1]


def is_passed(parts: Parts, after: Place | None) -> bool:
    """Whether all of a directory comes before a place, so that it need not be entered."""
    return after is not None and parts < after[0] and parts != after[0][: len(parts)]
